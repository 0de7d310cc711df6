"""How far raters agree."""

from dataclasses import dataclass
from typing import final

import krippendorff
import numpy as np
from jaxtyping import Float64, Int64

from seesay.statistics.estimates import N_RESAMPLES, TAILS


@final
@dataclass(frozen=True)
class Alpha:
    """How far raters agree beyond chance.

    Args:
        value: 1 if they always agree, 0 if they agree no more than chance would have it, below 0 if less.
        low: lower end of its 95 % interval.
        high: upper end.
        n: items that at least two of them rated.
    """

    value: float
    low: float
    high: float
    n: int


def ordinal_alpha(
    ratings: Float64[np.ndarray, "rater item"], clusters: Int64[np.ndarray, " item"] | None = None, *, seed: int = 0
) -> Alpha | None:
    """Krippendorff's alpha for ratings that have an order but no distances, with its 95 % interval.

    The interval is a percentile bootstrap over items, or over clusters of them: whatever is said of one feature stands
    beside the same pictures. Resamples in which all ratings are the same, so that alpha cannot be said, are left out.

    Source: Krippendorff, *Content Analysis*, chapter 11, by the package `krippendorff`.

    Args:
        ratings: the larger, the better; NaN where a rater did not rate an item.
        clusters: which cluster each item is in, by any number; None if each stands for itself.
        seed: of the resampling.

    Returns:
        None if no item has two ratings, or if all ratings of such items are the same.
    """
    values = np.unique(ratings[~np.isnan(ratings)])
    counts_iv = (ratings.T[..., None] == values).sum(1)
    is_shared = counts_iv.sum(1) >= 2
    counts_iv = counts_iv[is_shared]
    if not _differ(counts_iv):
        return None
    own = np.arange(ratings.shape[1]) if clusters is None else clusters
    _, cluster_of = np.unique(own[is_shared], return_inverse=True)
    n_clusters, n_values = int(cluster_of.max()) + 1, len(values)
    pairs_cvv = np.zeros((n_clusters, n_values, n_values))
    np.add.at(pairs_cvv, cluster_of, pairs_of(counts_iv))
    rng = np.random.default_rng(seed)
    # Pairs add up over items, so that a resample needs but how often it holds each cluster.
    drawn = (np.bincount(rng.integers(0, n_clusters, n_clusters), minlength=n_clusters) for _ in range(N_RESAMPLES))
    alphas = alphas_of(np.stack([np.tensordot(n_c, pairs_cvv, 1) for n_c in drawn]))
    low, high = np.quantile(alphas[~np.isnan(alphas)], TAILS)
    value = float(krippendorff.alpha(value_counts=counts_iv, level_of_measurement="ordinal"))
    return Alpha(value, float(low), float(high), len(counts_iv))


def alphas_of(pairs_rvv: Float64[np.ndarray, "resample value value"]) -> Float64[np.ndarray, " resample"]:
    """Ordinal alpha of many tables at once.

    Args:
        pairs_rvv: how often two raters give an item each two values, each item's pairs divided by its ratings less one.

    Returns:
        NaN where all ratings are the same.
    """
    n_rv = pairs_rvv.sum(2)
    n_r = n_rv.sum(1)
    # What lies between two values, half of each of the two included; the order of the two tells nothing.
    middle_rv = np.cumsum(n_rv, 1) - n_rv / 2
    distance_rvv = (middle_rv[:, :, None] - middle_rv[:, None, :]) ** 2
    observed_r = (pairs_rvv * distance_rvv).sum((1, 2))
    expected_r = (n_rv[:, :, None] * n_rv[:, None, :] * distance_rvv).sum((1, 2))
    is_said = (n_rv > 0.5).sum(1) >= 2  # counts but for rounding
    found_r = np.full(len(n_r), np.nan)
    found_r[is_said] = 1 - (n_r[is_said] - 1) * observed_r[is_said] / expected_r[is_said]
    return found_r


def pairs_of(counts_iv: Int64[np.ndarray, "item value"]) -> Float64[np.ndarray, "item value value"]:
    """How often two raters give an item each two values, divided by its ratings less one.

    Args:
        counts_iv: how often an item is given a value, twice at least all together.
    """
    of_one_rater = counts_iv[:, :, None] * np.eye(counts_iv.shape[1])
    return (counts_iv[:, :, None] * counts_iv[:, None, :] - of_one_rater) / (counts_iv.sum(1) - 1)[:, None, None]


def _differ(counts_iv: Int64[np.ndarray, "item value"]) -> bool:
    """Whether there are two ratings that are not the same."""
    return int(counts_iv.any(0).sum()) >= 2
