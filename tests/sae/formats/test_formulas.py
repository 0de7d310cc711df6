"""Every format, against the formula of the library that writes it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from seesay.sae import load_sae
from seesay.sae.formats.assembly import rebiased, ungated
from seesay.sae.model import SAE
from tests.sae.formats import files
from tests.sae.formats.files import ALL, D_MODEL, ENCODING, N_FEATURES, Written, random, residuals


@pytest.mark.parametrize("write", ENCODING)
def test_codes_and_reconstruction_are_the_librarys(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    sae = load_sae(tmp_path, **written.asked)
    x = residuals()
    codes, expected = sae.encode(x), written.codes(x)
    assert (expected != 0).any()
    # Their codes count in lengths of the decoder's rows.
    torch.testing.assert_close(codes.dense(N_FEATURES), expected * written.W_dec.norm(dim=-1), rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(sae.decode(codes), written.reconstruct(expected, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("write", ALL)
def test_directions_have_unit_norm(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    torch.testing.assert_close(load_sae(tmp_path, **written.asked).W_dec, normalize(written.W_dec, dim=-1))


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (files.dictionary_learning, "dictionary_learning"),
        (files.sae_lens, "SAELens"),
        (files.sparsify, "sparsify"),
        (files.overcomplete, "overcomplete"),
        (files.saev, "saev"),
        (files.prisma, "Prisma"),
        (files.directions, "directions"),
    ],
)
def test_the_format_is_told(write: Callable[[Path], Written], name: str, tmp_path: Path) -> None:
    written = write(tmp_path)
    assert load_sae(tmp_path, **written.asked).provenance.format == name


@pytest.mark.parametrize("write", ALL)
def test_the_file_alone_may_be_named(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    by_file, by_folder = load_sae(written.weights, **written.asked), load_sae(tmp_path, **written.asked)
    assert by_file.activation == by_folder.activation
    assert torch.equal(by_file.W_dec, by_folder.W_dec)


@pytest.mark.parametrize("write", ALL)
def test_the_format_is_told_from_no_name(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    before = load_sae(written.weights, **written.asked)
    after = load_sae(written.weights.rename(tmp_path / f"renamed{written.weights.suffix}"), **written.asked)
    assert after.activation == before.activation
    assert torch.equal(after.W_dec, before.W_dec)


@pytest.mark.parametrize("write", ENCODING)
def test_what_is_asked_for_comes_before_what_the_file_says(write: Callable[[Path], Written], tmp_path: Path) -> None:
    write(tmp_path)
    sae = load_sae(tmp_path, activation="signed_topk", k=2)
    assert (sae.activation, sae.k, sae.threshold) == ("signed_topk", 2, None)
    assert load_sae(tmp_path, activation="none").W_enc is None


def test_a_gated_encoder_is_a_jumprelu_with_thresholds_of_either_sign() -> None:
    x, W_enc = random(200, D_MODEL), random(D_MODEL, N_FEATURES)
    r_mag, gate_bias, mag_bias = (random(N_FEATURES, seed=seed) for seed in (1, 2, 3))
    z = x @ W_enc
    gate = (z + gate_bias > 0).float()
    expected = gate * (r_mag.exp() * z + mag_bias).relu()
    W_jump, b_jump, threshold = ungated(W_enc, r_mag, gate_bias, mag_bias)
    assert (threshold > 0).any()
    assert (threshold < 0).any()
    pre = x @ W_jump + b_jump
    torch.testing.assert_close((pre * (pre > threshold)).relu(), expected, rtol=0, atol=1e-5)
    sae = SAE(
        W_jump, normalize(W_enc.T, dim=-1), b_jump, torch.zeros(D_MODEL), "jumprelu", threshold=threshold,
        subtract_b_dec=False,
    )  # fmt: skip
    torch.testing.assert_close(sae.encode(x).dense(N_FEATURES), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("subtracts", [True, False])
def test_the_convention_of_b_dec_changes_no_code(subtracts: bool) -> None:
    W_dec = normalize(random(N_FEATURES, D_MODEL), dim=-1)
    b_enc, b_dec = random(N_FEATURES), random(D_MODEL)
    sae = SAE(random(D_MODEL, N_FEATURES), W_dec, b_enc, b_dec, "relu", subtract_b_dec=subtracts)
    other = rebiased(sae, subtract_b_dec=not subtracts)
    assert other.subtract_b_dec is not subtracts
    x = residuals()
    torch.testing.assert_close(other.encode(x).dense(N_FEATURES), sae.encode(x).dense(N_FEATURES), atol=1e-5, rtol=0)
