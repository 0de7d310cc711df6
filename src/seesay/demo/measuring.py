"""The scores that the demo keeps in its run, so that methods can be compared there as those of any other run are."""

from collections.abc import Mapping
from typing import get_args

from seesay.pipeline.progress import ProgressBar
from seesay.pipeline.scoring import score
from seesay.records import Aid, Method
from seesay.scorers.aids import items_to_score
from seesay.scorers.config import Score, Scoring
from seesay.scorers.iou import IoU
from seesay.scorers.scorer import Scorer
from seesay.store.exemplars import features
from seesay.store.explanations import explanations, settings, shown_images
from seesay.store.held_out import RunHeldOut
from seesay.store.run import Run
from seesay.world.grammar import parse
from seesay.world.instruments import WorldSegmenter
from seesay.world.scorers.ground_truth import GroundTruth
from seesay.world.truth import Truth

_AIDS: tuple[Aid | None, ...] = (None, *get_args(Aid))


def keep_scores(run: Run, truth: Truth, unsteered: Mapping[Method, str], seed: int, progress: ProgressBar) -> None:
    """Score the words of each method and of random directions by the truth and by overlap, and what stands beside them.

    Args:
        run: open to be written, with explanations.
        truth: what each feature stands for.
        unsteered: what each method says of nothing.
        seed: of permuting, and of where images are drawn.
        progress: shows how far the work is.
    """
    nearest = {each.feature_id: each.nearest for each in features(run)}
    iou = IoU(RunHeldOut(run, "held-out", shown_images(run)), WorldSegmenter(), Scoring(seed=seed))
    for setting in settings(run):
        # whoever went on with the run by hand may have asked others, too
        if setting.control not in (None, "random") or setting.method not in unsteered:
            continue
        said = explanations(run, setting)
        scorers: dict[Score, Scorer] = {
            "ground_truth": GroundTruth(truth, parse(unsteered[setting.method])),
            "iou": iou,
        }
        for aid in _AIDS if setting.control is None else (None,):
            items = items_to_score(said, aid, nearest, seed=seed)
            for name, scorer in scorers.items():
                what = f"{name}: {setting.title}" + (f", {aid}" if aid else "")
                with progress(what, total=len(items)) as advance:
                    score(run, name, scorer, items, setting=setting, aid=aid, seed=seed, on_batch=advance)
