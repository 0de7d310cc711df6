"""Two methods on the same features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import permutation_test, rankdata, wilcoxon

from seesay.statistics.estimates import Estimate, estimate

# Scores are means of 32-bit numbers, or shares of a few images. Without this, 0.6 - 0.55 and 0.55 - 0.5 would be no
# tie, and the noise of another batch would count as a difference of full weight.
_DECIMALS = 6

_MAX_SIGNS = 13  # scipy, too, tries all signs of so many differences if some are equal; with more it approximates


@final
@dataclass(frozen=True)
class Paired:
    """How the first of two methods differs from the second.

    Args:
        difference: mean of first minus second, with its interval.
        effect: matched-pairs rank-biserial correlation: 1 if the first is better wherever they differ, -1 if the second
            is, 0 if neither is or they never differ.
        p_value: two-sided, of Wilcoxon's signed-rank test; 1 if they never differ.
        n: features, those on which both do the same among them.
    """

    difference: Estimate
    effect: float
    p_value: float
    n: int


def paired(
    first: Float64[np.ndarray, " feature"],
    second: Float64[np.ndarray, " feature"],
    clusters: Int64[np.ndarray, " feature"] | None = None,
    *,
    seed: int = 0,
) -> Paired:
    """Compare two methods feature by feature.

    Ranks are Wilcoxon's: of the size of the differences that are not zero, ties sharing their mean. Differences are
    rounded to six decimals first. The test takes features for independent; only the interval knows of clusters.

    Source: Wilcoxon 1945, by `scipy.stats.wilcoxon`; the effect is Kerby's "simple difference formula" (2014): the sum
    of ranks for the first less that for the second, over the sum of all.

    Args:
        first: scores of one method, at least one, all finite.
        second: those of the other on the same features.
        clusters: near-duplicates, see `estimate`.
        seed: of the resampling.
    """
    assert first.shape == second.shape, f"{first.shape} scores against {second.shape}"
    difference = estimate(first - second, clusters, seed=seed)
    rounded = np.round(first - second, _DECIMALS)
    if not rounded.any():
        return Paired(difference, effect=0.0, p_value=1.0, n=len(first))
    # Zeros come first, and are taken off again: the smallest of those that differ has rank 1.
    signed_ranks = (rankdata(np.abs(rounded)) - np.count_nonzero(rounded == 0)) * np.sign(rounded)
    return Paired(
        difference,
        effect=float(signed_ranks.sum() / np.abs(signed_ranks).sum()),
        p_value=_p_value(rounded, signed_ranks),
        n=len(first),
    )


def _p_value(differences: Float64[np.ndarray, " feature"], signed_ranks: Float64[np.ndarray, " feature"]) -> float:
    """As `wilcoxon` gives it; but where it would go through all signs one by one, they are gone through at once."""
    found: Any = (
        permutation_test((signed_ranks,), np.sum, permutation_type="samples", n_resamples=2**_MAX_SIGNS)
        if 1 < len(differences) <= _MAX_SIGNS
        else wilcoxon(differences)
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values of several tests, so that one of them being below 0.05 by chance is as rare as it sounds.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979: the k-th smallest of m is multiplied
    by m - k + 1, and none may be below one that was smaller.

    Args:
        p_values: each from 0 to 1; may be none.

    Returns:
        The adjusted ones, in the given order, at most 1.
    """
    given = np.array(p_values, dtype=np.float64)
    assert ((given >= 0) & (given <= 1)).all(), f"p values {given}"
    order = np.argsort(given, kind="stable")
    n_left = np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * n_left), 1.0)
    return adjusted.tolist()
