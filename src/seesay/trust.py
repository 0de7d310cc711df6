"""How sure one can be that words are right: a probability from what can be seen without the truth.

Fitted where the truth is known, on validation features, by logistic regression on standardised signals: so few numbers
can be read and checked by anyone, and need no library to be applied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from seesay.errors import InvalidSetting

Signals = Float64[np.ndarray, "item signal"]

THRESHOLDS = (0.5, 0.8, 0.9, 0.95)
"""How sure one may want to be."""

_N_FOLDS = 5
_STRENGTHS = tuple(10.0**power for power in np.arange(-3.0, 2.1, 0.5))
"""Of the prior that weights are small, inverted, from strong to weak."""

_LEAST = 10
"""Right and wrong words, of each, without which nothing can be learnt."""

_NEGLIGIBLE = 1e-9
"""Of a signal's mean, what rounding may leave as the deviation of one that never varies."""


@final
@dataclass(frozen=True)
class TrustModel:
    """A logistic regression.

    Args:
        names: of the signals, in their order.
        centres: their means, which also stand for a signal that is missing.
        scales: their standard deviations; 1 for a signal that never varies.
        weights: of the standardised signals.
        bias: log-odds where all signals are at their means.
    """

    names: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def probabilities(self, signals: Signals) -> Float64[np.ndarray, " item"]:
        """How probable it is that words are right.

        Args:
            signals: in the order of `names`; NaN for what is missing.
        """
        odds = _standardised(signals, np.array(self.centres), np.array(self.scales)) @ np.array(self.weights)
        return np.exp(-np.logaddexp(0, -(odds + self.bias)))  # the logistic function, which overflows nowhere

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        columns = zip(self.names, self.weights, self.centres, self.scales, strict=True)
        return {
            "bias": self.bias,
            "signals": {
                name: {"weight": weight, "centre": centre, "scale": scale} for name, weight, centre, scale in columns
            },
        }


def fit(
    names: Sequence[str], signals: Signals, is_right: Bool[np.ndarray, " item"], groups: Int64[np.ndarray, " item"]
) -> TrustModel:
    """Learn how probable it is that words are right.

    How small weights are kept is chosen by cross-validated log-loss; items of one group are never parted.

    Args:
        names: of the signals.
        signals: of each item; NaN for what is missing.
        is_right: whether its words are right.
        groups: what belongs together: the feature that the words are of.

    Raises:
        InvalidSetting: too few right or wrong words, or features, to learn from.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from threadpoolctl import threadpool_limits

    n_right = int(is_right.sum())
    too_few = InvalidSetting(
        f"{n_right} right and {len(is_right) - n_right} wrong explanations of {len(np.unique(groups))} validation "
        "features to learn trust from",
        expected=f"at least {_LEAST} of each, of {2 * _N_FOLDS} features or more",
        remedy="explain and score more features",
    )
    if min(n_right, len(is_right) - n_right) < _LEAST or len(np.unique(groups)) < 2 * _N_FOLDS:
        raise too_few
    known = ~np.isnan(signals)
    counts = np.maximum(known.sum(0), 1)
    centres = np.where(known, signals, 0.0).sum(0) / counts
    scales = np.sqrt(np.where(known, (signals - centres) ** 2, 0.0).sum(0) / counts)
    scales = np.where(scales > _NEGLIGIBLE * np.abs(centres), scales, 1.0)
    folds = GroupKFold(_N_FOLDS).split(signals, groups=groups)
    usable = [fold for fold in folds if all(0 < is_right[part].sum() < len(part) for part in fold)]
    if not usable:
        raise too_few
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": list(_STRENGTHS)}, scoring="neg_log_loss", cv=usable)
    with threadpool_limits(1):  # the numbers are so few that a second thread is only waited for
        model = search.fit(_standardised(signals, centres, scales), is_right).best_estimator_
    return TrustModel(
        names=tuple(names),
        centres=tuple(centres.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(np.ravel(model.coef_).tolist()),
        bias=float(np.ravel(model.intercept_)[0]),
    )


def _standardised(signals: Signals, centres: np.ndarray, scales: np.ndarray) -> Signals:
    return np.where(np.isnan(signals), 0.0, (signals - centres) / scales)


def with_methods(rows: Sequence[Mapping[str, float]], methods: Sequence[str]) -> tuple[list[str], Signals]:
    """Put signals side by side, with one more for each method that is 1 for its own words.

    Args:
        rows: of each item its signals by name; what is missing is left out.
        methods: of each item.

    Returns:
        The names, and the numbers; NaN for what is missing.
    """
    names = sorted({name for row in rows for name in row})
    kinds = sorted(set(methods))
    numbers = [
        [*(row.get(name, np.nan) for name in names), *(float(method == kind) for kind in kinds)]
        for row, method in zip(rows, methods, strict=True)
    ]
    return [*names, *(f"method: {kind}" for kind in kinds)], np.array(numbers, dtype=np.float64)
