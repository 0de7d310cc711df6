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
    members = [counts_iv[cluster_of == each] for each in range(cluster_of.max() + 1)]
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, len(members), len(members)) for _ in range(N_RESAMPLES))
    resamples = (np.concatenate([members[each] for each in some]) for some in drawn)
    low, high = np.quantile([_alpha(each) for each in resamples if _differ(each)], TAILS)
    return Alpha(_alpha(counts_iv), float(low), float(high), len(counts_iv))


def _differ(counts_iv: Int64[np.ndarray, "item value"]) -> bool:
    """Whether there are two ratings that are not the same."""
    return int(counts_iv.any(0).sum()) >= 2


def _alpha(counts_iv: Int64[np.ndarray, "item value"]) -> float:
    return float(krippendorff.alpha(value_counts=counts_iv, level_of_measurement="ordinal"))
