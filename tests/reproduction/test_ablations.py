"""One factor is changed at a time, and each change is told beside the base that it is a change of."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seesay.explainers.config import Setting
from seesay.records import Strength
from seesay.reproduction.ablations import Variation, images_of, variations
from seesay.reproduction.changes import Bases
from seesay.reproduction.protocol import METHODS, WORLD
from seesay.reproduction.reading import base
from seesay.split import split_of
from seesay.store.run import Run
from tests.comparison.making import FACTS, making, said, scored

STRENGTHS = {"steering": Strength(2.0, "residual_norm"), "hybrid": Strength(4.0, "max_activation")}
BASES = [replace(base(WORLD, method), strength=STRENGTHS.get(method)) for method in METHODS]
ALL = list(variations(BASES, images_of(4000)))
N = 40
TEST = [each for each in range(N) if split_of(each) == "test"]


def of(setting: Setting) -> Setting:
    return next(each for each in BASES if each.method == setting.method)


def changed_in(variation: Variation) -> set[str]:
    ours, theirs = variation.setting.facts, of(variation.setting).facts
    return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)} - {"seed"}


def test_each_variation_changes_one_thing() -> None:
    for each in ALL:
        n_changed = 0 if each.factor == "base" or each.n_images else 1
        # without a push there is neither a strength nor a way to push
        is_unpushed = each.setting.control == "none"
        expected = {"control", "strength", "mode"} | {"positions"} if is_unpushed else set[str]()
        assert len(changed_in(each)) == n_changed or changed_in(each) <= expected, each


def test_no_variation_is_there_twice() -> None:
    told = Counter((each.factor, each.value, each.setting.method) for each in ALL)
    assert max(told.values()) == 1
    asked = Counter((str(sorted(each.setting.facts.items(), key=str)), each.n_images) for each in ALL)
    assert max(asked.values()) == 1


@pytest.mark.parametrize(
    ("factor", "values"),
    [
        ("empty image", {"black", "grey", "noise", "mean", "zeros"}),
        ("positions", {"patches"}),
        ("mode", {"replace", "clamp"}),
        ("strength", {"0.25 times", "0.5 times", "2 times", "4 times"}),
        ("images shown (k)", {"1", "2", "3", "8"}),
        ("overlay", {"heatmap", "crop", "plain"}),
        ("images to choose from", {"250", "500", "1000", "2000"}),
        (
            "hybrid swaps",
            {
                "none",
                "no push, steering",
                "random-direction",
                "permuted-direction",
                "random-images",
                "permuted-images",
            },
        ),
        ("words drawn, by seed", {"0", "1", "2"}),
        ("random control, by seed", {"0", "1", "2"}),
    ],
)
def test_every_factor_is_tried_at_all_its_values(factor: str, values: set[str]) -> None:
    assert {each.value for each in ALL if each.factor == factor} == values


def test_smaller_sets_of_images_double_up_to_half_of_all() -> None:
    assert images_of(50_000) == (3125, 6250, 12_500, 25_000)


def test_a_change_is_told_from_its_own_base_on_the_features_that_both_have(tmp_path: Path) -> None:
    by_factor = {each.factor: each for each in ALL if each.setting.method == "topk"}
    few, own = by_factor["images shown (k)"], by_factor["base"]
    words = dict.fromkeys(range(N), "a red car")
    with making(tmp_path / "run", N) as run:
        base = said(run, words, own.setting)
        scored(run, "iou", base, {each: each / 100 for each in range(N)}, words)
        some = {each: each / 100 + 0.1 for each in range(N) if each != TEST[0]}
        fewer = said(run, words, few.setting)
        scored(run, "iou", fewer, some, words)
        shared = {**FACTS, "holding": "shared"}
        scored(run, "iou", base, dict.fromkeys(range(N), 0.9), words, facts=shared)
    with Run.open(tmp_path / "run") as run:
        told = Bases(run, TEST[:-1], {"topk": base.identity}, 0)
        whole = told.change(own, base.identity, run, "iou")
        change = told.change(few, fewer.identity, run, "iou")
        flattered = told.change(replace(own, factor="scored on"), base.identity, run, "iou", "shared")
        assert told.change(few, fewer.identity, run, "clip") is None
    assert whole is not None and change is not None and flattered is not None
    assert whole.difference is None
    assert whole.mean.mean == pytest.approx(np.mean([each / 100 for each in TEST[:-1]]))
    assert change.difference is not None and change.difference.n == change.mean.n == len(TEST) - 2
    assert change.difference.mean == pytest.approx(0.1)
    assert flattered.mean.mean == pytest.approx(0.9)
    assert flattered.difference is not None
    assert flattered.difference.mean == pytest.approx(0.9 - whole.mean.mean)
