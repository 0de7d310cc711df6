"""Text-to-image pipelines of diffusers: small random ones, saved and loaded as real ones are."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file

from seesay.errors import (
    InvalidSetting,
    MissingExtra,
    NotEnoughMemory,
    NotFinite,
    SeesayError,
    UnavailableDevice,
    UnreadableModel,
)
from seesay.instruments import synthesisers
from seesay.instruments.instrument import Synthesiser
from seesay.instruments.synthesisers import DiffusionSynthesiser, load_synthesiser
from tests.families import IDS, N_WORDS, tokenizer
from tests.vlm.test_hub import hub as hub  # the fixture

pytestmark = [
    pytest.mark.xdist_group("diffusers"),
    # torch's own, which the first import of a pipeline brings to light
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]
slow = pytest.mark.slow(seconds=20)  # importing a pipeline takes seconds, whatever its size

SIZE, STEPS = 32, 2
TEXTS = ["a red w1", "w2 w3", "the model", "w4"]
KINDS = ["sd", "sd3"]


def words() -> Any:
    found = tokenizer("<image>")
    found.padding_side, found.model_max_length = "right", 16
    return found


def text_encoder(kind: Any) -> Any:
    return kind(
        hf.CLIPTextConfig(
            vocab_size=N_WORDS,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=16,
            projection_dim=32,
            bos_token_id=IDS["<bos>"],
            eos_token_id=IDS["<eos>"],
            pad_token_id=IDS["<pad>"],
        )
    )


def decoder(**more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        sample_size=SIZE, block_out_channels=(4,), layers_per_block=1, latent_channels=4, norm_num_groups=1, **more
    )


def sd3() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    transformer = SD3Transformer2DModel(
        sample_size=SIZE,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=decoder(shift_factor=0.1),
        text_encoder=text_encoder(hf.CLIPTextModelWithProjection),
        tokenizer=words(),
        text_encoder_2=text_encoder(hf.CLIPTextModelWithProjection),
        tokenizer_2=words(),
        text_encoder_3=None,
        tokenizer_3=None,
    )


def sd() -> Any:
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    unet = UNet2DConditionModel(
        sample_size=SIZE,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=4,
        attention_head_dim=8,
    )
    eye = {"image_size": SIZE, "patch_size": 8, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    checker = StableDiffusionSafetyChecker(hf.CLIPConfig(vision_config=eye | {"num_attention_heads": 4}))
    checker.concept_embeds_weights.data.fill_(2.0)  # beyond any cosine: nothing is blackened
    checker.special_care_embeds_weights.data.fill_(2.0)
    return StableDiffusionPipeline(
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        vae=decoder(),
        text_encoder=text_encoder(hf.CLIPTextModel),
        tokenizer=words(),
        safety_checker=checker,
        feature_extractor=CLIPImageProcessorPil(
            size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
        ),
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    for seed, (kind, build) in enumerate({"sd": sd, "sd3": sd3}.items()):
        torch.manual_seed(seed)
        build().save_pretrained(folders[kind])
    return folders


@pytest.fixture(scope="module")
def loaded(saved: dict[str, Path]) -> dict[str, DiffusionSynthesiser]:
    return {kind: load(folder) for kind, folder in saved.items()}


@pytest.fixture
def folder(saved: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a pipeline, to be spoiled."""
    return Path(shutil.copytree(saved["sd3"], tmp_path / "pipeline"))


def load(folder: Path | str, **more: Any) -> DiffusionSynthesiser:
    return load_synthesiser(folder, **({"device": "cpu", "steps": STEPS, "size": SIZE} | more))


def pixels(image: Image.Image | None) -> np.ndarray:
    assert image is not None
    return np.asarray(image).astype(int)


def difference(one: Image.Image | None, other: Image.Image | None) -> int:
    return int(np.abs(pixels(one) - pixels(other)).max())


