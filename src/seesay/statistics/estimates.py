"""A mean over features with its interval, and the difference of two groups' means."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64

N_RESAMPLES = 2000
TAILS = (0.025, 0.975)
"""What lies between them is the 95 % interval."""

_N_DRAWS_AT_ONCE = 4_000_000


@final
@dataclass(frozen=True)
class Estimate:
    """A mean over features.

    Args:
        mean: of their values.
        low: lower end of its 95 % interval.
        high: upper end.
        n: features.
    """

    mean: float
    low: float
    high: float
    n: int


def estimate(
    values: Float64[np.ndarray, " feature"], clusters: Int64[np.ndarray, " feature"] | None = None, *, seed: int = 0
) -> Estimate:
    """A mean with its 95 % interval, by percentile bootstrap over features or over clusters of them.

    Features that are near-duplicates are no evidence of their own: they are drawn together, or not at all. As clusters
    differ in size, so do resamples, and the mean of each is a ratio: the sum of its values over their number.

    Source: Efron and Tibshirani, *An Introduction to the Bootstrap*, chapters 8 and 13; without clusters it is
    `scipy.stats.bootstrap`.

    Args:
        values: one for each feature, at least one, all finite.
        clusters: which cluster each feature is in, by any number; None if each stands for itself.
        seed: of the resampling.

    Returns:
        The mean of all values. The interval has no width if all values are the same, or if there is but one cluster:
        that tells nothing of the spread.
    """
    assert len(values) and np.isfinite(values).all(), "a mean of nothing, or of what is no number"
    if np.ptp(values) == 0:
        value = float(values[0])
        return Estimate(value, value, value, len(values))
    sums_c, counts_c = _totals(values, clusters)
    low, high = np.quantile(_means(sums_c, counts_c, seed), TAILS)
    return Estimate(float(sums_c.sum() / counts_c.sum()), float(low), float(high), len(values))


def contrast(
    values: Float64[np.ndarray, " feature"],
    is_first: Bool[np.ndarray, " feature"],
    clusters: Int64[np.ndarray, " feature"] | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """The mean of one group of features less that of the others, with its 95 % interval.

    Clusters are drawn as in `estimate`, whatever groups their features are in, and both means are of the same resample;
    one that lacks a group tells nothing and is left out.

    Args:
        values: one for each feature, all finite.
        is_first: whether a feature is in the first group; each group has at least one.
        clusters: which cluster each feature is in; None if each stands for itself.
        seed: of the resampling.
    """
    assert len(values) and np.isfinite(values).all(), "a mean of nothing, or of what is no number"
    assert is_first.any() and not is_first.all(), "two groups are compared"
    own = np.arange(len(values)) if clusters is None else clusters
    first, second = (_totals(np.where(group, values, 0.0), own)[0] for group in (is_first, ~is_first))
    n_first, n_second = (_totals(group.astype(np.float64), own)[0] for group in (is_first, ~is_first))
    rng, n = np.random.default_rng(seed), len(first)
    drawn: list[np.ndarray] = []
    at_once = max(1, _N_DRAWS_AT_ONCE // n)
    for start in range(0, N_RESAMPLES, at_once):
        rows = rng.integers(0, n, (min(at_once, N_RESAMPLES - start), n))
        counts = [each.take(rows).sum(1) for each in (n_first, n_second)]
        sums = [each.take(rows).sum(1) for each in (first, second)]
        has_both = (counts[0] > 0) & (counts[1] > 0)
        means = [total[has_both] / count[has_both] for total, count in zip(sums, counts, strict=True)]
        drawn.append(means[0] - means[1])
    low, high = np.quantile(np.concatenate(drawn), TAILS)
    mean = values[is_first].mean() - values[~is_first].mean()
    return Estimate(float(mean), float(low), float(high), len(values))


def _totals(
    values: Float64[np.ndarray, " feature"], clusters: Int64[np.ndarray, " feature"] | None
) -> tuple[Float64[np.ndarray, " cluster"], Int64[np.ndarray, " cluster"]]:
    """The sum of each cluster's values, and their number."""
    if clusters is None:
        return values, np.ones(len(values), dtype=np.int64)
    assert clusters.shape == values.shape, f"clusters of {clusters.shape} features, values of {values.shape}"
    _, places = np.unique(clusters, return_inverse=True)
    return np.bincount(places, weights=values), np.bincount(places)


def _means(
    sums_c: Float64[np.ndarray, " cluster"], counts_c: Int64[np.ndarray, " cluster"], seed: int
) -> Float64[np.ndarray, " resample"]:
    """The mean of each resample; a few at a time, as all draws of many features would fill the memory."""
    rng, n = np.random.default_rng(seed), len(sums_c)
    has_one_each = bool((counts_c == 1).all())  # then a resample has as many values as there are
    at_once = max(1, _N_DRAWS_AT_ONCE // n)
    means: list[np.ndarray] = []
    for start in range(0, N_RESAMPLES, at_once):
        drawn_rc = rng.integers(0, n, (min(at_once, N_RESAMPLES - start), n))
        means.append(sums_c.take(drawn_rc).sum(1) / (n if has_one_each else counts_c.take(drawn_rc).sum(1)))
    return np.concatenate(means)
