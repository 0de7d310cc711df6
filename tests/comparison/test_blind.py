"""Blind studies: who takes part, what is shown, and that nothing tells who said it."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.comparison.blind import StudyConfig, begin, order_for
from seesay.errors import InvalidSetting, LeakedImage, UnusablePath
from seesay.explainers.config import Setting
from seesay.records import Explanation, Strength
from seesay.store.calibrations import Calibration, add_calibration
from seesay.store.explanations import add
from seesay.store.run import Run
from seesay.store.studies import StudyItem, studies, study_items
from seesay.texts import same_words
from tests.comparison.making import making, said
from tests.comparison.studying import IDS, STEERING, TOPK, picture, studied, words_of

CONFIG = StudyConfig("first", n_features=12, n_images=4)


def items_of(folder: Path, config: StudyConfig = CONFIG) -> list[StudyItem]:
    with Run.noting(folder) as run:
        return study_items(run, begin(run, config).study_id)


def test_every_way_is_judged_on_the_same_test_features_beside_decoys(tmp_path: Path) -> None:
    with studied(tmp_path):
        pass
    items = items_of(tmp_path)
    own, decoys = ([each for each in items if each.is_decoy is which] for which in (False, True))
    drawn = {each.feature_id for each in items}
    assert len(drawn) == 12
    assert drawn <= set(IDS)
    assert Counter(each.feature_id for each in own) == dict.fromkeys(drawn, 3)
    assert Counter(each.feature_id for each in decoys) == dict.fromkeys(drawn, 1)
    assert Counter(each.said_by for each in decoys) == {(1,): 4, (2,): 4, (3,): 4}, "ways take turns to lend words"
    assert all(each.text.endswith(f"<{each.donor_id}>") and each.donor_id in IDS for each in decoys)
    assert all(each.donor_id != each.feature_id for each in decoys)
    assert all(each.image_ids == tuple(each.feature_id * 100 + rank for rank in range(4)) for each in items)
    assert [each.number for each in items] == list(range(48))
    assert [each.feature_id for each in items] != sorted(each.feature_id for each in items)


def test_the_same_seed_chooses_the_same_and_another_one_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with studied(tmp_path / name):
            pass
    assert items_of(tmp_path / "a") == items_of(tmp_path / "b")
    other = items_of(tmp_path / "a", StudyConfig("second", 12, 4, seed=1))
    assert {each.feature_id for each in other} != {each.feature_id for each in items_of(tmp_path / "b", RENAMED)}


RENAMED = StudyConfig("again", 12, 4)


def test_what_several_say_is_judged_once(tmp_path: Path) -> None:
    with studied(tmp_path) as run:
        said(run, {each: f"Seen  <{each}>" for each in IDS}, STEERING)
    own = [each for each in items_of(tmp_path) if not each.is_decoy]
    assert {each.said_by for each in own} == {(1, 2), (3,)}
    assert len(own) == 24


def test_decoys_are_of_no_neighbour_and_say_nothing_that_any_way_says(tmp_path: Path) -> None:
    near = {each: [(IDS[place - 1], 0.1)] for place, each in enumerate(IDS)}
    with studied(tmp_path, near) as run:
        said(run, {each: "a red car" if each % 2 else "a car" for each in IDS}, TOPK)
    items = items_of(tmp_path, StudyConfig("all", len(IDS), 3, n_decoys=3))
    told = {feature_id: {each.text for each in items if each.feature_id == feature_id} for feature_id in IDS}
    for each in (each for each in items if each.donor_id is not None):
        assert each.text not in ("a red car", "a car"), "a part of what is said is no decoy"
        assert abs(IDS.index(each.feature_id) - IDS.index(each.donor_id or 0)) not in (1, len(IDS) - 1)
        assert len(told[each.feature_id]) == 6


def test_no_decoy_is_in_words_that_are_shown_twice_while_enough_other_features_are_explained(tmp_path: Path) -> None:
    with studied(tmp_path) as run:
        said(run, {each: f"SEEN  <{IDS[place // 2]}>" for place, each in enumerate(IDS)}, TOPK)
    with Run.noting(tmp_path) as run:
        study = begin(run, CONFIG)
        items = study_items(run, study.study_id)
    shown = Counter(same_words(each.text) for each in items)
    drawn = {each.feature_id for each in items}
    decoys = [each for each in items if each.is_decoy]
    assert len(decoys) == 12
    assert {shown[same_words(each.text)] for each in decoys} == {1}
    assert not any(each.donor_id in drawn for each in decoys)
    assert study.facts["n_decoys_in_words_shown_twice"] == 0


def test_where_too_few_others_are_explained_words_are_shown_twice_and_the_study_says_so(tmp_path: Path) -> None:
    with studied(tmp_path):
        pass
    with Run.noting(tmp_path) as run:
        study = begin(run, StudyConfig("most", len(IDS) - 2, 3))
        items = study_items(run, study.study_id)
    shown = Counter(each.text for each in items)
    n_once = sum(each.is_decoy and shown[each.text] == 1 for each in items)
    assert n_once == 2 * 3, "what three ways say of two features"
    assert max(shown.values()) == 2
    assert study.facts["n_decoys_in_words_shown_twice"] == len(IDS) - 2 - n_once


def test_one_strength_stands_for_a_way_the_chosen_one_or_else_the_last(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        picture(run, dict.fromkeys(IDS, 4))
        for strength in (1.0, 2.0, 3.0):
            for method in ("steering", "hybrid"):
                said(run, words_of(f"{method} {strength}"), Setting(method, Strength(strength)))
        said(
            run, dict.fromkeys((each for each in range(60) if each not in IDS), "tried"), Setting("hybrid", Strength(9))
        )
        said(run, words_of("nothing"), Setting("topk", control="random"))
        add_calibration(run, Calibration("k", "steering", "world:M", "kl", Strength(2.0), []))
    with Run.noting(tmp_path) as run:
        facts = begin(run, CONFIG).facts
        assert studies(run)[0].facts == facts
    assert [(each["method"], each["strength"]["value"]) for each in facts["settings"]] == [
        ("steering", 2.0),
        ("hybrid", 3.0),
    ]


def test_features_without_words_of_all_or_with_few_images_are_left_out(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        picture(run, {each: 2 if each == IDS[0] else 3 for each in IDS})
        said(run, words_of("steered"), STEERING)
        said(run, {**words_of("seen"), IDS[1]: "", IDS[2]: None}, TOPK)
    items = items_of(tmp_path, StudyConfig("all", len(IDS) - 3))
    assert {each.feature_id for each in items} == set(IDS[3:])
    with (
        Run.noting(tmp_path) as run,
        pytest.raises(InvalidSetting, match=rf"^{len(IDS) - 3} test features .* by each of 2"),
    ):
        begin(run, StudyConfig("more", len(IDS) - 2))
    alone = items_of(tmp_path, StudyConfig("one", len(IDS) - 1, methods=("steering",)))
    assert {each.feature_id for each in alone} == set(IDS[1:])


def test_no_picture_was_shown_to_any_explainer(tmp_path: Path) -> None:
    with studied(tmp_path) as run:
        stored = said(run, {}, TOPK)
        shown = [Explanation(each, "topk", None, "x", "x", "ok", None, None, image_ids=(each * 100,)) for each in IDS]
        add(run, stored, shown)
    with Run.noting(tmp_path) as run:
        with pytest.raises(LeakedImage, match="was shown to an explainer"):
            begin(run, CONFIG)
        assert studies(run) == []


def test_what_cannot_be_judged_is_refused_in_a_line(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        with pytest.raises(UnusablePath, match="no explanations in"):
            begin(run, CONFIG)
        said(run, words_of("steered"), STEERING)
        with pytest.raises(InvalidSetting, match=r"by dissect, topk; expected words by any of steering$"):
            begin(run, StudyConfig("x", methods=("topk", "dissect", "steering")))
        with pytest.raises(InvalidSetting, match="^0 test features"):
            begin(run, CONFIG)


@pytest.mark.parametrize("wrong", [{"n_features": 0}, {"n_features": 501}, {"n_images": 2}, {"n_decoys": -1}])
def test_a_number_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidSetting, match=next(iter(wrong))):
        StudyConfig("x", **wrong)  # pyright: ignore[reportArgumentType]


def test_each_rater_has_an_order_of_their_own(tmp_path: Path) -> None:
    with studied(tmp_path):
        pass
    items = items_of(tmp_path)
    ann, bob = (order_for(items, name) for name in ("Ann", "Bob"))
    assert ann != bob
    assert order_for(items[::-1], "Ann") == ann
    for order in (ann, bob):
        assert sorted(order, key=lambda each: each.number) == items


@given(st.lists(st.integers(0, 5), max_size=30), st.text(max_size=5))
def test_two_items_of_one_feature_follow_each_other_only_where_they_must(feature_ids: list[int], name: str) -> None:
    items = [StudyItem(number, each, str(number), (1,), None, ()) for number, each in enumerate(feature_ids)]
    order = order_for(items, name)
    n_most = max(Counter(feature_ids).values(), default=0)
    n_beside = sum(one.feature_id == next_.feature_id for one, next_ in pairwise(order))
    assert n_beside == max(0, 2 * n_most - len(items) - 1)
