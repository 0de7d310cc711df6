import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    CLIPConfig,
    CLIPModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    ResNetConfig,
    ResNetModel,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
)

from seesay.errors import (
    MissingExtra,
    NotEnoughMemory,
    UnavailableDevice,
    UnreadableModel,
    UnreadablePrompt,
)
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm import load_encoder, load_vlm, loading
from seesay.vlm.identity import encoder_difference
from seesay.vlm.prompts import PACKAGED, read_prompts
from tests.families import BUILDERS, EYES, QUESTION, TEXT, VISION, TinyEye, gemma3, randomised, save

SHORT = Decoding(max_new_tokens=5)


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("family", BUILDERS)
def test_every_family_is_read_back_from_its_folder(family: str, tmp_path: Path) -> None:
    parts = BUILDERS[family]()
    vlm = load_vlm(save(parts, tmp_path), device="cpu")
    image = blank_image("noise", vlm.encoder.image_size, 1)
    (expected,), (found,) = parts.vlm().encode([image]), vlm.encode([image])
    assert torch.equal(found.tokens, expected.tokens)
    (said,), (again,) = parts.vlm().say(QUESTION, [[expected]], SHORT), vlm.say(QUESTION, [[found]], SHORT)
    assert again.text == said.text
    assert again.mean_log_probability == pytest.approx(said.mean_log_probability, abs=1e-5)


@pytest.mark.parametrize("family", EYES)
def test_every_encoder_is_read_back_from_its_folder(family: str, tmp_path: Path) -> None:
    parts = EYES[family]()
    image = blank_image("noise", 32, 1)
    found = load_encoder(save(parts, tmp_path), device="cpu").encode_to([image], 2)
    assert torch.equal(found.residual, parts.encoder().encode_to([image], 2).residual)


def clip() -> Any:
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    return CLIPModel(CLIPConfig(vision_config=VISION, text_config=text | {"vocab_size": 32, "eos_token_id": 1}))


def siglip() -> Any:
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    return SiglipModel(SiglipConfig(vision_config=VISION, text_config=text | {"vocab_size": 32}))


@pytest.mark.parametrize(("build", "half"), [(clip, "clip_vision_model"), (siglip, "siglip_vision_model")])
def test_the_seeing_half_of_a_model_of_images_and_texts_is_taken(
    build: Callable[[], Any], half: str, tmp_path: Path
) -> None:
    whole = randomised(build())
    save(TinyEye(whole, EYES[half]().image_processor), tmp_path)
    alone = EYES[half]()
    alone.model.load_state_dict(whole.vision_model.state_dict(), strict=False)
    image = blank_image("noise", 32, 1)
    found = load_encoder(tmp_path, device="cpu").encode_to([image], 1)
    assert torch.equal(found.residual, alone.encoder().encode_to([image], 1).residual)


def test_the_encoder_of_a_vision_language_model_is_an_encoder(checkpoint: Path) -> None:
    alone, whole = load_encoder(checkpoint, device="cpu"), load_vlm(checkpoint, device="cpu").encoder
    assert encoder_difference(alone, whole) == ""
    image = blank_image("noise", 32, 1)
    assert torch.equal(alone.encode_to([image], 2).residual, whole.encode_to([image], 2).residual)


@pytest.mark.parametrize("family", BUILDERS)
def test_the_eyes_of_a_model_need_neither_words_nor_a_tokenizer(family: str, tmp_path: Path) -> None:
    parts = BUILDERS[family]()
    parts.model.save_pretrained(tmp_path)
    parts.image_processor.save_pretrained(tmp_path)
    alone = load_encoder(tmp_path, device="cpu")
    image = blank_image("noise", alone.image_size, 1)
    expected = parts.vlm().encode_to([image], 1)
    assert torch.equal(alone.encode_to([image], 1).residual, expected.residual)
    assert encoder_difference(alone, parts.vlm().encoder) == ""


def test_what_comes_after_the_blocks_may_be_missing_from_an_encoder(tmp_path: Path) -> None:
    """Classifiers come without the pooler that the plain model has."""
    classifier = randomised(ViTForImageClassification(ViTConfig(**VISION)))
    save(TinyEye(classifier, EYES["vit"]().image_processor), tmp_path)
    image = blank_image("noise", 32, 1)
    alone = EYES["vit"]()
    alone.model.load_state_dict(classifier.vit.state_dict(), strict=False)
    found = load_encoder(tmp_path, device="cpu").encode_to([image], 3)
    assert torch.equal(found.residual, alone.encoder().encode_to([image], 3).residual)


