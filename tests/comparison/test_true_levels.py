"""Features divided by what truly holds for them, where the score ground_truth noted it."""

from pathlib import Path

import numpy as np

from seesay.comparison.comparing import compare
from seesay.comparison.contender import FeatureKey
from seesay.comparison.levels import true_levels
from seesay.comparison.quantities import quantities
from seesay.comparison.reading import read
from seesay.explainers.config import Setting
from seesay.scorers.config import SCORES
from seesay.store.run import Run
from tests.comparison.making import FACTS, drawn, judged, making, said, scored

IDS = judged()
LOW, HIGH = IDS[::2], IDS[1::2][:-1]
WITHOUT = [IDS[1::2][-1]]


def fill(folder: Path) -> None:
    """Two methods; for one feature no concept holds, so that its level is not known."""
    levels = {each: {"low_level": float(each in LOW)} for each in (*LOW, *HIGH)}
    with making(folder) as run:
        for method, seed in (("topk", 0), ("dissect", 1)):
            setting = said(run, dict.fromkeys(IDS, "a red car"), Setting(method))
            scored(run, "iou", setting, drawn(seed, IDS))
            truth = {each: None if each in WITHOUT else float(each % 3 == 0) for each in IDS}
            scored(run, "ground_truth", setting, truth, others=levels)


def test_the_level_is_that_of_the_concept_that_holds(tmp_path: Path) -> None:
    fill(tmp_path / "x")
    with Run.open(tmp_path / "x") as run:
        contest = read([run])
        found = true_levels([run], contest)
    assert found == {FeatureKey(0, each): "low-level" for each in LOW} | {
        FeatureKey(0, each): "high-level" for each in HIGH
    }


def test_methods_are_compared_within_each_level(tmp_path: Path) -> None:
    fill(tmp_path / "x")
    with Run.open(tmp_path / "x") as run:
        contest = read([run])
        levels = true_levels([run], contest)
    (iou,) = (
        each
        for each in compare(contest, quantities({"iou": SCORES["iou"]}), levels=levels).standings
        if each.quantity.score == "iou"
    )
    groups = {group.name: group for group in iou.groups["level"]}
    assert groups.keys() == {"low-level", "high-level"}
    names = [row.contender for row in iou.rows]
    for name, ids in (("low-level", LOW), ("high-level", HIGH)):
        for method, seed in (("topk", 0), ("dissect", 1)):
            estimate = groups[name].estimates[names.index(method)]
            assert estimate is not None
            assert estimate.n == len(ids)
            np.testing.assert_allclose(estimate.mean, np.mean([drawn(seed, IDS)[each] for each in ids]))


def test_nothing_is_known_of_a_run_without_the_truth(tmp_path: Path) -> None:
    with making(tmp_path / "x") as run:
        scored(run, "iou", said(run, dict.fromkeys(IDS, "a red car")), drawn(0, IDS))
    with Run.open(tmp_path / "x") as run:
        assert true_levels([run], read([run])) == {}


def test_two_ways_of_telling_the_truth_never_mix(tmp_path: Path) -> None:
    other = {**FACTS, "n_scenes": 9}
    with making(tmp_path / "x") as run:
        topk, dissect = (said(run, dict.fromkeys(IDS, "a red car"), Setting(each)) for each in ("topk", "dissect"))
        for setting in (topk, dissect):
            scored(run, "ground_truth", setting, dict.fromkeys(LOW, 1.0), others=dict.fromkeys(LOW, {"low_level": 1.0}))
        high = dict.fromkeys(IDS, {"low_level": 0.0})
        scored(run, "ground_truth", topk, dict.fromkeys(IDS, 0.0), facts=other, others=high)
        assert true_levels([run], read([run])) == {FeatureKey(0, each): "low-level" for each in LOW}
        scored(run, "ground_truth", dissect, dict.fromkeys(HIGH, 0.0), facts=other, others=high)
        assert true_levels([run], read([run])) == {FeatureKey(0, each): "high-level" for each in IDS}, "the later one"
