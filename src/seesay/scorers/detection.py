"""Can a judge tell by the words which images activate a feature, and which only look as if they might?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import zip_longest
from typing import Any, final, get_args

from seesay.exemplars.config import Kind
from seesay.exemplars.exemplar import KeptImage
from seesay.instruments.instrument import Judge
from seesay.scorers.activations import Activations
from seesay.scorers.config import Scoring
from seesay.scorers.gallery import HeldOut
from seesay.scorers.judged import NO_EXEMPLAR, drawn, measured, nothing_said, of_every_quantile
from seesay.scorers.scorer import Item, Measured

_ALGORITHM = 2
_N_CACHED = 16384
_N_AT_ONCE = 8  # images that are looked at to find near misses; seldom are more needed


@final
@dataclass(frozen=True)
class Lineup:
    """What a judge is shown for one feature, whatever is said of it.

    Args:
        positives: images that activate it.
        negatives: images that do not, as many if there are so many: first the near misses, then those at random.
        n_near: how many of them are near misses.
    """

    positives: tuple[KeptImage, ...]
    negatives: tuple[KeptImage, ...]
    n_near: int


def line_up(held_out: HeldOut, activations: Activations, scoring: Scoring, feature_id: int) -> Lineup:
    """Choose images for one feature; they depend on the feature and the seed alone.

    Half of the negatives are near misses: images that activate the features of the nearest directions, each in turn,
    without activating this one anywhere. Where there are too few of one half, the other one fills up.

    Args:
        held_out: the images.
        activations: tells what activates the feature.
        scoring: how many, and the seed.
        feature_id: of the feature.

    Raises:
        LeakedImage: an explainer was shown one of them.
    """
    positives = [each.image for each in of_every_quantile(held_out, feature_id, scoring.seed)[: scoring.n_positives]]
    n = len(positives)
    at_random = [each.image for each in drawn(held_out.exemplars(feature_id, "inactive"), scoring.seed)]
    near = _near_misses(held_out, activations, feature_id, max(n // 2, n - len(at_random)), scoring.seed)
    negatives = (*near, *at_random[: n - len(near)])
    return Lineup(tuple(positives), negatives, len(near))


def _near_misses(held_out: HeldOut, activations: Activations, feature_id: int, n: int, seed: int) -> list[KeptImage]:
    """Images that activate features of near directions and not this one, none of them an exemplar of it.

    They are of every quantile, as positives are: images that activate a feature most show little else, and common words
    would tell them from the others.
    """
    near = [other for other, _cosine in held_out.nearest(feature_id) if other != feature_id]
    theirs = [[each.image for each in of_every_quantile(held_out, other, seed)] for other in near]
    own = {each.image.image_id for kind in get_args(Kind) for each in held_out.exemplars(feature_id, kind)}
    in_turn = (image for some in zip_longest(*theirs) for image in some if image is not None)
    left = list({image.image_id: image for image in in_turn if image.image_id not in own}.values())
    found: list[KeptImage] = []
    while left and len(found) < n:
        some, left = left[:_N_AT_ONCE], left[_N_AT_ONCE:]
        looked = activations.look([held_out.picture(image) for image in some], [image.pixel_hash for image in some])
        found += [image for image, seen in zip(some, looked, strict=True) if seen.activation(feature_id) == 0]
    return found[:n]


@final
class Detection:
    """Balanced accuracy of a judge who is asked of each image whether it shows what the words say.

    `detection_auc` is the area under the ROC curve of the probability of yes, `unanswered` the share of images of which
    the judge would have said neither yes nor no. The same images serve all words of a feature.

    Args:
        held_out: the images.
        activations: the subject's.
        judge: who is asked.
        scoring: how many images, and the seed.
    """

    def __init__(self, held_out: HeldOut, activations: Activations, judge: Judge, scoring: Scoring) -> None:
        self._held_out, self._judge, self._scoring = held_out, judge, scoring
        self._activity = dict(activations.facts)
        self._line_up = lru_cache(_N_CACHED)(partial(line_up, held_out, activations, scoring))

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on but words, feature and run."""
        return {
            "judge": dict(self._judge.facts),
            "holding": self._scoring.holding,
            "n_positives": self._scoring.n_positives,
            "seed": self._scoring.seed,
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
        shown = {item.feature_id: self._line_up(item.feature_id) for item in items}
        asked = [
            (image, item.text)
            for item in items
            if _can_be_asked(item, shown[item.feature_id])
            for image in (*shown[item.feature_id].positives, *shown[item.feature_id].negatives)
        ]
        pictures = [self._held_out.picture(image) for image, _text in asked]
        verdicts = iter(self._judge.ask("detect", pictures, [text for _image, text in asked]))
        found: list[Measured] = []
        for item in items:
            lineup = shown[item.feature_id]
            if not lineup.positives or not lineup.negatives:
                found.append(Measured(None, reason="no image without it" if lineup.positives else NO_EXEMPLAR))
            elif not _can_be_asked(item, lineup):
                found.append(nothing_said("detection"))
            else:
                right = [next(verdicts) for _ in lineup.positives]
                found.append(measured("detection", right, [next(verdicts) for _ in lineup.negatives]))
        return found


def _can_be_asked(item: Item, lineup: Lineup) -> bool:
    return bool(item.text.strip() and lineup.positives and lineup.negatives)
