"""What is known of a feature in short."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from seesay.records import Level, Method, Split
from seesay.scorers.config import Score


@final
@dataclass(frozen=True)
class Words:
    """What one way of explaining says of a feature.

    Args:
        setting_id: its number in the run.
        method: how it was found.
        explainer: who said it.
        text: the words, of the first sample that has any.
        sure: how probable it is that they are right; None if nobody knows.
        level: what they speak of; None if nobody has told.
        scores: of these words, on held-out images.
    """

    setting_id: int
    method: Method
    explainer: str
    text: str
    sure: float | None
    level: Level | None
    scores: Mapping[Score, float]


@final
@dataclass(frozen=True)
class Outline:
    """A feature in short.

    Args:
        feature_id: row of the SAE's decoder.
        split: `validation` or `test`.
        frequency: on which share of the patches it is active; None where no images were collected, as are the others.
        image_frequency: on which share of the images.
        max_activation: on any patch.
        said: what is said of it, without controls and strengths that were only tried.
        scores: of the feature itself.
    """

    feature_id: int
    split: Split
    frequency: float | None
    image_frequency: float | None
    max_activation: float | None
    said: Sequence[Words] = ()
    scores: Mapping[Score, float] = field(default_factory=dict[Score, float])
