"""Do the words, segmented in exemplars that no explainer was shown, cover where the feature is active?

Source: arXiv 2603.22593, section on evaluation, whose protocol takes the first mask alone and the whole sentence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Bool

from seesay.exemplars.exemplar import Exemplar
from seesay.instruments.instrument import Picture, Segmenter
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.gallery import HeldOut
from seesay.scorers.scorer import Item, Measured

ALGORITHM = 1
"""Raised when the same words and masks would get other numbers."""

_PAIRS_AT_ONCE = 64
"""Pictures with a phrase whose masks are held in memory together."""


class Overlap(NamedTuple):
    """How a mask lies on a heatmap; all are shares, and 0 where there is nothing to take a share of.

    Attributes:
        iou: pixels of both, of those of either.
        precision: of the mask's pixels, those where the feature is active.
        recall: of the pixels where the feature is active, the mask's.
        found: 1 if there is a mask.
    """

    iou: float
    precision: float
    recall: float
    found: float


def overlap(
    masks: Bool[np.ndarray, "instance height width"],
    active: Bool[np.ndarray, "height width"],
    *,
    first_mask: bool = False,
) -> Overlap:
    """Hold what was found against where a feature is active.

    Args:
        masks: of the instances, the most certain first.
        active: the heatmap's pixels.
        first_mask: take the first mask alone instead of the union of all.
    """
    mask = (masks[:1] if first_mask else masks).any(0)
    both, n_mask, n_active = (int(np.count_nonzero(each)) for each in (mask & active, mask, active))
    either = n_mask + n_active - both
    return Overlap(_share(both, either), _share(both, n_mask), _share(both, n_active), float(n_mask > 0))


@final
class IoU:
    """Intersection over union of words and heatmap, the mean over held-out exemplars.

    Args:
        held_out: the features' exemplars.
        segmenter: finds words in images.
        scoring: on how many exemplars, and by which masks.
    """

    def __init__(self, held_out: HeldOut, segmenter: Segmenter, scoring: Scoring) -> None:
        self._held_out, self._segmenter, self._scoring = held_out, segmenter, scoring

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on but words, feature and run."""
        return {
            "algorithm": ALGORITHM,
            "holding": self._scoring.holding,
            "n_exemplars": self._scoring.n_exemplars,
            "first_mask": self._scoring.first_mask,
            "segmenter": dict(self._segmenter.facts),
        }

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some items.

        Raises:
            LeakedImage: an explainer was shown one of the exemplars.
            UnreadableImage: an exemplar's image is missing or damaged.
            NotEnoughMemory: a single image does not fit into the segmenter's memory.
        """
        n = self._scoring.n_exemplars
        shown = {item.feature_id: self._held_out.exemplars(item.feature_id, "top", n) for item in items}
        said = [item for item in items if item.text.strip()]
        overlaps = self._overlaps({(item.feature_id, item.text): shown[item.feature_id] for item in said})
        return [self._measured(item, shown, overlaps) for item in items]

    def _overlaps(self, wanted: Mapping[tuple[int, str], Sequence[Exemplar]]) -> dict[tuple[int, str], list[Overlap]]:
        """Of each feature and text, on each exemplar; what stands there several times is segmented once."""
        pairs: dict[tuple[int, str], list[tuple[int, Exemplar]]] = {}
        for (feature_id, text), exemplars in wanted.items():
            for exemplar in exemplars:
                pairs.setdefault((exemplar.image.image_id, text), []).append((feature_id, exemplar))
        # texts of one image together: a segmenter looks at it once
        ordered = sorted(pairs)
        found: dict[tuple[int, str, int], Overlap] = {}
        for start in range(0, len(ordered), _PAIRS_AT_ONCE):
            some = ordered[start : start + _PAIRS_AT_ONCE]
            images = {image_id: pairs[image_id, text][0][1].image for image_id, text in some}
            pictures = {key: Picture(self._held_out.picture(each), each.source_id) for key, each in images.items()}
            masks = self._segmenter.segment([pictures[key] for key, _ in some], [text for _, text in some])
            for (image_id, text), of_pair in zip(some, masks, strict=True):
                for feature_id, exemplar in pairs[image_id, text]:
                    active = exemplar.mask(pictures[image_id].image.size)
                    key = (feature_id, text, exemplar.rank)
                    found[key] = overlap(of_pair, active, first_mask=self._scoring.first_mask)
        return {
            (feature_id, text): [found[feature_id, text, exemplar.rank] for exemplar in exemplars]
            for (feature_id, text), exemplars in wanted.items()
        }

    def _measured(
        self,
        item: Item,
        shown: Mapping[int, Sequence[Exemplar]],
        overlaps: Mapping[tuple[int, str], Sequence[Overlap]],
    ) -> Measured:
        if not shown[item.feature_id]:
            return Measured(None, reason="no held-out exemplar")
        if not item.text.strip():
            others = dict.fromkeys(SCORES["iou"].others, 0.0)
            return Measured(SCORES["iou"].chance, others, reason="nothing was said")
        of_exemplars = overlaps[item.feature_id, item.text]
        iou, precision, recall, found = (float(np.mean(each)) for each in zip(*of_exemplars, strict=True))
        others = {"precision": precision, "recall": recall, "found": found}
        return Measured(iou, others, reason="" if found else "it is found in no exemplar")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
