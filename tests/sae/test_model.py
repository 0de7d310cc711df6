from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.errors import FeatureNotFound, MismatchedSAE
from seesay.sae import SAE, Codes, Provenance
from seesay.sae.model import unit_rows
from tests.families import D_MODEL
from tests.tiny import N_FEATURES, tiny_sae


def written_out(sae: SAE, residual: torch.Tensor) -> torch.Tensor:
    """The formula of each activation, over all features at once."""
    normal, _, _ = normalised(sae, residual)
    pre = (normal - sae.b_dec * sae.subtract_b_dec) @ sae.W_enc + sae.b_enc
    if sae.k is not None:
        wanted = pre.abs() if sae.activation == "magnitude_topk" else pre
        kept = torch.zeros_like(pre).scatter(-1, wanted.topk(sae.k).indices, 1.0)
    else:
        kept = (pre > (0.0 if sae.threshold is None else sae.threshold)).float()
    signed = sae.activation in ("signed_topk", "magnitude_topk")
    return (pre if signed else pre.relu()) * kept * (1.0 if sae.gain is None else sae.gain)


def normalised(sae: SAE, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A row as the encoder takes it, what it was divided by, and what was taken from it."""
    one, zero = torch.ones_like(residual[..., :1]), torch.zeros_like(residual[..., :1])
    if sae.normalization == "layer_norm":
        mean, deviation = residual.mean(-1, keepdim=True), residual.std(-1, keepdim=True)
        return (residual - mean) / (deviation + 1e-5), deviation, mean
    if sae.normalization == "constant_norm":
        scale = residual.norm(dim=-1, keepdim=True) / sae.d_model**0.5
        return residual / scale, scale, zero
    return residual, one, zero


def random_sae(activation: str, seed: int = 0, *, subtract_b_dec: bool = True, normalization: str = "none") -> SAE:
    generator = torch.Generator().manual_seed(seed)
    W_dec, gain = unit_rows(torch.randn(12, 6, generator=generator))
    return SAE(
        W_enc=torch.randn(6, 12, generator=generator),
        W_dec=W_dec,
        b_enc=torch.randn(12, generator=generator),
        b_dec=torch.randn(6, generator=generator),
        activation=activation,
        k=3 if activation.endswith("topk") and activation != "batch_topk" else None,
        threshold=torch.rand(12, generator=generator) if activation in ("jumprelu", "batch_topk") else None,
        subtract_b_dec=subtract_b_dec,
        gain=gain,
        normalization=normalization,
    )


ACTIVATIONS = ["relu", "topk", "signed_topk", "magnitude_topk", "batch_topk", "jumprelu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalization", ["none", "layer_norm", "constant_norm"])
@settings(max_examples=40)  # of each of eighteen
@given(
    seed=st.integers(0, 1000),
    rows_at_once=st.integers(1, 40),
    features_at_once=st.integers(1, 14),
    subtract_b_dec=st.booleans(),
)
def test_codes_equal_the_formula(
    activation: str, normalization: str, seed: int, rows_at_once: int, features_at_once: int, subtract_b_dec: bool
) -> None:
    sae = random_sae(activation, seed, subtract_b_dec=subtract_b_dec, normalization=normalization)
    residual = torch.randn(3, 11, 6, generator=torch.Generator().manual_seed(seed)) + 0.3
    codes = sae.encode(residual, rows_at_once=rows_at_once, features_at_once=features_at_once)
    expected = written_out(sae, residual)
    torch.testing.assert_close(codes.dense(12), expected, rtol=1e-5, atol=1e-5)
    _, scale, shift = normalised(sae, residual)
    rebuilt = (expected @ sae.W_dec + sae.b_dec) * scale + shift
    torch.testing.assert_close(sae.decode(codes), rebuilt, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sae.activation_scale(residual), scale[..., 0])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_half_precision_finds_about_the_same(activation: str) -> None:
    sae = random_sae(activation, subtract_b_dec=False)
    residual = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    half = sae.to(dtype=torch.bfloat16)
    found = half.encode(residual)
    assert found.values.dtype == torch.bfloat16
    codes, expected = found.dense(12).float(), written_out(sae, residual)
    # Rounding may swap features about as active as each other, or near their threshold.
    active = (codes != 0) & (expected != 0)
    assert active.sum() > 0.97 * max((codes != 0).sum(), (expected != 0).sum())
    assert (codes - expected)[active].norm() < 0.01 * expected[active].norm()
    # Where nothing cancels, each alone is as good as its number format.
    large = active & (expected.abs() > expected.abs().max() / 4)
    torch.testing.assert_close(codes[large], expected[large], rtol=0.02, atol=0)


def test_directions_without_an_encoder_have_no_activations() -> None:
    W_dec, _ = unit_rows(torch.randn(3, 6))
    alone = SAE(None, W_dec, torch.zeros(3), torch.zeros(6), "none")
    assert torch.equal(alone.direction(1), W_dec[1])
    assert alone.to("cpu").W_enc is None
    with pytest.raises(MismatchedSAE, match="without an encoder"):
        alone.encode(torch.zeros(2, 6))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalization", ["none", "layer_norm", "constant_norm"])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_no_rows_have_no_codes(activation: str, normalization: str, shape: tuple[int, ...]) -> None:
    sae, nothing = random_sae(activation, normalization=normalization), torch.zeros(*shape, 6)
    codes = sae.encode(nothing)
    assert codes.values.shape == codes.feature_ids.shape == (*shape, sae.k or 1)
    assert sae.decode(codes).shape == (*shape, 6)
    assert sae.activation_scale(nothing).shape == shape


@pytest.mark.parametrize("shape", [(2, 5), (2, 12), (0,)])
def test_residuals_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    for compute in (random_sae("topk").encode, random_sae("topk").activation_scale):
        with pytest.raises(
            MismatchedSAE, match=rf"residuals of shape \[{shape[0]}.*a last axis of 6, .*; choose an SAE"
        ):
            compute(torch.zeros(shape))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_row_of_zeros_has_the_codes_of_an_input_of_zeros(activation: str) -> None:
    """Where rows are scaled to one norm; SAELens divides by the row's own and makes NaN of it."""
    sae, rows = random_sae(activation, normalization="constant_norm"), torch.randn(3, 6)
    rows[1] = 0
    codes = sae.encode(rows)
    expected = random_sae(activation).encode(rows[1])
    torch.testing.assert_close(codes.dense(12)[1], expected.dense(12))
    torch.testing.assert_close(sae.decode(codes)[1], torch.zeros(6))
    assert codes.dense(12).isfinite().all()


def test_topk_codes_have_k_places_and_others_as_many_as_needed() -> None:
    residual = torch.randn(9, 6)
    assert random_sae("topk").encode(residual).values.shape == (9, 3)
    codes = random_sae("jumprelu").encode(residual)
    assert codes.values.shape[-1] == (codes.dense(12) > 0).sum(-1).max()


def test_rows_without_an_active_feature_decode_to_the_bias() -> None:
    sae = random_sae("jumprelu")
    silent = SAE(**{**vars(sae), "threshold": torch.full((12,), 1e9)})
    codes = silent.encode(torch.randn(4, 6))
    assert codes.values.tolist() == [[0.0]] * 4
    torch.testing.assert_close(silent.decode(codes), silent.b_dec.expand(4, 6))


def test_filled_up_places_do_not_overwrite_an_active_feature() -> None:
    codes = Codes(torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0, 0, 0]]))
    assert codes.dense(2).tolist() == [[2.0, 0.0]]