def test_a_vision_encoder_in_few_bits_is_refused(tmp_path: Path) -> None:
    parts = gemma3(hidden_size=64, num_attention_heads=4, num_key_value_heads=4, intermediate_size=128)
    whole, small = save(parts, tmp_path / "whole"), tmp_path / "small"
    save(parts, small)
    AutoModelForImageTextToText.from_pretrained(
        whole, quantization_config=BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["lm_head"])
    ).save_pretrained(small)
    with pytest.raises(UnreadableModel, match=r"model\.vision_tower\.\S+ is quantised"):
        load_vlm(small, device="cpu")
    with pytest.raises(UnreadableModel, match="quantised already"):
        load_vlm(small, device="cpu", quantize="4bit")


@pytest.mark.parametrize(("option", "value"), [("device", "meta"), ("dtype", "float8_e4m3fn"), ("dtype", "float64")])
def test_an_option_that_is_none_is_refused(checkpoint: Path, option: str, value: str) -> None:
    with pytest.raises(UnavailableDevice, match=value):
        load_vlm(checkpoint, **{"device": "cpu", option: value})


def test_a_folder_has_no_revisions(checkpoint: Path) -> None:
    with pytest.raises(UnreadableModel, match="revision 'abc' of a folder"):
        load_vlm(checkpoint, device="cpu", revision="abc")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(UnreadableModel, match="an empty name"):
        load_vlm("", device="cpu")


def test_an_image_processor_or_tokenizer_that_is_not_there_is_named(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UnreadableModel, match=r"tokenizer\.json"):
        load_vlm(copy, device="cpu")
    (copy / "processor_config.json").unlink()
    for load in (load_vlm, load_encoder):
        with pytest.raises(UnreadableModel, match=r"preprocessor_config\.json"):
            load(copy, device="cpu")


def test_a_model_without_something_to_pad_with_pads_with_its_end(tmp_path: Path) -> None:
    parts = gemma3()
    parts.tokenizer.pad_token = None
    vlm = load_vlm(save(parts, tmp_path), device="cpu")
    one, two = (vlm.encode([blank_image("noise", 32, seed) for seed in range(n)]) for n in (1, 2))
    assert len(vlm.say(QUESTION, [one, two], SHORT)) == 2


@pytest.mark.parametrize("family", BUILDERS)
def test_the_language_model_alone_is_kept_in_few_bits(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitsandbytes.nn import Linear4bit

    # 4 bits go by blocks of 64 weights
    for name, size in {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4}.items():
        monkeypatch.setitem(TEXT, name, size)
    parts = BUILDERS[family]()
    vlm = load_vlm(save(parts, tmp_path), device="cpu", quantize="4bit")
    small = {name for name, module in vlm.model.named_modules() if isinstance(module, Linear4bit)}
    assert small
    assert all(name.startswith(("model.language_model.", "model.text_model.")) for name in small)
    image = blank_image("white", 32)
    (expected,), (found,) = parts.vlm().encode([image]), vlm.encode([image])
    assert torch.equal(found.tokens, expected.tokens), "it sees the same to the last bit"
    assert encoder_difference(parts.vlm().encoder, vlm.encoder) == ""
    assert vlm.say(QUESTION, [[found]], SHORT)[0].mean_log_probability < 0


def test_a_model_can_be_spread_over_what_there_is(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    read = AutoModelForImageTextToText.from_pretrained
    monkeypatch.setattr(
        AutoModelForImageTextToText,
        "from_pretrained",
        lambda *args, **options: asked.append(options.get("device_map")) or read(*args, **options),
    )
    image = blank_image("white", 32)
    spread, plain = (load_vlm(checkpoint, device="cpu", spread=spread) for spread in (True, False))
    assert asked == ["auto", None]
    assert torch.equal(spread.encode([image])[0].tokens, plain.encode([image])[0].tokens)


@pytest.mark.parametrize(
    ("missing", "options"), [("bitsandbytes", {"quantize": "8bit"}), ("accelerate", {"spread": True})]
)
def test_what_is_not_installed_is_named(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, missing: str, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda package: None if package == missing else True)
    with pytest.raises(MissingExtra, match=rf"needs {missing}.*seesay\[large\]"):
        load_vlm(checkpoint, device="cpu", **options)


def test_a_model_that_does_not_fit_is_one_line(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n12 GiB")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    for load in (load_vlm, load_encoder):
        with pytest.raises(NotEnoughMemory, match="does not fit into the memory of cpu.*quantize"):
            load(checkpoint, device="cpu")


def test_an_encoder_without_blocks_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 0
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnreadableModel, match="announces no blocks"):
        load_vlm(copy, device="cpu")


def test_a_vision_model_that_is_no_transformer_is_refused_by_its_type(tmp_path: Path) -> None:
    ResNetModel(ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1])).save_pretrained(tmp_path)
    for load in (load_vlm, load_encoder):
        with pytest.raises(UnreadableModel, match="'resnet'"):
            load(tmp_path, device="cpu")


