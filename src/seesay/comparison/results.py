"""What a comparison comes to, as records that can be written as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float64

from seesay.comparison.contender import AidName, FeatureKey
from seesay.comparison.quantities import Quantity
from seesay.statistics import Correlation, Estimate

Kind = Literal["level", "layer", "frequency"]
"""By what features are divided: what they stand for, where they are read, or how often they are active."""

Values = Float64[np.ndarray, " feature"]

FEW = 10
"""Features below which resampling says nothing of an interval, and so nobody is said to be above anything."""

_NOT_TOLD = {"told": False}


@final
@dataclass(frozen=True)
class Row:
    """One contender in one table.

    Args:
        contender: its name.
        estimate: mean over the features of the table, with its interval.
        n_explained: features that it was asked for.
        aids: what stands beside it, as far as it was scored, on those of the same features that have it.
        leads: by how much it is above each of them, feature by feature, on average.
        pooled: area under one ROC of all features together; None for other scores than `auroc`.
        values: of each feature.
        aid_values: of those features that have them.
    """

    contender: str
    estimate: Estimate
    n_explained: int
    aids: Mapping[AidName, Estimate]
    leads: Mapping[AidName, Estimate]
    pooled: float | None
    values: Values = field(repr=False, compare=False, metadata=_NOT_TOLD)
    aid_values: Mapping[AidName, Mapping[FeatureKey, float]] = field(repr=False, compare=False, metadata=_NOT_TOLD)

    @property
    def is_separated(self) -> bool | None:
        """It is above all that stands beside it, feature by feature, interval and all; None if nothing tells."""
        if not self.leads or min(lead.n for lead in self.leads.values()) < FEW:
            return None
        return all(lead.low > 0 for lead in self.leads.values())

    @property
    def is_below(self) -> tuple[AidName, ...]:
        """What stands beside it and is above it, feature by feature, interval and all."""
        return tuple(aid for aid, lead in self.leads.items() if lead.n >= FEW and lead.high < 0)


@final
@dataclass(frozen=True)
class Pair:
    """Two contenders on the same features.

    Args:
        first: name of one.
        second: name of the other.
        difference: mean of first minus second, with its interval.
        effect: rank-biserial correlation, -1 to 1; above 0 where the first is better.
        p_value: of Wilcoxon's signed-rank test, two-sided.
        adjusted: the same by Holm, over all pairs of the table.
        n: features.
    """

    first: str
    second: str
    difference: Estimate
    effect: float
    p_value: float
    adjusted: float
    n: int


@final
@dataclass(frozen=True)
class Group:
    """A part of the features.

    Args:
        name: of the part.
        estimates: of each row of the table; None where no feature of it is in the part.
        aids: of each row, the mean of what stands beside it there, as far as it was scored.
    """

    name: str
    estimates: tuple[Estimate | None, ...]
    aids: tuple[Mapping[AidName, float], ...]


@final
@dataclass(frozen=True)
class Point:
    """One strength of a method.

    Args:
        strength: in its unit.
        estimate: of the score.
        aids: what stands beside it.
    """

    strength: float
    estimate: Estimate
    aids: Mapping[AidName, Estimate]


@final
@dataclass(frozen=True)
class Curve:
    """Score against strength, of one method on the same features.

    Args:
        name: of the method, and of what tells it from others.
        unit: of strength.
        points: the weakest first.
    """

    name: str
    unit: str
    points: tuple[Point, ...]


@final
@dataclass(frozen=True)
class Agreement:
    """How far a number puts features in the same order as another does: the truth, or what people say.

    Args:
        by_contender: Spearman's correlation over features; None where one of the two is the same for all.
        pooled: over features and contenders together.
        n: features that have both.
    """

    by_contender: Mapping[str, Correlation | None]
    pooled: Correlation | None
    n: int


@final
@dataclass(frozen=True)
class Standing:
    """All contenders by one number.

    Args:
        quantity: which number.
        what: the question that its score answers.
        chance: what words that say nothing get; None if that is not one number.
        of_words: it is of explanations; otherwise of features, whatever is said of them.
        is_shared: it was computed on images that were shared with the explainers.
        is_informative: some contender is above all that stands beside it, see `Row.is_separated`; None where nothing
            tells, and for numbers that only come with a score.
        rows: of each contender, in their order.
        pairs: of all contenders; none for numbers by which methods are not to be compared.
        groups: the same by parts of the features.
        curves: against strength.
        truth: how far it agrees with the truth; None where that is not known, and for the truth itself.
        people: how far it agrees with people; None where nobody judged, and for what people say itself.
        notes: what is left aside, in words.
        keys: the features, the same for all.
    """

    quantity: Quantity
    what: str
    chance: float | None
    of_words: bool
    is_shared: bool
    is_informative: bool | None
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    groups: Mapping[Kind, tuple[Group, ...]]
    curves: tuple[Curve, ...]
    truth: Agreement | None
    people: Agreement | None
    notes: tuple[str, ...]
    keys: tuple[FeatureKey, ...] = field(repr=False, metadata=_NOT_TOLD)

    @property
    def title(self) -> str:
        """What the number is called, wherever it stands; it says whether explainers were shown the images."""
        return f"{self.quantity.title} (shared images)" if self.is_shared else self.quantity.title


@final
@dataclass(frozen=True)
class Comparison:
    """Everything.

    Args:
        standings: one for each number.
        notes: what is left out, in words.
    """

    standings: tuple[Standing, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, without the single features' numbers; what is no finite number is null."""
        return plain(self)


def plain(record: Any) -> Any:
    """A record as plain data.

    Args:
        record: made of dataclasses, mappings, sequences and plain data.
    """
    if isinstance(record, Quantity):
        return {"score": record.score, "name": record.name}
    if is_dataclass(record):
        told = [each.name for each in fields(record) if each.metadata.get("told", True)]
        return {name: plain(getattr(record, name)) for name in told}
    if isinstance(record, Mapping):
        return {str(name): plain(value) for name, value in record.items()}
    if isinstance(record, Sequence) and not isinstance(record, str):
        return [plain(each) for each in record]
    if isinstance(record, float) and not math.isfinite(record):
        return None
    return record
