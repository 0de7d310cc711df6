"""Whether words name what a feature truly stands for, by the records of held-out scenes.

Source: `ground_truth` in the definitions of scores, [seesay.world.truth][].
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

from seesay.scorers.scorer import Item, Measured
from seesay.world.concepts import CATEGORY_OF, Concept, level
from seesay.world.grammar import parse
from seesay.world.pictures import Pictures
from seesay.world.truth import MIN_IMAGES, Truth

_ALGORITHM = 2
"""Raised when the same truth and words would give other numbers."""


@final
class GroundTruth:
    """Holds words against the truth.

    Of what a text names, what the same method names with no intervention does not count; it is passed over. The numbers
    are then:

    - `value`, the hit: 1 if the first concept that is named holds for the feature, else 0;
    - `f1`: the largest F1 that any of the concepts named has; see [seesay.world.truth.Truth.f1][];
    - `category`: 1 for a hit, and where the first concept that is named is a thing whose category holds, or the
      category of a thing that holds; else 0;
    - `live_hit`: the hit once more, and 0 for a feature that no concept holds for: of all that fire, how many are
      rightly named;
    - `named`: how many different concepts are named, as whoever names many is more often right by chance.

    A feature that no concept holds for has no `value`, whatever is said of it, so that all methods are measured on the
    same features; one that hardly fires has no number at all.

    Args:
        truth: what each feature stands for.
        unsteered: concepts that the method names where there is nothing to see; see
            [seesay.world.judging.of_nothing][].
    """

    def __init__(self, truth: Truth, unsteered: Sequence[Concept]) -> None:
        self._truth, self._unsteered = truth, frozenset(unsteered)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Where the truth comes from, how its scenes are drawn, and what does not count."""
        truth = self._truth
        return {
            "algorithm": _ALGORITHM,
            "stream": truth.stream,
            "n_scenes": truth.n_scenes,
            "dtype": truth.dtype,
            "scenes": Pictures(truth.n_scenes, stream=truth.stream).fingerprint,
            "unsteered": sorted(map(str, self._unsteered)),
        }

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some items.

        Args:
            items: of features that the truth was measured for.
        """
        return [self._score(item) for item in items]

    def _score(self, item: Item) -> Measured:
        holding = self._truth.concepts(item.feature_id)
        if not holding:
            if self._truth.n_images[item.feature_id] < MIN_IMAGES:
                return Measured(None, reason=f"it fires in fewer than {MIN_IMAGES} of the held-out scenes")
            return Measured(None, {"live_hit": 0.0}, reason="no concept of the world holds for it")
        named = tuple(dict.fromkeys(concept for concept in parse(item.text) if concept not in self._unsteered))
        first = named[0] if named else None
        hit = float(first in holding)
        others = {
            "live_hit": hit,
            "f1": max((self._truth.f1(item.feature_id, concept) for concept in named), default=0.0),
            "category": float(first is not None and _is_near(first, holding)),
            "named": float(len(named)),
            "low_level": float(level(holding[0]) == "low-level"),
        }
        return Measured(hit, others, reason="" if named else _silence(item.text))


def _silence(text: str) -> str:
    return "it names nothing that counts" if text else "nothing was said"


def _is_near(named: Concept, holding: Sequence[Concept]) -> bool:
    """Whether a concept holds, or its category does, or a thing of it."""
    if named.kind == "thing":
        return named in holding or Concept("category", CATEGORY_OF[named.name]) in holding
    of_things = {CATEGORY_OF[concept.name] for concept in holding if concept.kind == "thing"}
    return named in holding or (named.kind == "category" and named.name in of_things)
