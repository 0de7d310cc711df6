"""The table of all features: what it takes over from runs, and when."""

import shutil
from pathlib import Path

import pytest

from seesay.errors import UnusablePath
from seesay.explainers.config import Setting
from seesay.records import Strength
from seesay.split import split_of
from seesay.store.exemplars import features
from seesay.store.explanations import settings
from seesay.store.labels import Label, add_labels
from seesay.store.run import Run
from seesay.store.trust import Trusted, set_trust
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.outline import Words
from seesay.viewer.searching import N_ON_PAGE, Query, find
from seesay.viewer.table import best_of, disagreement
from tests.collected import STEERING, WORDS
from tests.comparison.making import making, said, scored


def ids_of(catalogue: Catalogue, **asked: object) -> list[int]:
    return [row["feature_id"] for row in find(catalogue, Query(**asked)).rows]  # pyright: ignore[reportArgumentType]


def words(method: str, text: str, sure: float | None = None) -> Words:
    return Words(1, method, "m", text, sure, None, {})  # pyright: ignore[reportArgumentType]


def test_all_features_are_taken_over_once(filled: Path) -> None:
    catalogue = Catalogue([filled])
    with Run.open(filled) as run:
        n = len(features(run))
    assert (catalogue.version, catalogue.refresh(), catalogue.refresh()) == (0, n, 0)
    assert catalogue.version == 1
    assert catalogue.progress == (n, n)
    catalogue.close()


