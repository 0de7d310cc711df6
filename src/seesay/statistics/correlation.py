"""Whether two scores put features in the same order."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64
from scipy.stats import spearmanr

MIN_FEATURES = 3
"""Two features are always in the same order, or in the opposite one."""


@final
@dataclass(frozen=True)
class Correlation:
    """A rank correlation.

    Args:
        rho: Spearman's, -1 to 1.
        p_value: two-sided, by the t distribution: too small where there are fewer than some ten features.
        n: features.
    """

    rho: float
    p_value: float
    n: int


def rank_correlation(x: Float64[np.ndarray, " feature"], y: Float64[np.ndarray, " feature"]) -> Correlation | None:
    """Spearman's rank correlation, by `scipy.stats.spearmanr`.

    Args:
        x: one score of each feature; none of them NaN.
        y: another score of the same features.

    Returns:
        None if there are fewer than three features, or if one of the two scores is the same for all.
    """
    assert x.shape == y.shape, f"{x.shape} scores against {y.shape}"
    assert not (np.isnan(x).any() or np.isnan(y).any()), "scores that are no numbers"
    if len(x) < MIN_FEATURES or (x == x[0]).all() or (y == y[0]).all():
        return None
    found: Any = spearmanr(x, y)
    return Correlation(float(found.statistic), float(found.pvalue), len(x))
