"""Can a judge tell by the words which of two highlights in an image is a feature's?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, final

import numpy as np
from jaxtyping import Float
from PIL import Image

from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.exemplars.heatmap import Heatmap
from seesay.instruments.instrument import Judge
from seesay.scorers.activations import Activations, Looked
from seesay.scorers.config import Scoring
from seesay.scorers.gallery import HeldOut
from seesay.scorers.judged import NO_EXEMPLAR, chance, measured, nothing_said, of_every_quantile
from seesay.scorers.scorer import Item, Measured

DISSIMILAR = 0.2
"""The cosine below which two features' directions count as dissimilar."""

_ALGORITHM = 1
_N_CACHED = 16384
_NOTHING_ELSE = "no dissimilar feature is active elsewhere in its exemplars"


@final
@dataclass(frozen=True, eq=False)
class Pair:
    """Two highlights of the same size in one image.

    Args:
        right: where the feature is active.
        wrong: where a dissimilar one is, and it is not.
    """

    right: Exemplar
    wrong: Exemplar


def contrast(
    own: Heatmap, looked: Looked, dissimilar: Sequence[int], salt: tuple[int, ...]
) -> tuple[Heatmap, int, Heatmap] | None:
    """Find patches as many as a feature's own where another feature is active and it is not.

    Of the features that are active on so many patches beside its own, one is drawn. If none is, the one with most is
    taken, and of the feature's own patches only the strongest so many.

    Args:
        own: where the feature is active; at least one patch.
        looked: what all features make of the image.
        dissimilar: the others that are in question.
        salt: of the draw.

    Returns:
        The feature's patches, the other feature's id, and its patches; None if no other is active anywhere else.
    """
    is_beside = np.isin(looked.patch_features, np.asarray(dissimilar)) & ~np.isin(looked.patches, own.patches)
    others, counts = np.unique(looked.patch_features[is_beside], return_counts=True)
    if not len(others):
        return None
    n = min(len(own.patches), int(counts.max()))
    other = min(others[counts >= n].tolist(), key=lambda each: chance(*salt, each))
    of_other = is_beside & (looked.patch_features == other)
    theirs = Heatmap(looked.patches[of_other].astype(np.int32), looked.patch_activations[of_other].astype(np.float32))
    return _strongest(own, n), other, _strongest(theirs, n)


def pair_up(held_out: HeldOut, activations: Activations, scoring: Scoring, feature_id: int) -> tuple[Pair, ...] | None:
    """Choose highlights for one feature; they depend on the feature and the seed alone.

    Args:
        held_out: the images.
        activations: tells what is active where.
        scoring: how many, and the seed.
        feature_id: of the feature.

    Returns:
        One pair for each exemplar in which a dissimilar feature is active elsewhere; None if there is no exemplar.

    Raises:
        LeakedImage: an explainer was shown one of them.
    """
    exemplars = of_every_quantile(held_out, feature_id, scoring.seed)[: scoring.n_positives]
    if not exemplars:
        return None
    pictures = [held_out.picture(each.image) for each in exemplars]
    looked = activations.look(pictures, [each.image.pixel_hash for each in exemplars])
    pairs: list[Pair] = []
    for exemplar, picture, seen in zip(exemplars, pictures, looked, strict=True):
        right = exemplar if exemplar.image.grid == seen.grid else _seen_anew(exemplar, picture, seen, activations)
        if not len(right.heatmap.patches):
            continue
        dissimilar = seen.feature_ids[_cosines(activations, feature_id, seen.feature_ids) < DISSIMILAR]
        others = dissimilar[dissimilar != feature_id].tolist()
        found = contrast(right.heatmap, seen, others, (scoring.seed, feature_id, exemplar.image.image_id))
        if found is not None:
            own, other, theirs = found
            wrong = replace(right, feature_id=other, activation=seen.activation(other), heatmap=theirs)
            pairs.append(Pair(replace(right, heatmap=own), wrong))
    return tuple(pairs)


