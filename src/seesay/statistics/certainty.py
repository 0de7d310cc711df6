"""Whether probabilities are what they say: of a hundred explanations that are 90 % sure, ninety should be right."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64

Outcomes = Bool[np.ndarray, " item"] | Float64[np.ndarray, " item"]
"""Right or wrong, or 1 and 0."""


@final
@dataclass(frozen=True)
class Bin:
    """Items of similar probability.

    Args:
        mean_probability: that they were given.
        share_right: of them.
        n: how many they are.
    """

    mean_probability: float
    share_right: float
    n: int


def reliability(probabilities: Float64[np.ndarray, " item"], outcomes: Outcomes, n_bins: int = 10) -> list[Bin]:
    """What a reliability diagram shows.

    Bins hold about the same number of items each: they lie between quantiles, as those of scikit-learn's
    `calibration_curve`. Equal probabilities are never parted, so that bins may be larger, and fewer.

    Args:
        probabilities: of being right, at least one, each from 0 to 1.
        outcomes: whether each was right.
        n_bins: at most so many.

    Returns:
        The bins that are not empty, the least certain first.
    """
    _check(probabilities, outcomes)
    assert n_bins > 0, f"{n_bins} bins"
    inner_edges = np.percentile(probabilities, np.linspace(0, 1, n_bins + 1) * 100)[1:-1]
    bins_i = np.searchsorted(inner_edges, probabilities)
    members = [bins_i == number for number in np.unique(bins_i)]
    return [
        Bin(float(probabilities[own].mean()), float(outcomes[own].mean()), int(np.count_nonzero(own)))
        for own in members
    ]


def calibration_error(probabilities: Float64[np.ndarray, " item"], outcomes: Outcomes, n_bins: int = 10) -> float:
    """Expected calibration error: mean distance of `reliability`'s bins from the diagonal, weighed by their items.

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", 2015; with
    bins of equal mass as in Nguyen and O'Connor 2015.

    Args:
        probabilities: of being right, at least one, each from 0 to 1.
        outcomes: whether each was right.
        n_bins: at most so many.

    Returns:
        0 to 1. It grows with the number of bins, as chance does not average out in small ones.
    """
    bins = reliability(probabilities, outcomes, n_bins)
    return sum(each.n * abs(each.mean_probability - each.share_right) for each in bins) / len(probabilities)


def coverage_accuracy(
    probabilities: Float64[np.ndarray, " item"], outcomes: Outcomes
) -> tuple[Float64[np.ndarray, " threshold"], Float64[np.ndarray, " threshold"]]:
    """What share of items is right if only the most certain are kept.

    Args:
        probabilities: of being right, at least one, each from 0 to 1.
        outcomes: whether each was right.

    Returns:
        Coverage, the share that is kept, and accuracy, the share of these that is right; one point for each probability
        that occurs, the highest first: equal ones are kept together. The last coverage is 1.
    """
    _check(probabilities, outcomes)
    _, places = np.unique(-probabilities, return_inverse=True)
    n_kept = np.bincount(places).cumsum()
    n_right = np.bincount(places, weights=outcomes).cumsum()
    return n_kept / len(probabilities), n_right / n_kept


def _check(probabilities: np.ndarray, outcomes: np.ndarray) -> None:
    assert probabilities.shape == outcomes.shape, f"{outcomes.shape} outcomes of {probabilities.shape} probabilities"
    assert len(probabilities), "no items"
    assert ((probabilities >= 0) & (probabilities <= 1)).all(), "probabilities below 0, above 1, or NaN"
    assert np.isfinite(outcomes).all(), "outcomes that are no numbers"
