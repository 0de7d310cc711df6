"""Calibrating: a grid of strengths is tried on validation features, and the best one is stored in the run."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import pairwise

import numpy as np

from seesay.calibration import HALF, Numbers, Score, agreement, best, curve, heard
from seesay.errors import FeatureNotFound, InvalidSetting
from seesay.explainers.config import Setting
from seesay.explainers.explainer import Explainer
from seesay.pipeline.explaining import Speaker, explain
from seesay.pipeline.progress import ProgressBar
from seesay.records import Explanation, Strength, StrengthUnit
from seesay.scorers.config import SCORES
from seesay.split import split_of
from seesay.statistics import clusters_of
from seesay.store.calibrations import Calibration, add_calibration
from seesay.store.exemplars import features
from seesay.store.explanations import explanations
from seesay.store.gallery import explainable
from seesay.store.run import Run

Judge = Callable[[Sequence[Explanation]], Sequence[float]]
"""Scores explanations, one feature each; higher is better."""


def _unseen(what: str, *, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    """A bar that nobody looks at."""
    return nullcontext(lambda _done: None)


def calibrate(
    run: Run,
    speaker: Speaker,
    setting: Setting,
    strengths: Sequence[float],
    unit: StrengthUnit,
    *,
    feature_ids: Sequence[int] | None = None,
    by: Score | tuple[str, Judge] | None = None,
    batch_size: int = 64,
    progress: ProgressBar = _unseen,
) -> Calibration:
    """Choose a strength on validation features, and store it with its curve.

    What is said at each strength is kept as any explanation is, so that calibrating goes on after a kill; by `kl`,
    which looks at the first word's distribution alone, nothing is said. No test feature is looked at.

    Args:
        run: open to be written.
        speaker: who explains.
        setting: the way to explain; its strength and control are left aside.
        strengths: to be tried, the weakest first.
        unit: of the strengths.
        feature_ids: validation features; None for all that an exemplar activates.
        by: what speaks for a strength, or a judge and the name of what it gives; None for what fits the method:
            `kl` where exemplars are shown, `agreement` elsewhere.
        batch_size: features at a time.
        progress: shows how far it is.

    Returns:
        The choice.

    Raises:
        InvalidSetting: a test feature, or strengths out of order.
        FeatureNotFound: no validation features.
        SeesayError: what the setting asks for cannot be had, or the run cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the batch is written.
    """
    chosen_on = explainable(run, "validation") if feature_ids is None else list(feature_ids)
    _check(run, chosen_on, strengths)
    plain = replace(setting, control=None, decoding=replace(setting.decoding, n_samples=1))
    settings = [replace(plain, strength=Strength(value, unit)) for value in strengths]
    by = by or ("kl" if setting.way.shows else "agreement")
    said: list[list[Explanation]] = []
    for each, value in zip(settings, strengths, strict=True) if by != "kl" else ():
        with progress(f"{setting.method} at {value:g}", total=len(chosen_on)) as advance:
            stored = explain(run, speaker, each, chosen_on, batch_size=batch_size, on_batch=advance)
        words = explanations(run, stored, chosen_on)
        said.append([words[feature_id][0] for feature_id in chosen_on])
    kl = _moved(run, speaker, settings, chosen_on, batch_size, progress)
    name, scores = _scored(by, said, kl)
    nearest = {each.feature_id: each.nearest for each in features(run)}
    points = curve(strengths, scores, kl, clusters_of(chosen_on, nearest))
    calibration = Calibration(
        key=speaker.calibration_key(setting),
        method=setting.method,
        explainer=speaker.name,
        score=name,
        strength=best(points, unit, enough=HALF if name == "kl" else None, chance=_chance(name)),
        curve=[point.as_json() for point in points],
    )
    add_calibration(run, calibration)
    return calibration


def _check(run: Run, feature_ids: Sequence[int], strengths: Sequence[float]) -> None:
    if not feature_ids:
        raise FeatureNotFound(
            f"no validation features in {run.folder}",
            expected="some that an image of the explaining half activates",
            remedy="collect more images",
        )
    for feature_id in feature_ids:
        if split_of(feature_id) != "validation":
            raise InvalidSetting(f"strengths chosen on feature {feature_id}", expected="validation features alone")
    rises = all(before < later < math.inf for before, later in pairwise([0.0, *strengths]))
    if not strengths or not rises:
        raise InvalidSetting(
            f"strengths {list(strengths)}", expected="at least one, above 0, and each more than the one before"
        )


def _chance(name: str) -> float:
    """What words that say nothing get, as far as a score has such a number."""
    return next((measure.chance or 0.0 for score, measure in SCORES.items() if score == name), 0.0)


def _scored(by: Score | tuple[str, Judge], said: Sequence[Sequence[Explanation]], kl: Numbers) -> tuple[str, Numbers]:
    match by:
        case "agreement":
            return by, agreement([[each.text for each in row] for row in said], kl)
        case "kl":
            return by, heard(kl)
        case (name, judge):
            return name, np.array([judge(row) for row in said], dtype=np.float64)


def _moved(
    run: Run,
    speaker: Speaker,
    settings: Sequence[Setting],
    feature_ids: Sequence[int],
    batch_size: int,
    progress: ProgressBar,
) -> Numbers:
    """How far each strength moves the first word of each feature's answer."""
    explainers = [speaker.explainer(setting, run) for setting in settings]
    rows: list[list[float]] = []
    with progress("divergence", total=len(feature_ids)) as advance:
        for batch in Explainer.divergences(explainers, feature_ids, batch_size):
            rows += batch
            advance(len(batch))
    return np.array(rows, dtype=np.float64).T