def one_line(error: SeesayError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 500


def write_index(folder: Path, **changes: Any) -> Path:
    path = folder / "model_index.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))
    return folder


def short_of_memory(synthesiser: DiffusionSynthesiser, n: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a pipeline run out of memory beyond n images; the numbers that it was asked for."""
    sizes: list[int] = []
    kind: Any = type(synthesiser._pipeline)
    call = kind.__call__

    def limited(pipeline: Any, prompts: list[str], **named: Any) -> Any:
        sizes.append(len(prompts))
        if len(prompts) > n:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return call(pipeline, prompts, **named)

    monkeypatch.setattr(kind, "__call__", limited)
    return sizes


@slow
@pytest.mark.parametrize("kind", KINDS)
def test_images_are_coloured_of_the_size_asked_for_and_say_what_made_them(
    kind: str, loaded: dict[str, DiffusionSynthesiser]
) -> None:
    found = loaded[kind]
    assert isinstance(found, Synthesiser)
    for image in found.synthesise(TEXTS, range(4)):
        assert image is not None
        assert (image.mode, image.size) == ("RGB", (SIZE, SIZE))
        assert pixels(image).std() > 1
    facts = dict(found.facts)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["synthesiser"] == {"sd": "StableDiffusionPipeline", "sd3": "StableDiffusion3Pipeline"}[kind]
    assert (facts["steps"], facts["size"], facts["guidance"]) == (STEPS, SIZE, {"sd": 7.5, "sd3": 7.0}[kind])


@slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_words_and_number_give_the_same_image_in_any_batch(
    kind: str, loaded: dict[str, DiffusionSynthesiser], saved: dict[str, Path]
) -> None:
    together = loaded[kind].synthesise(TEXTS, range(4))
    one_by_one = load(saved[kind], batch_size=1).synthesise(TEXTS[::-1], range(3, -1, -1))[::-1]
    alone = [loaded[kind].synthesise([text], [number])[0] for number, text in enumerate(TEXTS)]
    for image, other, third in zip(together, one_by_one, alone, strict=True):
        assert max(difference(image, other), difference(image, third)) <= 1


@slow
@pytest.mark.parametrize("kind", KINDS)
def test_other_numbers_and_other_words_give_other_images(
    kind: str, loaded: dict[str, DiffusionSynthesiser], saved: dict[str, Path]
) -> None:
    first, number, text = loaded[kind].synthesise([TEXTS[0], TEXTS[0], TEXTS[1]], [0, 1, 0])
    assert min(difference(first, number), difference(first, text)) > 10
    [asked_otherwise] = load(saved[kind], template="w7 w8 {} w9").synthesise([TEXTS[0]], [0])
    assert difference(first, asked_otherwise) > 0, "the noise is the same, the words are not"


@slow
def test_nothing_is_made_of_a_text_without_words(
    loaded: dict[str, DiffusionSynthesiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = short_of_memory(loaded["sd"], 4, monkeypatch)
    found = loaded["sd"].synthesise(["", TEXTS[0], " \n"], [0, 1, 2])
    assert [image is None for image in found] == [True, False, True]
    assert loaded["sd"].synthesise([""], [0]) == [None]
    assert loaded["sd"].synthesise([], []) == []
    assert sizes == [1]


@slow
def test_braces_in_the_words_are_words(loaded: dict[str, DiffusionSynthesiser]) -> None:
    [image] = loaded["sd"].synthesise(["w1 {} {0.__class__} %s"], [0])
    assert image is not None


@slow
def test_facts_depend_on_all_that_images_depend_on_and_on_nothing_else(
    loaded: dict[str, DiffusionSynthesiser], folder: Path
) -> None:
    facts = loaded["sd3"].facts
    assert load(folder, batch_size=1).facts == facts, "neither the place nor the batch"
    for changed in ({"steps": 3}, {"template": "w1 {}"}, {"size": 64}, {"dtype": "bfloat16"}):
        assert load(folder, **changed).facts != facts
    weights = folder / "text_encoder_2" / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("fc1.weight"))
    save_file(tensors | {name: tensors[name] * 1.01}, weights, {"format": "pt"})
    changed = load(folder).facts
    assert changed["weights"] != facts["weights"]
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"shift": 3.0}))
    assert load(folder).facts["weights"] not in (changed["weights"], facts["weights"])


@slow
def test_without_steps_the_pipelines_own_number_is_taken_and_told(saved: dict[str, Path]) -> None:
    assert load(saved["sd3"], steps=None).facts["steps"] == 28
    assert load(saved["sd"], steps=None).facts["steps"] == 50


@slow
def test_a_batch_too_large_for_memory_is_halved(
    loaded: dict[str, DiffusionSynthesiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = loaded["sd3"].synthesise(TEXTS, range(4))
    sizes = short_of_memory(loaded["sd3"], 2, monkeypatch)
    for image, other in zip(loaded["sd3"].synthesise(TEXTS, range(4)), expected, strict=True):
        assert difference(image, other) <= 1
    assert sizes == [4, 2, 2]


@slow
def test_a_single_image_too_large_for_memory_is_one_line(
    loaded: dict[str, DiffusionSynthesiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(loaded["sd3"], 0, monkeypatch)
    with pytest.raises(NotEnoughMemory, match="32x32 pixels.*smaller size") as caught:
        loaded["sd3"].synthesise(TEXTS, range(4))
    one_line(caught.value)


@slow
def test_pixels_that_are_no_numbers_are_refused(folder: Path) -> None:
    found = load(folder)
    found._pipeline.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(NotFinite, match="no finite pixels.*number format") as caught:
        found.synthesise(TEXTS[:1], [0])
    one_line(caught.value)


@slow
def test_a_size_that_the_pipeline_does_not_take_is_one_line(folder: Path) -> None:
    found = load(folder, size=48)
    found._pipeline.vae_scale_factor = 16
    with pytest.raises(InvalidSetting, match="images of 48 pixels") as caught:
        found.synthesise(TEXTS[:1], [0])
    one_line(caught.value)


@slow
def test_what_the_pipelines_own_checker_blackens_counts_as_it_is(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved["sd"], tmp_path / "strict"))
    weights = folder / "safety_checker" / "model.safetensors"
    tensors = load_file(weights)
    save_file(tensors | {"concept_embeds_weights": torch.full((17,), -2.0)}, weights, {"format": "pt"})
    for image in load(folder).synthesise(TEXTS[:2], [0, 1]):
        assert not pixels(image).any()


@slow
@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_a_part_that_lacks_weights_is_refused_rather_than_filled_with_noise(part: str, folder: Path) -> None:
    [weights] = (folder / part).glob("*.safetensors")
    tensors = load_file(weights)
    name = sorted(name for name in tensors if name.endswith("weight"))[0]
    save_file({each: tensor for each, tensor in tensors.items() if each != name}, weights, {"format": "pt"})
    with pytest.raises(UnreadableModel, match=rf"{part} lacks 1 tensors") as caught:
        load(folder)
    one_line(caught.value)


@slow
@pytest.mark.parametrize("part", ["vae", "text_encoder"])
@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda tensor: tensor * float("nan"), "NaN"),
        (lambda tensor: torch.cat([tensor, tensor]), r"is \["),
    ],
)
def test_weights_that_are_no_numbers_or_of_another_shape_are_refused(
    part: str, spoil: Callable[[torch.Tensor], torch.Tensor], line: str, folder: Path
) -> None:
    [weights] = (folder / part).glob("*.safetensors")
    tensors = load_file(weights)
    name = sorted(name for name in tensors if name.endswith("weight"))[0]
    save_file(tensors | {name: spoil(tensors[name])}, weights, {"format": "pt"})
    with pytest.raises(UnreadableModel, match=line) as caught:
        load(folder)
    one_line(caught.value)


@slow
@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_pickles_are_not_read(part: str, folder: Path) -> None:
    [weights] = (folder / part).glob("*.safetensors")
    name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save(load_file(weights), folder / part / name)
    assert load(folder)
    weights.unlink()
    with pytest.raises(UnreadableModel) as caught:
        load(folder)
    one_line(caught.value)


CODE = """
from pathlib import Path
Path(__file__).with_name("it-ran").touch()
class Mine: ...
"""


@slow
@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": "Mine"},
        {"_class_name": "AutoencoderKL"},
        {"_class_name": "KandinskyV22CombinedPipeline"},
        {"vae": ["mine", "Mine"]},
        {"scheduler": ["mine", "Mine"]},
        {"vae": ["os", "system"]},
        {"vae": ["json", "JSONDecoder"]},
        {"vae": ["transformers", "NoSuchThing"]},
        {"vae": ["diffusers", "StableDiffusionPipeline"]},
        {"vae": ["diffusers", "OnnxRuntimeModel"]},
        {"../vae": ["diffusers", "AutoencoderKL"]},
    ],
    ids=str,
)
def test_what_is_not_diffusers_or_transformers_own_is_refused_and_never_run(
    changes: dict[str, Any], folder: Path
) -> None:
    write_index(folder, **changes)
    for place in (folder, folder / "vae", folder / "scheduler"):
        (place / "mine.py").write_text(CODE)
    with pytest.raises(UnreadableModel, match=r"expected (parts of diffusers|a text-to-image)") as caught:
        load(folder)
    one_line(caught.value)
    assert not list(folder.rglob("it-ran"))


def test_a_pipeline_with_code_of_its_own_is_refused_before_anything_is_imported(tmp_path: Path) -> None:
    write_index(tmp_path, _class_name=["mine", "Mine"])
    (tmp_path / "mine.py").write_text(CODE)
    with pytest.raises(UnreadableModel, match="no code that comes with a model is run") as caught:
        load(tmp_path)
    one_line(caught.value)
    assert not (tmp_path / "it-ran").exists()


@slow
def test_a_pipeline_that_makes_no_images_from_words_is_refused(folder: Path) -> None:
    with pytest.raises(UnreadableModel, match="text-to-image|can't find") as caught:
        load(write_index(folder, _class_name="DDPMPipeline"))
    one_line(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", '"x"', "null"])
def test_a_damaged_index_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(content)
    with pytest.raises(UnreadableModel, match=r"model_index\.json is damaged") as caught:
        load(tmp_path)
    one_line(caught.value)


def test_what_is_no_pipeline_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match=r"has no model_index\.json"):
        load(tmp_path)
    with pytest.raises(UnreadableModel, match="no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(UnreadableModel, match="an empty name"):
        load("")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("owner/gated", r"owner/gated is gated.*token with access.*hf auth login"),
        ("owner/missing", r"no repository owner/missing.*private"),
        ("owner/dataset", r"owner/dataset has no model_index\.json; expected the repository of a diffusers pipeline"),
        ("not a name", r"not a name: Repo id must"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_what_the_hub_refuses_is_one_line(name: str, line: str) -> None:
    with pytest.raises(UnreadableModel, match=line) as caught:
        load(name)
    one_line(caught.value)


def test_without_diffusers_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(synthesisers, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"diffusers.*pip install 'seesay\[synthesis\]'"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"steps": 0}, "0 steps"),
        ({"size": 500}, "size 500; expected a multiple of 16"),
        ({"size": 0}, "size 0"),
        ({"size": 1 << 20}, "at most 2048"),
        ({"template": "an image"}, "where the words go"),
        ({"template": "{} and {}"}, "where the words go"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_read(options: dict[str, Any], line: str) -> None:
    with pytest.raises(InvalidSetting, match=line):
        load("/nowhere", **options)


def test_a_device_that_is_not_there_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UnavailableDevice):
        load("/nowhere", device="tpu")
