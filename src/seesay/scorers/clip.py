"""How near words are to held-out exemplars, in a space of images and texts; and how much nearer than to others'."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.exemplars.exemplar import Exemplar
from seesay.instruments.instrument import Embedder
from seesay.scorers.config import Scoring
from seesay.scorers.gallery import HeldOut
from seesay.scorers.scorer import Item, Measured

_ALGORITHM = 1
_N_OTHERS = 256
_N_AT_ONCE = 256  # pictures that are in memory together


@final
class Clip:
    """The cosine of a text with a feature's exemplars, masked to the active patches, as a mean.

    A cosine alone says little, as models of this kind find any text near to any image. `clip_others` is the mean cosine
    of the same text with the first exemplars of up to 256 other features, the same ones for all, and `clip_difference`
    how much nearer the text is to the feature's own.

    Args:
        held_out: the images.
        embedder: the space.
        scoring: how many exemplars, and the seed that the other features are drawn with.
    """

    def __init__(self, held_out: HeldOut, embedder: Embedder, scoring: Scoring) -> None:
        self._held_out, self._embedder, self._scoring = held_out, embedder, scoring
        self._means: dict[int, Tensor] = {}
        self._pool: tuple[Tensor, Tensor] | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on but words, feature and run."""
        return {
            "embedder": dict(self._embedder.facts),
            "holding": self._scoring.holding,
            "n_exemplars": self._scoring.n_exemplars,
            "n_others": _N_OTHERS,
            "seed": self._scoring.seed,
            "algorithm": _ALGORITHM,
        }

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some items; an empty text is embedded as it is.

        Args:
            items: texts about features.
        """
        if not items:
            return []
        means = self._means_of({item.feature_id for item in items})
        words = self._embedder.embed_texts([item.text for item in items]).double()
        others = self._nearness_to_others(words, torch.tensor([item.feature_id for item in items])).tolist()
        return [
            _measured(item, float(words_d @ means[item.feature_id]) if item.feature_id in means else None, other)
            for item, words_d, other in zip(items, words, others, strict=True)
        ]

    def _means_of(self, feature_ids: Collection[int]) -> Mapping[int, Tensor]:
        """The mean of each feature's vectors, as its product with a text's is the mean cosine."""
        missing = sorted(set(feature_ids) - self._means.keys())
        own = {each: self._held_out.exemplars(each, "top", self._scoring.n_exemplars) for each in missing}
        vectors = self._embedded([exemplar for exemplars in own.values() for exemplar in exemplars])
        for feature_id, part in zip(own, vectors.split([len(each) for each in own.values()]), strict=True):
            if len(part):
                self._means[feature_id] = part.mean(0)
        return self._means

    def _nearness_to_others(
        self, words: Float[Tensor, "item dimension"], feature_ids: Int[Tensor, " item"]
    ) -> Float[Tensor, " item"]:
        """The mean cosine of each text with other features' exemplars; NaN if there are none."""
        if self._pool is None:
            drawn = sorted(self._held_out.feature_ids(), key=self._chance)[:_N_OTHERS]
            first = [exemplar for each in drawn for exemplar in self._held_out.exemplars(each, "top", 1)]
            self._pool = torch.tensor([each.feature_id for each in first]), self._embedded(first)
        pool_ids, pool = self._pool
        if not len(pool_ids):
            return torch.full((len(words),), torch.nan, dtype=words.dtype)
        is_other = feature_ids[:, None] != pool_ids
        return (words @ pool.T * is_other).sum(1) / is_other.sum(1)

    def _embedded(self, exemplars: Sequence[Exemplar]) -> Float[Tensor, "exemplar dimension"]:
        parts: list[Tensor] = []
        for start in range(0, len(exemplars), _N_AT_ONCE):
            pictures = [
                each.drawn("mask", self._held_out.picture(each.image), self._embedder.mask_fill)
                for each in exemplars[start : start + _N_AT_ONCE]
            ]
            parts.append(self._embedder.embed_images(pictures).double())
        return torch.cat(parts) if parts else torch.zeros(0, 0, dtype=torch.float64)

    def _chance(self, feature_id: int) -> bytes:
        return blake2b(f"{self._scoring.seed} {feature_id}".encode(), digest_size=8, person=b"seesay-clip").digest()


def _measured(item: Item, own: float | None, other: float) -> Measured:
    if own is None:
        return Measured(None, reason="no held-out exemplar")
    is_alone = other != other  # NaN: no other feature has an exemplar
    if not item.text.strip() and not is_alone:
        # What a model makes of no words at all is no measure of them: silence fits a feature as well as any other.
        return Measured(other, {"clip_others": other, "clip_difference": 0.0}, reason="the text is empty")
    others = {} if is_alone else {"clip_others": other, "clip_difference": own - other}
    return Measured(own, others, reason="" if item.text.strip() else "the text is empty")
