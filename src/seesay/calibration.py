"""Which strength: curves over strengths, and what speaks for one of them where nobody knows the truth.

Pure functions on words and numbers. Source of the idea that a scale can be chosen by what it says of itself:
Kharlapenko et al., self-explaining SAE features.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float64, Int64

from seesay.errors import InvalidStrength
from seesay.records import Strength, StrengthUnit
from seesay.statistics import estimate

Numbers = Float64[np.ndarray, "strength feature"]
Clusters = Int64[np.ndarray, " feature"]

Score = Literal["agreement", "kl"]
"""What speaks for a strength where nobody knows the truth: that words hold and are the feature's own, see `agreement`;
or that half of the features are `heard`, for which the weakest strength suffices."""

LEAST_KL = 0.1
"""Nats by which a push must move the first word of the answer, or its words are not its doing."""

HALF = 0.5

_N_OTHERS = 16
_WORD = re.compile(r"\w+")


@final
@dataclass(frozen=True)
class Point:
    """What came of one strength.

    Args:
        strength: that was tried.
        score: mean over the features.
        interval: of it, 95 %, by bootstrap over features.
        kl: mean divergence of the first word's distribution from the unsteered one, in nats.
        kl_interval: of it.
        n: features.
    """

    strength: float
    score: float
    interval: tuple[float, float]
    kl: float
    kl_interval: tuple[float, float]
    n: int

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, rounded."""
        facts = asdict(self)
        return {
            name: [round(each, 4) for each in value]
            if isinstance(value, tuple)
            else (value if name == "strength" else round(value, 4))
            for name, value in facts.items()
        }


def similarity(one: str, other: str) -> float:
    """Share of the words of two texts that both have (Jaccard); 0 if one says nothing."""
    ours, theirs = (frozenset(_WORD.findall(text.lower())) for text in (one, other))
    return len(ours & theirs) / len(ours | theirs) if ours and theirs else 0.0


def agreement(texts: Sequence[Sequence[str]], kl: Numbers) -> Numbers:
    """How far the words of a feature hold at neighbouring strengths, beyond what holds for any feature.

    A push too weak says the same as no push at all, and one far too strong says a few fixed words: both agree with
    their neighbours, and just as much with other features. What is left when that is taken off is the feature's own.

    Args:
        texts: of each strength, in their order, those of all features.
        kl: how far each push moves the first word; one that does not counts 0.

    Returns:
        Mean similarity with the words at the strengths next to it, less that with other features' words at the same
        strength: at most 1, about 0 if words tell no feature from another.
    """
    n_strengths, n_features = len(texts), len(texts[0])
    found = np.zeros(kl.shape)
    steps = range(1, min(_N_OTHERS + 1, n_features))
    for row in range(n_strengths):
        neighbours = [texts[other] for other in (row - 1, row + 1) if 0 <= other < n_strengths]
        for column, text in enumerate(texts[row]):
            own = [similarity(text, words[column]) for words in neighbours]
            others = [similarity(text, texts[row][(column + step) % n_features]) for step in steps]
            found[row, column] = np.mean(own or [0.0]) - np.mean(others or [0.0])
    return np.where(kl >= LEAST_KL, found, 0.0)


def curve(
    strengths: Sequence[float], scores: Numbers, kl: Numbers, clusters: Clusters | None = None, seed: int = 0
) -> list[Point]:
    """Means with their intervals.

    Args:
        strengths: that were tried.
        scores: of each feature at each.
        kl: how far each push moves the first word; NaN where that is not known.
        clusters: of features that are near-duplicates; None if each stands for itself.
        seed: of the bootstrap.
    """
    points: list[Point] = []
    for row, strength in enumerate(strengths):
        score, moved = estimate(scores[row], clusters, seed=seed), estimate(_known(kl[row]), seed=seed)
        points.append(
            Point(
                strength=float(strength),
                score=score.mean,
                interval=(score.low, score.high),
                kl=moved.mean,
                kl_interval=(moved.low, moved.high),
                n=score.n,
            )
        )
    return points


def _known(kl: Float64[np.ndarray, " feature"]) -> Float64[np.ndarray, " known"]:
    """Divergences that are numbers; a zero if none is."""
    found = kl[np.isfinite(kl)]
    return found if len(found) else np.zeros(1)


def heard(kl: Numbers) -> Numbers:
    """Which pushes move the first word of the answer at all, 0 or 1.

    Where exemplars are shown, `agreement` lets a push win that drowns them: its words hold, and are no longer about the
    images. There the weakest push that is heard is to be preferred.

    Args:
        kl: how far each push moves the first word.
    """
    return (kl >= LEAST_KL).astype(np.float64)


def best(points: Sequence[Point], unit: StrengthUnit, *, enough: float | None = None, chance: float = 0.0) -> Strength:
    """The weakest strength that does as well as the best one: its mean lies within that one's interval.

    Args:
        points: at least one, the weakest first.
        unit: of their strengths.
        enough: a mean score that suffices: then the weakest strength that reaches it.
        chance: what words that say nothing get.

    Raises:
        InvalidStrength: nothing speaks for any of them.
    """
    reached = [point for point in points if enough is not None and point.score >= enough]
    top = max(points, key=lambda point: point.score)
    if not reached if enough is not None else top.interval[0] <= chance:
        raise InvalidStrength(
            f"strengths of {points[0].strength:g} to {points[-1].strength:g} {unit}, of which none will do",
            expected=f"one that scores {enough:g}; the best is {top.score:.2g}"
            if enough is not None
            else f"a score above {chance:g}; the best is {top.score:.2g}, 95 % interval from {top.interval[0]:.2g}",
            remedy="try stronger ones, more of them, or more features",
        )
    as_good = [point for point in points if point.score >= top.interval[0]]
    return Strength((reached or as_good)[0].strength, unit)
