"""What is particular to the smaller formats; their formulas are in test_formulas.py."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seesay.errors import UnreadableSAE
from seesay.sae import Provenance, load_sae
from tests.sae.formats.files import D_MODEL, N_FEATURES, K, overcomplete, prisma, random, saev, sparsify


def refused(path: Path, match: str, **asked: object) -> None:
    with pytest.raises(UnreadableSAE, match=match):
        load_sae(path, **asked)


# sparsify


def test_sparsify_counts_its_features_by_either_setting(tmp_path: Path) -> None:
    sparsify(tmp_path, num_latents=N_FEATURES, expansion_factor=99)
    assert load_sae(tmp_path).n_features == N_FEATURES
    sparsify(tmp_path, num_latents=0, expansion_factor=3)
    refused(tmp_path, r"encoder\.weight is \[12, 6\]; expected \[18, 6\]")


def test_a_skip_connection_is_refused_with_the_reason(tmp_path: Path) -> None:
    written = sparsify(tmp_path)
    written.tensors["W_skip"] = random(D_MODEL, D_MODEL)
    written.save()
    refused(tmp_path, "W_skip.*adds a linear map of the input")
    sparsify(tmp_path, skip_connection=True)
    refused(tmp_path, "skip_connection")


def test_other_activations_of_sparsify_are_refused(tmp_path: Path) -> None:
    sparsify(tmp_path, activation="groupmax")
    refused(tmp_path, "activation is 'groupmax'; expected 'topk'")


def test_sparsify_needs_its_configuration(tmp_path: Path) -> None:
    sparsify(tmp_path)
    (tmp_path / "cfg.json").unlink()
    refused(tmp_path, r"sae\.safetensors: no cfg\.json beside it")


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("layers.16", Provenance(layer=16, hook="layers.16")),
        ("model.layers.3.mlp", Provenance(layer=3, hook="model.layers.3.mlp")),
        ("layers.3.experts.4", Provenance(hook="layers.3.experts.4")),
        ("run_16", Provenance()),
        ("16", Provenance()),
    ],
)
def test_a_hookpoint_is_the_layer_if_it_holds_one_number(folder: str, said: Provenance, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    sparsify(tmp_path / folder)
    assert load_sae(tmp_path / folder).provenance == load_sae(tmp_path).provenance == said


# overcomplete


def test_overcomplete_must_be_told_activation_and_k(tmp_path: Path) -> None:
    overcomplete(tmp_path)
    refused(tmp_path, r'overcomplete do not say.*activation="topk" and k')
    refused(tmp_path, "nothing says how many features a row keeps; expected k", activation="topk")
    refused(tmp_path, "no threshold, which batch_topk needs", activation="batch_topk")


@pytest.mark.parametrize("name", ["encoder.final_block.1.weight", "encoder.mlp_blocks.0.0.weight", "Q"])
def test_deeper_encoders_of_overcomplete_are_refused(name: str, tmp_path: Path) -> None:
    written = overcomplete(tmp_path)
    written.tensors[name] = torch.ones(2)
    written.save()
    refused(tmp_path, f"holds {name}, of an encoder or quantiser", activation="relu")


def test_a_dictionary_without_a_multiplier_has_unit_rows(tmp_path: Path) -> None:
    written = overcomplete(tmp_path, "SAE")
    del written.tensors["dictionary.multiplier"]
    written.save()
    torch.testing.assert_close(load_sae(tmp_path, activation="relu").gain, torch.ones(N_FEATURES))


# saev


@pytest.mark.parametrize(("schema", "described", "subtracts"), [(5, True, False), (1, True, False), (1, False, True)])
def test_saev_subtracts_b_dec_only_in_its_early_files(
    schema: int, described: bool, subtracts: bool, tmp_path: Path
) -> None:
    saev(tmp_path, "TopK", schema=schema, described=described)
    assert load_sae(tmp_path).subtract_b_dec is subtracts


def test_tensors_alone_are_saevs_early_ones_if_the_activation_is_given(tmp_path: Path) -> None:
    written = saev(tmp_path, "Relu", schema=None)
    expected = load_sae(tmp_path)
    written.header = b""
    written.save()
    refused(tmp_path, r"no cfg\.json or config\.json beside it.*\"relu\"")
    sae = load_sae(tmp_path, activation="relu")
    assert (sae.subtract_b_dec, expected.subtract_b_dec) == (True, True)
    assert torch.equal(sae.W_enc, expected.W_enc)


def test_the_topk_of_saev_may_be_negative(tmp_path: Path) -> None:
    written = saev(tmp_path)
    written.tensors["b_enc"] -= 100
    written.save()
    codes = load_sae(tmp_path).encode(torch.zeros(1, D_MODEL))
    assert codes.values.shape == (1, K)
    assert (codes.values < 0).all()


def test_a_batch_topk_of_saev_from_before_it_had_a_threshold_is_refused(tmp_path: Path) -> None:
    written = saev(tmp_path, "BatchTopK")
    written.tensors["activation.threshold"] = torch.tensor(-0.5)
    written.save()
    assert (load_sae(tmp_path).threshold == 0).all()
    del written.tensors["activation.threshold"]
    written.save()
    refused(tmp_path, "no threshold, which batch_topk needs")
    assert load_sae(tmp_path, activation="signed_topk").k == K


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ({"schema": 6, "cfg": {}}, "schema is 6; expected 1 to 5"),
        ({"schema": "x", "cfg": {}}, "schema is 'x'"),
        ({"schema": 5, "cfg": []}, "cfg is a list"),
        ({"schema": 5, "cfg": {"d_model": 6, "d_sae": 12, "activation": {"cls": "Gelu"}}}, "activation is 'Gelu'"),
        ({"schema": 5, "cfg": {"d_model": 0, "d_sae": 12}}, "d_model is 0"),
        ({"d_vit": 6}, "exp_factor is None"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(header: dict[str, object], line: str, tmp_path: Path) -> None:
    written = saev(tmp_path)
    written.header = json.dumps(header).encode() + b"\n"
    written.save()
    refused(tmp_path, rf"sae\.pt: {line}")
    written.weights.write_bytes(b"{" + b"x" * 2_000_000)
    refused(tmp_path, r"sae\.pt.*a JSON object")


# Prisma


def test_prisma_says_where_it_comes_from(tmp_path: Path) -> None:
    prisma(tmp_path)
    expected = Provenance("open-clip:laion/CLIP-ViT-B-32", 9, "blocks.9.hook_resid_post", "imagenet1k")
    assert load_sae(tmp_path).provenance == expected


def test_a_configuration_of_plain_values_inside_the_file_is_read(tmp_path: Path) -> None:
    written = prisma(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    torch.save({"cfg": config, "state_dict": written.tensors}, written.weights)
    sae = load_sae(tmp_path)
    assert (sae.activation, sae.normalization, sae.provenance.layer) == ("relu", "layer_norm", 9)


@pytest.mark.parametrize(
    "change",
    [
        {"is_transcoder": True},
        {"normalize_activations": "batch_norm"},
        {"activation_fn_str": "tanh-relu"},
        {"architecture": "jumprelu"},
    ],
)
def test_what_is_not_computed_of_prisma_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    prisma(tmp_path, **change)
    refused(tmp_path, next(iter(change)))


def test_steering_a_normalising_sae_is_scaled_by_the_rows_deviation(tmp_path: Path) -> None:
    prisma(tmp_path)
    rows = random(5, D_MODEL)
    torch.testing.assert_close(load_sae(tmp_path).activation_scale(rows), rows.std(-1))


# directions


def test_directions_have_no_encoder(tmp_path: Path) -> None:
    np.save(tmp_path / "probes.npy", np.eye(4, D_MODEL, dtype=np.int64) * 7)
    sae = load_sae(tmp_path / "probes.npy")
    assert (sae.activation, sae.W_enc, sae.n_features) == ("none", None, 4)
    assert torch.equal(sae.W_dec, torch.eye(4, D_MODEL))
    refused(tmp_path, "no encoder", activation="relu")


def test_a_direction_of_zeros_is_named(tmp_path: Path) -> None:
    save_file({"probes": torch.eye(4, D_MODEL) * torch.tensor([1, 1, 0, 1])[:, None]}, tmp_path / "p.safetensors")
    refused(tmp_path, r"p\.safetensors: probes: row 2 is all zeros")


@pytest.mark.parametrize("content", [np.zeros(3), np.zeros((0, 3)), np.array([["a"]]), np.zeros((2, 2), complex)])
def test_an_array_that_is_no_matrix_of_numbers_is_refused(content: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "probes.npy", content)
    refused(tmp_path, r"probes\.npy")
