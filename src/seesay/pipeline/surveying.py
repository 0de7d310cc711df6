"""Monosemanticity of all features: one more pass over the images, of which only the scoring half is looked at."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch

from seesay.errors import NotEnoughMemory, UnreadableImages
from seesay.exemplars.config import PARTS
from seesay.exemplars.hashing import image_id_of, parts_of
from seesay.images.loading import batches
from seesay.images.sources import ImageSource
from seesay.instruments.instrument import Embedder
from seesay.pipeline.progress import ProgressBar
from seesay.scorers.activations import Activations
from seesay.scorers.monosemanticity import Monosemanticity
from seesay.scorers.scorer import Item, Measured

_ALGORITHM = 1
"""Raised when the same images would give other numbers."""


@final
class Survey:
    """Monosemanticity behind the seam of scores; the images are gone through when the first feature is asked for.

    Args:
        source: the images.
        activations: how strongly features are active.
        embedder: what images are like.
        progress: shows how far it is.
        images_at_once: in one pass; it changes nothing but speed and memory, and the last digits.
    """

    def __init__(
        self,
        source: ImageSource,
        activations: Activations,
        embedder: Embedder,
        progress: ProgressBar,
        images_at_once: int = 32,
    ) -> None:
        self._source, self._activations, self._embedder = source, activations, embedder
        self._progress, self._images_at_once = progress, images_at_once
        self._survey: Monosemanticity | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on."""
        return {
            "algorithm": _ALGORITHM,
            "images": self._source.fingerprint,
            "activations": dict(self._activations.facts),
            "embedder": dict(self._embedder.facts),
        }

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure features.

        Raises:
            UnreadableImages: too many images cannot be read, or none is of the scoring half.
        """
        if self._survey is None:
            try:
                self._survey = self._gone_through()
            except NotEnoughMemory as error:  # fewer features at a time would not help
                raise UnreadableImages(error.what, expected=error.expected, remedy=error.remedy) from error
        return self._survey.measured(items)

    def _gone_through(self) -> Monosemanticity:
        survey, seen = Monosemanticity(self._activations.sae.n_features), set[int]()
        with self._progress("monosemanticity: images", total=self._source.n_images) as advance:
            for batch in batches(self._source, batch_size=self._images_at_once):
                ids = [image_id_of(each) for each in batch.pixel_hashes]
                is_scoring = (parts_of(torch.tensor(ids)) == PARTS.index("scoring")).tolist()
                fresh = {
                    image_id: image
                    for image_id, image, wanted in zip(ids, batch.images, is_scoring, strict=True)
                    if wanted and image_id not in seen
                }
                seen |= fresh.keys()
                if fresh:
                    images = list(fresh.values())
                    survey.add(self._embedder.embed_images(images), self._activations.pairs(images))
                advance(len(batch))
        if not seen:
            raise UnreadableImages(
                f"{self._source.name}, of whose images none is for scoring", expected="half of them, in the long run"
            )
        return survey
