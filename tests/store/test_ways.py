"""Which way of computing a score counts where a run holds several."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seesay.explainers.config import Setting
from seesay.scorers.config import Score
from seesay.store.explanations import StoredSetting
from seesay.store.run import Run
from seesay.store.scores import StoredScoring, add_scoring
from seesay.store.ways import comparable, in_one_way, way_of
from tests.comparison.making import FACTS, making, said

OTHER = {**FACTS, "n_images": 3}
SHARED = {**FACTS, "holding": "shared"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with making(tmp_path / "run", 2) as run:
        yield run


@pytest.fixture
def three(run: Run) -> list[StoredSetting]:
    return [said(run, {0: "a red car"}, Setting(method)) for method in ("topk", "dissect", "hybrid")]


def test_the_way_that_was_used_for_most_settings_counts_whatever_came_last(
    run: Run, three: list[StoredSetting]
) -> None:
    most = [add_scoring(run, "iou", FACTS, each.setting_id) for each in three[:2]]
    add_scoring(run, "iou", OTHER, three[2].setting_id)
    assert in_one_way(run, "iou") == most


def test_of_ways_that_were_used_as_often_the_latest_counts(run: Run, three: list[StoredSetting]) -> None:
    add_scoring(run, "iou", FACTS, three[0].setting_id)
    later = add_scoring(run, "iou", OTHER, three[0].setting_id)
    assert in_one_way(run, "iou") == [later]
    again = add_scoring(run, "iou", FACTS, three[1].setting_id)
    assert [each.facts for each in in_one_way(run, "iou")] == [FACTS, FACTS]
    assert in_one_way(run, "iou")[1] == again


def test_shared_images_count_for_nothing_however_often_they_were_used(run: Run, three: list[StoredSetting]) -> None:
    for each in three:
        add_scoring(run, "iou", SHARED, each.setting_id)
    assert in_one_way(run, "iou") == []
    own = add_scoring(run, "iou", FACTS, three[0].setting_id)
    assert in_one_way(run, "iou") == [own]


def test_controls_have_no_say_in_which_way_counts(run: Run, three: list[StoredSetting]) -> None:
    own = [add_scoring(run, "iou", FACTS, each.setting_id) for each in three[:2]]
    for control in ("random", "permuted"):
        add_scoring(run, "iou", OTHER, said(run, {0: "grass"}, Setting("topk", control=control)).setting_id)
    add_scoring(run, "iou", OTHER, three[2].setting_id)
    assert in_one_way(run, "iou") == own


def test_what_stands_beside_words_and_scores_of_something_else_are_no_way(run: Run, three: list[StoredSetting]) -> None:
    setting_id = three[0].setting_id
    own = add_scoring(run, "iou", FACTS, setting_id)
    for aid in ("permuted", "constant"):
        add_scoring(run, "iou", OTHER, setting_id, aid)
        add_scoring(run, "iou", FACTS, setting_id, aid)
    add_scoring(run, "iou", OTHER)
    add_scoring(run, "clip", OTHER, setting_id)
    assert in_one_way(run, "iou") == [own]
    of_features = add_scoring(run, "distinctness", FACTS)
    add_scoring(run, "distinctness", OTHER, setting_id)
    assert in_one_way(run, "distinctness") == [of_features]
    assert in_one_way(run, "auroc") == []


@pytest.mark.parametrize(("name", "own"), [("ground_truth", "unsteered"), ("faithfulness", "explainer")])
def test_what_is_a_methods_own_by_the_scores_definition_is_no_other_way(
    name: Score, own: str, run: Run, three: list[StoredSetting]
) -> None:
    found = [
        add_scoring(run, name, {**FACTS, own: value}, each.setting_id)
        for each, value in zip(three, ("a", "b", "c"), strict=True)
    ]
    add_scoring(run, name, {**OTHER, own: "a"}, three[0].setting_id)
    assert in_one_way(run, name) == found
    assert [comparable(each) for each in found] == [FACTS] * 3
    elsewhere = [add_scoring(run, "iou", {**FACTS, own: value}, three[0].setting_id) for value in ("a", "b")]
    assert way_of(elsewhere[0]) != way_of(elsewhere[1])


def test_the_words_that_an_aid_puts_in_their_place_are_no_other_way() -> None:
    def scoring(facts: dict[str, object]) -> StoredScoring:
        return StoredScoring(1, "x", "iou", 1, "constant", facts)

    assert way_of(scoring({**FACTS, "aid": {"text": "grass"}})) == way_of(scoring(FACTS))
    assert way_of(scoring(OTHER)) != way_of(scoring(FACTS))
