"""Who may look at which pictures: disjoint ranges of scene seeds, one for each purpose.

What a model was trained on is never what it is judged on, and no score sees a picture that an explainer was shown.
"""

from itertools import pairwise
from types import MappingProxyType
from typing import Literal, get_args

Stream = Literal[
    "encoder",
    "language",
    "sae",
    "scorer",
    "judge",
    "explaining",
    "scoring",
    "truth",
    "synthesis",
    "evaluation",
    "show",
    "monitoring",
    "images",
    "counterfactual",
]
_SPAN = 1 << 40

RANGES = MappingProxyType({name: range(i * _SPAN, (i + 1) * _SPAN) for i, name in enumerate(get_args(Stream))})
"""The seeds of each purpose."""

assert all(a.stop <= b.start for a, b in pairwise(RANGES.values())), "streams of seeds overlap"


def seeds(stream: Stream, start: int, count: int) -> range:
    """The seeds `start` to `start + count` of one purpose, counted from 0 within it."""
    chosen = RANGES[stream][start : start + count]
    assert len(chosen) == count, f"{stream} has no {count} seeds from {start}"
    return chosen
