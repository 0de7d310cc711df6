"""Whether a feature answers to what words name: pairs of scenes that differ in nothing else.

Source: `counterfactual` in the definitions of scores; how pairs are made: [seesay.world.pairs][].
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from seesay.scorers.activations import Activations
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.scorer import Item, Measured
from seesay.world.concepts import Concept
from seesay.world.grammar import parse
from seesay.world.pairs import PAIRED, pairs
from seesay.world.pictures import Pictures
from seesay.world.streams import RANGES, Stream, seeds

_ALGORITHM = 1
"""Raised when the same words would give other numbers."""

_STREAM: Stream = "counterfactual"
_N_TRIED = 20
"""Seeds to try for each pair: a rare concept needs no more, as the scenes are drawn around it."""

_N_PICTURES = 64
"""How many of the stream's pictures the fingerprint is of."""


@final
class Counterfactual:
    """Shows the subject pairs of scenes, one of which has what is named while the other one lacks it.

    Size and number of objects are the same in both. A concept's number is the share of pairs in which the feature is
    more active on the scene that has it, ties counting one half: 0.5 for a feature that does not answer to it. An
    explanation's is the least of its concepts', each of them toggled alone: all that is said has to matter. Edges,
    boundaries and positions make no pairs and are left out.

    Args:
        activations: the subject.
        scoring: how many pairs (`n_images`), and the seed by which their scenes are drawn.
    """

    def __init__(self, activations: Activations, scoring: Scoring) -> None:
        self._activations, self._scoring = activations, scoring
        # One number for each feature: all the concepts that there are take less room than one batch of images.
        self._found: dict[Concept, Float[Tensor, " feature"] | None] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """How many pairs there are, how they are drawn, and how an image's activation is told."""
        return {
            "algorithm": _ALGORITHM,
            "n_pairs": self._scoring.n_images,
            "seed": self._scoring.seed,
            "activations": dict(self._activations.facts),
            "scenes": Pictures(_N_PICTURES, stream=_STREAM).fingerprint,
        }

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some items.

        Args:
            items: of features of the subject's SAE.
        """
        return [self._score(item) for item in items]

    def _score(self, item: Item) -> Measured:
        chance = SCORES["counterfactual"].chance
        named = dict.fromkeys(parse(item.text))
        if not named:
            return Measured(chance, reason="it names nothing of the world" if item.text else "nothing was said")
        shares = [share for concept in named if (share := self._shares(concept)) is not None]
        if not shares:
            return Measured(chance, reason="no two scenes differ in nothing but what it names")
        return Measured(min(float(share[item.feature_id]) for share in shares))

    def _shares(self, concept: Concept) -> Float[Tensor, " feature"] | None:
        """For every feature the share of pairs in which the scene with the concept activates it more."""
        if concept not in self._found:
            self._found[concept] = self._compared(concept)
        return self._found[concept]

    def _compared(self, concept: Concept) -> Float[Tensor, " feature"] | None:
        if concept not in PAIRED:
            return None
        n = self._scoring.n_images
        found = pairs(concept, _seeds(concept, self._scoring.seed, n * _N_TRIED), n)
        if not found:
            return None
        images = [scene.image for pair in found for scene in (pair.having, pair.lacking)]
        having_if, lacking_if = self._activations.of(images).unflatten(0, (-1, 2)).unbind(1)
        return ((having_if > lacking_if).double() + (having_if == lacking_if).double() / 2).mean(0)


def _seeds(concept: Concept, seed: int, count: int) -> range:
    """Seeds of a concept's own, somewhere in the stream."""
    drawn = blake2b(f"{seed} {concept}".encode(), digest_size=8, person=b"seesay-pairs").digest()
    return seeds(_STREAM, int.from_bytes(drawn, "big") % (len(RANGES[_STREAM]) - count), count)
