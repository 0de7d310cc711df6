"""The score in one pass against a double loop over pairs of images."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seesay.exemplars.activity import Pairs
from seesay.scorers.monosemanticity import Monosemanticity
from seesay.scorers.scorer import Item


def unit(n_images: int, dimension: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n_images, dimension, generator=generator), dim=1)


def exact_cosine(one: Tensor, other: Tensor) -> float:
    """Of vectors whose lengths are 1 only but for rounding."""
    return float(torch.nn.functional.cosine_similarity(one.double(), other.double(), dim=0))


def pairs(activations: Tensor) -> Pairs:
    """What activates what, as a pass over a batch gives it."""
    images, features = activations.nonzero(as_tuple=True)
    places = torch.arange(len(images))
    return Pairs(features, images, activations[images, features], places, torch.ones_like(places))


def one_pass(vectors: Tensor, activations: Tensor, batch_size: int = 3) -> Tensor:
    score = Monosemanticity(activations.shape[1])
    for start in range(0, len(vectors), batch_size):
        rows = slice(start, start + batch_size)
        score.add(vectors[rows], pairs(activations[rows]))
    return score.values()


def by_pairs(vectors: Tensor, activations: Tensor) -> list[float]:
    """As the definition says it, pair by pair."""
    found: list[float] = []
    v = vectors.double().numpy()
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    for a in activations.double().numpy().T:
        if a.max() == a.min():
            found.append(math.nan)
            continue
        s = (a - a.min()) / (a.max() - a.min())
        weighed = total = 0.0
        for i in range(len(s)):
            for j in range(len(s)):
                if i != j:
                    weighed += s[i] * s[j] * float(v[i] @ v[j])
                    total += s[i] * s[j]
        found.append(weighed / total if total else math.nan)
    return found


def random_activations(n_images: int, n_features: int, share: float, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(n_images, n_features, generator=generator) * 5
    return values * (torch.rand(n_images, n_features, generator=generator) < share)


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_one_pass_gives_what_all_pairs_give(share: float) -> None:
    vectors, activations = unit(40), random_activations(40, 30, share)
    found = one_pass(vectors, activations)
    assert found.dtype == torch.float64
    assert found.isfinite().sum() > 10
    np.testing.assert_allclose(found, by_pairs(vectors, activations), rtol=1e-9, atol=1e-9)


@given(st.integers(1, 12), st.integers(0, 1000), st.sampled_from([0.2, 0.6, 1.0]), st.sampled_from([0, 1, 3]))
def test_one_pass_gives_what_all_pairs_give_with_ties(n_images: int, seed: int, share: float, n_levels: int) -> None:
    vectors, activations = unit(n_images, seed=seed), random_activations(n_images, 5, share, seed)
    if n_levels:
        activations = (activations * n_levels / 5).ceil()
    np.testing.assert_allclose(one_pass(vectors, activations), by_pairs(vectors, activations), rtol=1e-7, atol=1e-7)


def test_batches_change_nothing() -> None:
    vectors, activations = unit(20), random_activations(20, 8, 0.4)
    expected = one_pass(vectors, activations, 20)
    for batch_size in (1, 7):
        torch.testing.assert_close(one_pass(vectors, activations, batch_size), expected, equal_nan=True)


def test_a_least_activation_above_zero_is_taken_off() -> None:
    vectors = unit(4)
    raised = torch.tensor([[7.0], [7.0], [8.0], [9.0]])
    lowered = torch.tensor([[0.0], [0.0], [1.0], [2.0]])
    expected = exact_cosine(vectors[2], vectors[3])
    for activations in (raised, lowered):
        assert float(one_pass(vectors, activations)) == pytest.approx(expected, abs=1e-9)


def test_a_large_and_nearly_constant_activation_is_still_told_apart() -> None:
    activations = 1000 + random_activations(60, 4, 1.0) / 50
    vectors = unit(60)
    np.testing.assert_allclose(one_pass(vectors, activations), by_pairs(vectors, activations), rtol=1e-5, atol=1e-6)


def test_an_image_that_a_feature_shares_with_one_far_weaker_counts() -> None:
    activations = torch.tensor([[1.0], [1e-6], [0.0]])
    vectors = unit(3)
    expected = exact_cosine(vectors[0], vectors[1])
    assert float(one_pass(vectors, activations)) == pytest.approx(expected, rel=1e-5)


def test_equal_images_score_one_and_opposite_ones_minus_one() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    activations = torch.tensor([[2.0, 3.0], [1.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    assert one_pass(vectors, activations).tolist() == pytest.approx([1, -1])


@pytest.mark.parametrize(
    "activations",
    [
        [0.0, 0.0, 0.0, 0.0],  # dead
        [2.0, 2.0, 2.0, 2.0],  # constant
        [0.1] * 2000,  # constant, and not exact in binary
        [0.0, 0.0, 0.3, 0.0],  # one image
        [0.7, 0.7, 0.7, 1.3],  # one image above the least
        [0.7] * 2000 + [1.3],
    ],
)
def test_a_feature_of_which_no_pair_is_told_has_no_score(activations: list[float]) -> None:
    assert math.isnan(float(one_pass(unit(len(activations)), torch.tensor(activations)[:, None], 100)))


def test_one_image_and_none_at_all_have_no_score() -> None:
    assert one_pass(unit(1), torch.tensor([[1.0, 0.0]])).isnan().all()
    assert Monosemanticity(3).values().isnan().all()


def test_features_are_measured_with_a_reason_where_there_is_no_score() -> None:
    activations = torch.tensor([[1.0, 0.0, 2.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    score = Monosemanticity(3)
    score.add(unit(3), pairs(activations))
    told, dead, single = score.measured([Item(0), Item(1), Item(2)])
    assert told.value == pytest.approx(by_pairs(unit(3), activations)[0])
    assert told.reason == ""
    assert (dead.value, dead.reason) == (None, "no image activates it")
    assert (single.value, single.reason) == (None, "fewer than two images tell it apart")
