import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from seesay.errors import UnavailableDevice, UnreadableModel, UnreadablePrompt
from seesay.vlm import load_vlm
from seesay.vlm.prompts import PACKAGED, read_prompts
from tests.families import QUESTION


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_it_is_loaded_for_inference(checkpoint: Path) -> None:
    vlm = load_vlm(str(checkpoint), device="cpu")
    assert not vlm._model.training
    assert not any(parameter.requires_grad for parameter in vlm._model.parameters())


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
