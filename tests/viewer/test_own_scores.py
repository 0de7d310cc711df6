"""Scores of users' own in the viewer: found, sorted and shown as seesay's are, by names that may be a stranger's."""

import shutil
from pathlib import Path
from typing import get_args

import pytest

from seesay.scorers.config import SCORES, Measure
from seesay.scorers.measures import RESERVED, as_fact
from seesay.store.exemplars import features
from seesay.store.explanations import settings
from seesay.store.run import Run
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.searching import Order, Query, find
from seesay.viewer.table import MOST_OWN
from tests.collected import WORDS
from tests.comparison.making import judged, making, said, scored
from tests.viewer.conftest import client_of

WHAT = "how <b>few</b> words are there?"


def facts(name: str, *, of_words: bool = True) -> dict[str, object]:
    return {"measure": as_fact(Measure(name, chance=0.125, what=WHAT, of_words=of_words))}


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    """Scores whose names are words of SQL, of words and of features."""
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        ids = [each.feature_id for each in features(run)]
        topk = next(each for each in settings(run) if each.title == "topk")
        words = {each: WORDS[place % len(WORDS)] for place, each in enumerate(ids)}
        scored(run, "select", topk, {each: place / 100 for place, each in enumerate(ids)}, words, facts=facts("select"))
        values = {each: -place / 100 for place, each in enumerate(ids)}
        scored(run, "order", None, values, "", facts=facts("order", of_words=False))
    return folder


def test_features_are_found_and_sorted_by_them(folder: Path) -> None:
    catalogue = Catalogue([folder])
    catalogue.refresh()
    rows = find(catalogue, Query(order="select", method="topk")).rows
    assert [row["select"] for row in rows] == [each / 100 for each in reversed(range(16, 40))]
    assert [row["order"] for row in rows] == [-each / 100 for each in reversed(range(16, 40))]
    assert find(catalogue, Query(score="select", at_least=0.3, method="topk")).n == 10
    assert find(catalogue, Query(order="order", ascending=True)).rows[0]["order"] == -0.39
    assert {"select", "order", "iou"} == catalogue.present().scores
    catalogue.close()


def test_one_that_turns_up_later_is_there_as_well(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "later"))
    catalogue = Catalogue([folder])
    catalogue.refresh()
    client = client_of(catalogue)
    assert client.get("/api/features?order=brevity").json()["n"] == 40, "by id, as long as nobody knows it"
    with Run.writing(folder) as run:
        topk = next(each for each in settings(run) if each.title == "topk")
        first = features(run)[0].feature_id
        scored(run, "brevity", topk, {first: 0.5}, WORDS[0], facts=facts("brevity"))
    assert catalogue.refresh() == 1
    found = client.get("/api/features?order=brevity&method=topk").json()["features"]
    assert (found[0]["feature_id"], found[0]["brevity"]) == (first, 0.5)
    assert found[1]["brevity"] is None
    catalogue.close()


def test_pages_show_them_and_escape_what_they_are(folder: Path) -> None:
    catalogue = Catalogue([folder])
    catalogue.refresh()
    client = client_of(catalogue)
    atlas = client.get("/").text
    assert "<option >select</option>" in atlas
    assert "<span>select 0." in atlas
    feature_id = find(catalogue, Query(order="select")).rows[0]["feature_id"]
    page = client.get(f"/runs/0/features/{feature_id}").text
    assert '<th scope="col" class="n">select</th>' in page
    assert "<dt>By itself</dt><dd>order -0." in page
    catalogue.close()


@pytest.mark.parametrize("name", ["brevity; DROP TABLE said", 'x"', "Select", "x" * 41])
def test_what_is_no_name_of_a_score_is_refused(folder: Path, name: str) -> None:
    catalogue = Catalogue([folder])
    catalogue.refresh()
    client = client_of(catalogue)
    for flag in ("score", "order"):
        assert client.get("/api/features", params={flag: name}).status_code == 422
    catalogue.close()


def test_of_a_strangers_many_some_are_shown(tmp_path: Path) -> None:
    (first,) = judged(4)[:1]
    with making(tmp_path, 4) as run:
        run.rows("PRAGMA synchronous = OFF")
        topk = said(run, {first: "a car"})
        for number in range(MOST_OWN + 2):
            scored(run, f"x{number:03}", topk, {first: 0.5}, "a car", facts=facts(f"x{number:03}"))
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    assert len(catalogue.present().scores) == MOST_OWN
    catalogue.close()


def test_one_name_for_words_and_for_features_is_that_of_the_first_run(tmp_path: Path) -> None:
    (first,) = judged(4)[:1]
    for place, of_words in enumerate((True, False)):
        with making(tmp_path / str(place), 4) as run:
            topk = said(run, {first: "a car"}) if of_words else None
            scored(run, "x", topk, {first: 0.5}, "a car" if of_words else "", facts=facts("x", of_words=of_words))
    catalogue = Catalogue([tmp_path / "0", tmp_path / "1"])
    catalogue.refresh()
    assert [row["x"] for row in find(catalogue, Query(order="x")).rows[:2]] == [0.5, None]
    catalogue.close()


def test_no_name_of_a_score_is_that_of_another_column_or_order(folder: Path) -> None:
    catalogue = Catalogue([folder])
    columns = {row["name"] for table in ("features", "said") for row in catalogue.rows(f"PRAGMA table_info({table})")}
    assert columns - SCORES.keys() <= RESERVED
    assert set(get_args(Order)) <= RESERVED
    catalogue.close()