def test_low_precision_residuals_are_computed_with_in_float32() -> None:
    residual = torch.randn(4, 6).bfloat16()
    assert random_sae("topk").encode(residual).values.dtype == torch.float32


def test_directions_have_unit_norm_and_the_order_asked_for() -> None:
    sae = tiny_sae()
    directions = sae.directions([9, 2, 9])
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(3))
    assert torch.equal(directions, sae.W_dec[[9, 2, 9]])


@pytest.mark.parametrize("feature_id", [-1, N_FEATURES])
def test_a_feature_that_is_not_there_is_named(feature_id: int) -> None:
    with pytest.raises(FeatureNotFound, match=rf"feature {feature_id};.*0 to {N_FEATURES - 1}"):
        tiny_sae().directions([0, feature_id])


def test_another_width_does_not_fit() -> None:
    tiny_sae().check_fits(D_MODEL)
    with pytest.raises(MismatchedSAE, match=f"width {D_MODEL}.*width 1152"):
        tiny_sae().check_fits(1152)


def test_a_row_of_zeros_stays_one() -> None:
    rows, norms = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    assert norms.tolist() == [5.0, 0.0]


@pytest.mark.parametrize("size", [3e38, 1.0, 1e-30, 1e-44])
def test_rows_of_any_length_become_directions(size: float) -> None:
    rows, norms = unit_rows(torch.tensor([[size, -size], [0.0, size]]))
    torch.testing.assert_close(rows, torch.tensor([[0.5**0.5, -(0.5**0.5)], [0.0, 1.0]]))
    assert norms[1] == torch.tensor(size)


def test_it_is_shown_without_its_numbers() -> None:
    shown = repr(replace(random_sae("topk"), provenance=Provenance("world", 3)))
    assert shown.startswith("SAE(12 features of width 6, topk of 3, torch.float32, Provenance(subject='world', layer=3")
    assert "tensor" not in shown
    assert "6, jumprelu, torch.bfloat16, " in repr(random_sae("jumprelu").to(dtype=torch.bfloat16))


def test_moving_takes_every_tensor_along() -> None:
    moved = random_sae("jumprelu").to("meta")
    assert {value.device.type for value in vars(moved).values() if isinstance(value, torch.Tensor)} == {"meta"}
