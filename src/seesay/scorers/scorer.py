"""The seam of scores: explanations in, numbers out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable


@final
@dataclass(frozen=True)
class Item:
    """What is scored.

    Args:
        feature_id: whose words they are said to be, and whose images and activations are looked at.
        text: the words; empty if nothing was said, and for scores of features.
        sample: its number among the answers about that feature.
    """

    feature_id: int
    text: str = ""
    sample: int = 0


@final
@dataclass(frozen=True)
class Measured:
    """What came of one item.

    Args:
        value: the number that stands for it; None if the feature has nothing that could be measured, no held-out
            exemplar above all, which is no matter of the words.
        others: what came with it, by name; a name may be missing.
        details: numbers that a table over many features needs, such as the activations that went into a ROC.
        reason: why there is no number, or why it is chance; empty otherwise.
    """

    value: float | None
    others: Mapping[str, float] = field(default_factory=dict[str, float])
    details: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    reason: str = ""


@runtime_checkable
class Scorer(Protocol):
    """One measure."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on but words, feature and run: settings, instruments, version, as plain data."""
        ...

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some items, one result each, which do not depend on one another."""
        ...