def test_it_is_loaded_for_inference(checkpoint: Path) -> None:
    vlm = load_vlm(str(checkpoint), device="cpu")
    assert not vlm.model.training
    assert not any(parameter.requires_grad for parameter in vlm.model.parameters())


def test_the_number_format_can_be_chosen(checkpoint: Path) -> None:
    assert load_vlm(checkpoint, device="cpu", dtype="bfloat16").encoder.dtype == torch.bfloat16


def test_a_checkpoints_own_prompts_come_first(checkpoint: Path) -> None:
    assert load_vlm(checkpoint, device="cpu").prompts["steering"] == QUESTION


def test_without_its_own_prompts_seesays_are_used(copy: Path) -> None:
    shutil.rmtree(copy / "prompts")
    assert load_vlm(copy, device="cpu").prompts == read_prompts(PACKAGED)


def test_a_folder_of_prompts_overrides_them(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "steering.txt").write_text("the circle ?")
    assert load_vlm(checkpoint, device="cpu", prompts=tmp_path).prompts["steering"] == "the circle ?"
    with pytest.raises(UnreadablePrompt):
        load_vlm(checkpoint, device="cpu", prompts=tmp_path / "nowhere")


def test_a_missing_folder_is_refused_before_the_hub_is_asked(tmp_path: Path) -> None:
    for name in (tmp_path / "nowhere", str(tmp_path / "nowhere"), "./nowhere"):
        with pytest.raises(UnreadableModel, match=r"no folder .*nowhere"):
            load_vlm(name, device="cpu")


def test_errors_of_transformers_become_one_line(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UnreadableModel) as caught:
        load_vlm(copy, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_refused(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UnreadableModel):
        load_vlm(copy, device="cpu")


def test_a_checkpoint_that_lacks_a_tensor_is_refused(copy: Path) -> None:
    name = "model.vision_tower.encoder.layers.1.mlp.fc1.weight"
    stored = next(key for key in load_file(copy / "model.safetensors") if key.endswith(name.split("encoder.")[1]))
    change_tensors(copy, lambda tensors: tensors.pop(stored))
    with pytest.raises(UnreadableModel, match="lacks 1 tensors.*fc1.weight"):
        load_vlm(copy, device="cpu")


def test_a_tensor_of_another_shape_is_refused(copy: Path) -> None:
    def shorten(tensors: dict[str, torch.Tensor]) -> None:
        name = next(key for key in tensors if key.endswith("fc1.bias"))
        tensors[name] = tensors[name][:-1].clone()

    change_tensors(copy, shorten)
    with pytest.raises(UnreadableModel, match=r"fc1.bias is \[63\]; expected \[64\]"):
        load_vlm(copy, device="cpu")


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    change_tensors(copy, lambda tensors: next(iter(tensors.values())).flatten().__setitem__(0, torch.nan))
    with pytest.raises(UnreadableModel, match="NaN"):
        load_vlm(copy, device="cpu")


def test_a_pickled_checkpoint_is_not_read(copy: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(UnreadableModel):
        load_vlm(copy, device="cpu")


def test_a_damaged_configuration_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "gemma3"')
    with pytest.raises(UnreadableModel):
        load_vlm(copy, device="cpu")


def test_code_that_comes_with_a_checkpoint_is_not_run(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text("raise SystemExit('run')")
    with pytest.raises(UnreadableModel):
        load_vlm(copy, device="cpu")


def test_a_text_only_model_is_refused_by_its_type(tmp_path: Path) -> None:
    config = Gemma3TextConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, head_dim=16
    )
    Gemma3ForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(UnreadableModel, match="'gemma3_text'.*gemma3"):
        load_vlm(tmp_path, device="cpu")


def test_a_checkpoint_without_a_chat_template_is_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(UnreadableModel, match="chat template"):
        load_vlm(copy, device="cpu")


def test_a_checkpoint_without_an_image_processor_is_refused(copy: Path) -> None:
    (copy / "processor_config.json").unlink()
    with pytest.raises(UnreadableModel):
        load_vlm(copy, device="cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(checkpoint: Path, device: str) -> None:
    with pytest.raises(UnavailableDevice, match=device):
        load_vlm(checkpoint, device=device)


@pytest.mark.parametrize("dtype", ["int8", "nonsense", "nn"])
def test_a_number_format_that_is_none_is_refused(checkpoint: Path, dtype: str) -> None:
    with pytest.raises(UnavailableDevice, match=dtype):
        load_vlm(checkpoint, device="cpu", dtype=dtype)