@final
class Fuzzing:
    """Balanced accuracy of a judge who is asked of each highlight whether it is what the words say.

    Each image is shown twice: highlighted where the feature is active, and on as many patches where a dissimilar one
    is. Patches at random would be background as a rule, and any word for an object would win. `fuzzing_auc` is the
    area under the ROC curve of the probability of yes, `unanswered` the share of highlights of which the judge would
    have said neither yes nor no.

    Args:
        held_out: the images.
        activations: the subject's.
        judge: who is asked.
        scoring: how many images, how they are highlighted, and the seed.
    """

    def __init__(self, held_out: HeldOut, activations: Activations, judge: Judge, scoring: Scoring) -> None:
        self._held_out, self._judge, self._scoring = held_out, judge, scoring
        self._activity = dict(activations.facts)
        self._pair_up = lru_cache(_N_CACHED)(partial(pair_up, held_out, activations, scoring))

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on but words, feature and run."""
        scoring = self._scoring
        return {
            "judge": dict(self._judge.facts),
            "holding": scoring.holding,
            "n_positives": scoring.n_positives,
            "overlay": scoring.overlay,
            "mask_fill": list(self._judge.mask_fill) if scoring.overlay == "mask" else None,
            "dissimilar": DISSIMILAR,
            "seed": scoring.seed,
            "activations": self._activity,
            "algorithm": _ALGORITHM,
        }

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some items; the judge is asked about all of them together.

        Args:
            items: texts about features.

        Raises:
            LeakedImage: an explainer was shown one of the images.
            UnreadableImage: one is missing or damaged.
            SeesayError: as the judge does.
        """
        pairs = {item.feature_id: self._pair_up(item.feature_id) for item in items}
        shown = {
            item.feature_id: self._drawn(pairs[item.feature_id] or ()) for item in items if item.text.strip()
        }  # once for all that is said of a feature
        asked = [(picture, item.text) for item in items if item.text.strip() for picture in shown[item.feature_id]]
        verdicts = iter(self._judge.ask("fuzz", [picture for picture, _ in asked], [text for _, text in asked]))
        found: list[Measured] = []
        for item in items:
            own = pairs[item.feature_id]
            if not own:
                found.append(Measured(None, reason=NO_EXEMPLAR if own is None else _NOTHING_ELSE))
            elif not item.text.strip():
                found.append(nothing_said("fuzzing"))
            else:
                right = [next(verdicts) for _ in own]
                found.append(measured("fuzzing", right, [next(verdicts) for _ in own]))
        return found

    def _drawn(self, pairs: Sequence[Pair]) -> list[Image.Image]:
        """All right highlights, then all wrong ones."""
        fill = self._judge.mask_fill
        return [
            exemplar.drawn(self._scoring.overlay, self._held_out.picture(exemplar.image), fill)
            for exemplar in (*(pair.right for pair in pairs), *(pair.wrong for pair in pairs))
        ]


def _strongest(heatmap: Heatmap, n: int) -> Heatmap:
    """The n patches of the largest activation, in their order; the first of equal ones."""
    best = np.sort(np.argsort(-heatmap.activations, kind="stable")[:n])
    return Heatmap(heatmap.patches[best], heatmap.activations[best])


def _cosines(activations: Activations, feature_id: int, others: np.ndarray) -> Float[np.ndarray, " other"]:
    """Of a feature's direction with some others'."""
    sae = activations.sae
    return (sae.directions(others.tolist()).float() @ sae.direction(feature_id).float()).cpu().numpy()


def _seen_anew(exemplar: Exemplar, picture: Image.Image, seen: Looked, activations: Activations) -> Exemplar:
    """An exemplar as its thumbnail is seen, where the encoder divides that otherwise than the original."""
    geometry = activations.encoder.geometry(picture.size)
    own = seen.patch_features == exemplar.feature_id
    heatmap = Heatmap(seen.patches[own].astype(np.int32), seen.patch_activations[own].astype(np.float32))
    image: KeptImage = replace(exemplar.image, size=picture.size, grid=geometry.grid, box=geometry.box)
    return replace(exemplar, image=image, heatmap=heatmap)