def test_only_what_has_changed_is_taken_over(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    catalogue = Catalogue([folder])
    catalogue.refresh()
    ids = ids_of(catalogue)[:2]
    with Run.writing(folder) as run:
        topk = next(each for each in settings(run) if each.title == "topk")
        scored(run, "clip", topk, {ids[0]: 0.5}, WORDS[0])
        catalogue.refresh()  # another score of words: it may count for all of them
        scored(run, "clip", topk, {ids[1]: 0.25}, WORDS[1])
        assert catalogue.refresh() == 1
    assert [row["clip"] for row in find(catalogue, Query(score="clip")).rows] == [0.5, 0.25]
    catalogue.close()


def test_words_that_were_replaced_take_their_scores_with_them(tmp_path: Path) -> None:
    with making(tmp_path, 4) as run:
        topk = said(run, dict.fromkeys(range(4), "a car"))
        scored(run, "iou", topk, dict.fromkeys(range(4), 0.5), "a car")
        said(run, {2: "a tree"})
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    rows = {row["feature_id"]: (row["text"], row["iou"]) for row in find(catalogue, Query()).rows}
    assert rows == {0: ("a car", 0.5), 1: ("a car", 0.5), 2: ("a tree", None), 3: ("a car", 0.5)}
    catalogue.close()


def test_controls_and_strengths_that_were_only_tried_are_no_words_of_a_feature(tmp_path: Path) -> None:
    validation = [each for each in range(40) if split_of(each) == "validation"]
    with making(tmp_path, 40) as run:
        said(run, dict.fromkeys(range(40), "a car"), STEERING)
        said(run, dict.fromkeys(validation, "a tried word"), Setting("steering", Strength(9.0, "residual_norm")))
        said(run, dict.fromkeys(range(40), "a control"), Setting("topk", control="random"))
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    assert find(catalogue, Query(text="car")).n == 40
    assert find(catalogue, Query(text="tried")).n == find(catalogue, Query(text="control")).n == 0
    catalogue.close()


def test_levels_are_those_of_the_words_that_are_shown(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        add_labels(run, "records:1", [Label(WORDS[0], "high-level", ""), Label(WORDS[2], "low-level", "")])
    catalogue = Catalogue([folder])
    catalogue.refresh()
    assert {row["text"] for row in find(catalogue, Query(level="low-level", method="topk")).rows} == {WORDS[2]}
    catalogue.close()


def test_the_surest_words_stand_for_a_feature_or_those_of_the_method_that_does_best() -> None:
    steering, topk, hybrid = words("steering", "a"), words("topk", "b"), words("hybrid", "c")
    assert best_of([steering, topk, hybrid]) is hybrid
    assert best_of([steering, topk]) is topk
    sure = words("steering", "d", 0.2)
    assert best_of([sure, topk, hybrid]) is sure
    assert best_of([]) is None


def test_methods_disagree_as_far_as_their_words_differ() -> None:
    assert disagreement([words("topk", "a red car"), words("steering", "a red car")]) == 0
    assert disagreement([words("topk", "a red car"), words("steering", "grass")]) == 1
    assert disagreement([words("topk", "a red car"), words("steering", "a red tree")]) == pytest.approx(2 / 3)
    assert disagreement([words("topk", "a car"), words("steering", "a tree")]) == 1, "articles say nothing"
    assert disagreement([words("topk", "The sea"), words("steering", "a sea")]) == 0
    assert disagreement([words("topk", "a"), words("topk", "b")]) is None
    assert disagreement([]) is None


def test_several_runs_stand_side_by_side(filled: Path, tmp_path: Path) -> None:
    with making(tmp_path / "other", 5) as run:
        said(run, dict.fromkeys(range(5), "a car"))
    catalogue = Catalogue([filled, tmp_path / "other"])
    catalogue.refresh()
    assert catalogue.names == ["run", "other"]
    assert find(catalogue, Query(run=1)).n == 5
    assert find(catalogue, Query()).n == find(catalogue, Query(run=0)).n + 5
    catalogue.close()


def test_pages_hold_all_features_once(catalogue: Catalogue) -> None:
    first, second = ids_of(catalogue), ids_of(catalogue, page=2)
    assert len(first) == N_ON_PAGE
    assert len({*first, *second}) == find(catalogue, Query()).n == len(first) + len(second)
    assert find(catalogue, Query(page=99)).page == 2, "the last one there is"


def test_words_are_found_whatever_signs_stand_beside_them(catalogue: Catalogue) -> None:
    red = {row["feature_id"] for row in find(catalogue, Query(text="red")).rows}
    assert red
    for text in ('"red', "red*", "RED car", "re", "(red OR", "red -car", "réd", "NEAR(red"):
        found = find(catalogue, Query(text=text))
        assert found.n in (0, len(red)), text
    assert find(catalogue, Query(text="red OR green")).n == 0, "words alone, no operators"
    assert find(catalogue, Query(text='"')).n == find(catalogue, Query()).n, "nothing is asked for"


def test_filters_narrow_and_orders_sort(catalogue: Catalogue) -> None:
    rows = find(catalogue, Query(order="iou", method="topk")).rows
    values = [row["iou"] for row in rows]
    assert values == sorted(values, reverse=True)
    assert [row["iou"] for row in find(catalogue, Query(order="iou", method="topk", ascending=True)).rows][0] == 0
    assert all(row["iou"] >= 0.5 for row in find(catalogue, Query(score="iou", at_least=0.5, method="topk")).rows)
    assert find(catalogue, Query(least_sure=0.5)).n == 10
    assert {row["method"] for row in find(catalogue, Query(method="steering")).rows} == {"steering"}
    assert {row["split"] for row in find(catalogue, Query(split="validation")).rows} == {"validation"}
    frequencies = [row["frequency"] for row in find(catalogue, Query(order="frequency")).rows]
    assert frequencies == sorted(frequencies, reverse=True)
    assert all(row["frequency"] <= frequencies[3] for row in find(catalogue, Query(commonest=frequencies[3])).rows)
    assert find(catalogue, Query(order="disagreement")).rows[0]["disagreement"] == 1
    assert {row["disagreement"] for row in find(catalogue, Query(apart=0.5)).rows} == {1.0}
    assert find(catalogue, Query(apart=0.5)).n == 20
    assert ids_of(catalogue, order="nonsense; DROP TABLE features") == ids_of(catalogue)


def test_a_damaged_feature_keeps_no_other_from_being_shown(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        first, *others = (each.feature_id for each in features(run))
        run.connection.execute("UPDATE explanations SET text = x'00' WHERE feature_id = ?", (first,))
    catalogue = Catalogue([folder])
    catalogue.refresh()
    assert {*ids_of(catalogue), *ids_of(catalogue, page=2)} == set(others)
    catalogue.close()


def test_text_that_is_none_keeps_no_other_feature_from_being_shown(tmp_path: Path) -> None:
    with making(tmp_path, 40) as run:
        said(run, dict.fromkeys(range(40), "a car"))
        # SQLite itself refuses to read it, and with it whatever is read at the same time
        run.connection.execute("UPDATE explanations SET text = CAST(x'ff' AS TEXT) WHERE feature_id IN (7, 30)")
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    shown = [*ids_of(catalogue), *ids_of(catalogue, page=2)]
    assert shown == [each for each in range(40) if each not in (7, 30)]
    catalogue.close()


def test_the_first_words_of_another_method_concern_no_feature_but_their_own(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    catalogue = Catalogue([folder])
    catalogue.refresh()
    judged = [row["feature_id"] for row in find(catalogue, Query(split="test")).rows][:3]
    with Run.writing(folder) as run:
        said(run, dict.fromkeys(judged, "a zebra"), Setting("hybrid", Strength(1.0, "kl")))
        assert catalogue.refresh() == 3
    assert ids_of(catalogue, text="zebra") == judged
    catalogue.close()


def test_words_that_come_to_compete_are_shown_of_all_features(tmp_path: Path) -> None:
    tried = Setting("steering", Strength(9.0, "residual_norm"))
    validation = [each for each in range(40) if split_of(each) == "validation"]
    judged = next(each for each in range(40) if split_of(each) == "test")
    with making(tmp_path, 40) as run:
        said(run, dict.fromkeys(validation, "a tried word"), tried)
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    assert ids_of(catalogue, text="tried") == []
    with Run.writing(tmp_path) as run:
        said(run, {judged: "a tried word"}, tried)
    assert catalogue.refresh() == len(validation) + 1
    assert ids_of(catalogue, text="tried") == sorted([*validation, judged])
    catalogue.close()


def test_a_level_concerns_the_features_of_which_its_words_are_said(tmp_path: Path) -> None:
    with making(tmp_path, 9) as run:
        said(run, {each: "a car" if each < 4 else "red" for each in range(9)})
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    with Run.writing(tmp_path) as run:
        add_labels(run, "records:x", [Label("a car", "high-level", "")])
    assert catalogue.refresh() == 4
    assert ids_of(catalogue, level="high-level") == [0, 1, 2, 3]
    catalogue.close()


def test_what_is_scored_in_another_way_by_now_takes_over_the_numbers_of_all(tmp_path: Path) -> None:
    with making(tmp_path, 9) as run:
        topk = said(run, dict.fromkeys(range(9), "a car"))
        scored(run, "iou", topk, dict.fromkeys(range(9), 0.25), "a car")
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    with Run.writing(tmp_path) as run:
        scored(run, "iou", topk, {3: 0.75}, "a car", facts={"holding": "held-out", "n_images": 99, "algorithm": 1})
    assert catalogue.refresh() == 9
    assert [row["iou"] for row in find(catalogue, Query()).rows] == [0.75 if each == 3 else None for each in range(9)]
    catalogue.close()


def test_runs_are_left_as_they_are(filled: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in filled.rglob("*")}
    catalogue = Catalogue([filled])
    catalogue.refresh()
    catalogue.close()
    assert {path: path.stat().st_mtime_ns for path in filled.rglob("*")} == before


def test_a_damaged_run_keeps_no_other_from_being_shown(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "damaged"))
    with Run.writing(folder) as run:
        ((setting_id, method),) = run.rows("SELECT setting_id, method FROM settings ORDER BY setting_id LIMIT 1")
        run.connection.execute("UPDATE settings SET method = 'bogus' WHERE setting_id = ?", (setting_id,))
    catalogue = Catalogue([filled, folder])
    with pytest.raises(UnusablePath, match="damaged"):
        catalogue.refresh()
    assert (find(catalogue, Query(run=0)).n, find(catalogue, Query(run=1)).n) == (40, 0)
    with Run.writing(folder) as run:
        run.connection.execute("UPDATE settings SET method = ? WHERE setting_id = ?", (method, setting_id))
    catalogue.refresh()
    assert (find(catalogue, Query(run=0)).n, find(catalogue, Query(run=1)).n) == (40, 40)
    catalogue.close()


def test_features_that_are_gone_are_shown_no_more(tmp_path: Path) -> None:
    with making(tmp_path / "x", 9) as run:
        said(run, dict.fromkeys(range(3), "a car"))
    catalogue = Catalogue([tmp_path / "x"])
    catalogue.refresh()
    with Run.writing(tmp_path / "x") as run:
        run.connection.execute("DELETE FROM explanations WHERE feature_id = 2")
        run.connection.execute("DELETE FROM features WHERE feature_id >= 2")
        run.connection.execute("UPDATE stages SET identity = 'other' WHERE name = 'collect'")
    catalogue.refresh()
    assert [row["feature_id"] for row in find(catalogue, Query()).rows] == [0, 1]
    assert find(catalogue, Query(text="car")).n == 2
    catalogue.close()


def test_trust_in_other_words_is_seen_though_it_is_the_same(tmp_path: Path) -> None:
    with making(tmp_path / "x", 9) as run:
        topk = said(run, dict.fromkeys(range(9), "a car"))
        set_trust(run, {}, [Trusted(topk.setting_id, each, 0, "a car", 0.5) for each in range(9)])
    catalogue = Catalogue([tmp_path / "x"])
    catalogue.refresh()
    with Run.writing(tmp_path / "x") as run:
        run.connection.execute("UPDATE explanations SET text = 'a tree', seconds = seconds + 1")
    catalogue.refresh()
    assert find(catalogue, Query()).rows[0]["sure"] is None
    with Run.writing(tmp_path / "x") as run:
        set_trust(run, {}, [Trusted(topk.setting_id, each, 0, "a tree", 0.5) for each in range(9)])
    catalogue.refresh()
    assert find(catalogue, Query()).rows[0]["sure"] == 0.5
    catalogue.close()
