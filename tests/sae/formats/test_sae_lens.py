"""SAEs written out by hand as SAELens writes them; test_sae_lens_parity.py compares with the library itself."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seesay.errors import UnreadableSAE
from seesay.sae import Provenance, load_sae

CONFIG = {
    "architecture": "topk",
    "d_in": 6,
    "d_sae": 12,
    "k": 3,
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {"model_name": "world", "hook_name": "blocks.1", "layer": 1, "dataset_path": "pictures"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (6, 12), "W_dec": (12, 6), "b_enc": (12,), "b_dec": (6,)}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps(CONFIG))
    return tmp_path


def change_config(folder: Path, **changes: object) -> None:
    (folder / "cfg.json").write_text(json.dumps(CONFIG | changes))


def change_tensor(folder: Path, name: str, tensor: torch.Tensor | None) -> None:
    tensors = load_file(folder / "sae_weights.safetensors")
    del tensors[name]
    save_file(tensors | ({} if tensor is None else {name: tensor}), folder / "sae_weights.safetensors")


def test_directions_have_unit_norm_after_loading(folder: Path) -> None:
    torch.testing.assert_close(load_sae(folder).W_dec.norm(dim=-1), torch.ones(12))


def test_it_says_where_it_comes_from(folder: Path) -> None:
    assert load_sae(folder).provenance == Provenance("world", 1, "blocks.1", "pictures")
    change_config(folder, metadata={"hook_layer": 7})
    assert load_sae(folder).provenance == Provenance(layer=7)


def test_half_precision_is_read_as_float32(folder: Path) -> None:
    change_tensor(folder, "W_enc", torch.ones(6, 12, dtype=torch.bfloat16))
    assert load_sae(folder).W_enc.dtype == torch.float32


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSAE, match="nowhere"):
        load_sae(tmp_path / "nowhere")


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSAE, match="SAELens"):
        load_sae(tmp_path)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UnreadableSAE, match=name):
        load_sae(folder)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_truncated_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(UnreadableSAE, match=name):
        load_sae(folder)


def test_a_configuration_that_is_no_object_is_refused(folder: Path) -> None:
    (folder / "cfg.json").write_text("[1]")
    with pytest.raises(UnreadableSAE, match="list"):
        load_sae(folder)


@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_enc", "b_dec"])
def test_a_missing_tensor_is_named_with_its_shape(folder: Path, name: str) -> None:
    change_tensor(folder, name, None)
    with pytest.raises(UnreadableSAE, match=rf"sae_weights\.safetensors lacks {name}.*\[\d+"):
        load_sae(folder)


def test_a_wrong_shape_is_told_with_the_right_one(folder: Path) -> None:
    change_tensor(folder, "W_dec", torch.ones(6, 12))
    with pytest.raises(UnreadableSAE, match=r"W_dec is \[6, 12\].*\[12, 6\]"):
        load_sae(folder)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    change_tensor(folder, "b_enc", torch.full((12,), value))
    with pytest.raises(UnreadableSAE, match="b_enc holds NaN or infinity"):
        load_sae(folder)


@pytest.mark.parametrize("change", [{"k": 0}, {"k": 13}, {"k": 2.5}, {"k": None}, {"d_in": "6"}, {"d_sae": -1}])
def test_a_senseless_number_is_named(folder: Path, change: dict[str, object]) -> None:
    change_config(folder, **change)
    with pytest.raises(UnreadableSAE, match=rf"cfg\.json: {next(iter(change))} is"):
        load_sae(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "temporal"},
        {"architecture": None},
        {"architecture": ["topk"]},
        {"normalize_activations": "covariance_whitening"},
        {"normalize_activations": ["none"]},
        {"reshape_activations": "hook_z"},
    ],
)
def test_what_is_not_computed_here_is_refused(folder: Path, change: dict[str, object]) -> None:
    change_config(folder, **change)
    with pytest.raises(UnreadableSAE, match=next(iter(change))):
        load_sae(folder)


@pytest.mark.parametrize(("written", "read"), [("tanh-relu", None), ("relu", "relu"), ("topk", "topk")])
def test_configurations_from_before_version_6_are_read_as_the_library_reads_them(
    folder: Path, written: str, read: str | None
) -> None:
    old = {name: CONFIG[name] for name in ("d_in", "d_sae")} | {
        "activation_fn_str": written,
        "activation_fn_kwargs": {"k": 3},
        "normalize_activations": True,
        "model_name": "gpt2",
        "hook_point": "blocks.9.hook_resid_post",
        "hook_point_layer": 9,
    }
    (folder / "cfg.json").write_text(json.dumps(old))
    if read is None:
        with pytest.raises(UnreadableSAE, match="activation_fn is 'tanh-relu'"):
            load_sae(folder)
        return
    sae = load_sae(folder)
    assert (sae.activation, sae.normalization) == (read, "none")
    assert sae.provenance == Provenance("gpt2", 9, "blocks.9.hook_resid_post")


@pytest.mark.parametrize(
    ("hook", "layer"),
    [("blocks.9.hook_resid_post", 9), ("blocks.9.ln2.hook", 9), ("blocks.1.2", None), ("hook_embed2", None)],
)
def test_the_hooks_only_number_is_the_layer(folder: Path, hook: str, layer: int | None) -> None:
    change_config(folder, metadata={"hook_name": hook})
    assert load_sae(folder).provenance == Provenance(layer=layer, hook=hook)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("none", "none"),
        ("expected_average_only_in", "none"),
        ("layer_norm", "layer_norm"),
        ("constant_norm_rescale", "constant_norm"),
    ],
)
def test_normalisations_are_named(folder: Path, written: str, read: str) -> None:
    change_config(folder, normalize_activations=written)
    assert load_sae(folder).normalization == read


EXPECTED = "expected_average_only_in"


@pytest.mark.parametrize("written", [EXPECTED, True])
def test_what_activations_are_scaled_by_in_training_is_folded_in(folder: Path, written: object) -> None:
    expected = load_sae(folder)
    change_config(folder, normalize_activations=written)
    (folder / "trainer_state.pt").write_bytes(b"")
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 4.0}')
    sae = load_sae(folder)
    assert sae.normalization == "none"
    residual = torch.randn(9, 6)
    codes, scaled = sae.encode(residual), expected.encode(4 * residual)
    torch.testing.assert_close(sae.decode(codes), expected.decode(scaled) / 4)
    torch.testing.assert_close(codes.values, scaled.values / 4)
    assert torch.equal(codes.feature_ids, scaled.feature_ids)


@pytest.mark.parametrize("value", ["null", "0", "-2.5", '"4"', "true", "NaN", "Infinity", "1" + 400 * "0"])
def test_a_senseless_scale_of_activations_is_refused(folder: Path, value: str) -> None:
    (folder / "activation_scaler.json").write_text(f'{{"scaling_factor": {value}}}')
    assert load_sae(folder).k == 3  # nothing is to be scaled
    change_config(folder, normalize_activations=EXPECTED)
    with pytest.raises(UnreadableSAE, match=r"activation_scaler\.json: scaling_factor is .*a finite number above 0"):
        load_sae(folder)


def test_the_middle_of_a_training_needs_what_activations_are_scaled_by(folder: Path) -> None:
    change_config(folder, normalize_activations=EXPECTED)
    assert load_sae(folder).normalization == "none"
    (folder / "trainer_state.pt").write_bytes(b"")
    for place in (folder, folder / "sae_weights.safetensors"):
        with pytest.raises(UnreadableSAE, match="in the middle of training; expected activation_scaler.json beside it"):
            load_sae(place)


def test_thresholds_that_come_to_infinity_are_refused(folder: Path) -> None:
    change_config(folder, architecture="jumprelu")
    tensors = load_file(folder / "sae_weights.safetensors")
    save_file(tensors | {"log_threshold": torch.full((12,), 100.0)}, folder / "sae_weights.safetensors")
    with pytest.raises(UnreadableSAE, match=r"sae_weights\.safetensors: threshold comes to infinity"):
        load_sae(folder)


def test_a_jumprelu_that_was_trained_as_batch_topk_is_called_one(folder: Path) -> None:
    change_config(folder, architecture="jumprelu", metadata={"training_architecture": "matryoshka_batchtopk"})
    tensors = load_file(folder / "sae_weights.safetensors")
    save_file(tensors | {"threshold": torch.ones(12)}, folder / "sae_weights.safetensors")
    assert load_sae(folder).activation == "batch_topk"


def test_fine_tuned_codes_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "sae_weights.safetensors")
    save_file(tensors | {"scaling_factor": torch.ones(12)}, folder / "sae_weights.safetensors")
    assert load_sae(folder).k == 3
    save_file(tensors | {"scaling_factor": 2 * torch.ones(12)}, folder / "sae_weights.safetensors")
    with pytest.raises(UnreadableSAE, match="scaling_factor is not 1"):
        load_sae(folder)


def test_a_jumprelu_needs_its_threshold(folder: Path) -> None:
    change_config(folder, architecture="jumprelu")
    with pytest.raises(UnreadableSAE, match=r"threshold.*\[12\]"):
        load_sae(folder)
