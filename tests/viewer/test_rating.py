"""Raters judge one item after the other, may go back, and are told nothing of where words come from."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from seesay.comparison.blind import order_for
from seesay.explainers.config import METHODS
from seesay.store.exemplars import exemplars
from seesay.store.run import Run
from seesay.store.studies import Rater, Study, StudyItem, add_rater, ratings, study_items
from seesay.viewer import rating
from seesay.viewer.catalogue import Catalogue
from tests.viewer.conftest import client_of
from tests.viewer.studying import NASTY, begun, copied, judge_all, place_on


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return copied(filled, tmp_path)


@pytest.fixture
def study(folder: Path) -> tuple[Study, list[Rater]]:
    return begun(folder, "Ann", f"{NASTY}=1+1")


@pytest.fixture
def ann(study: tuple[Study, list[Rater]]) -> Rater:
    return study[1][0]


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    catalogue = Catalogue([folder])
    yield client_of(catalogue)
    catalogue.close()


def items_of(folder: Path, rater: Rater) -> list[StudyItem]:
    with Run.open(folder) as run:
        return order_for(study_items(run, rater.study_id), rater.name)


def test_items_are_read_once_for_all_pages_of_a_rater(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, asked = begun(folder, "Ann", "Bob")
    read: list[int] = []
    items_of = rating.study_items

    def counted(run: Run, study_id: int) -> list[StudyItem]:
        read.append(study_id)
        return items_of(run, study_id)

    monkeypatch.setattr(rating, "study_items", counted)
    for rater in (*asked, *asked):
        assert client.get(f"/rate/{rater.key}").status_code == 200
    assert len(read) == 2
    monkeypatch.setattr(rating, "_MOST_KEPT", 1)
    client.get(f"/rate/{asked[0].key}")
    assert len(read) == 2, "of one rater items are kept, however many"


def test_one_item_comes_after_the_other_until_thanks(client: TestClient, folder: Path, ann: Rater) -> None:
    items = items_of(folder, ann)
    page = client.get(f"/rate/{ann.key}").text
    assert f"1 of {len(items)}" in page
    assert items[0].text in page
    data = {"item": 1, "verdict": "partly", "note": "two\r\nlines", "seconds": "99999"}
    sent = client.post(f"/rate/{ann.key}", data=data)
    assert (sent.status_code, sent.headers["location"]) == (303, f"/rate/{ann.key}")
    assert f"2 of {len(items)}" in client.get(f"/rate/{ann.key}").text
    assert judge_all(client, ann.key) == len(items) - 1
    assert f"all {len(items)}" in client.get(f"/rate/{ann.key}").text
    with Run.open(folder) as run:
        said = {each.item: each for each in ratings(run, ann.study_id, "Ann")}
    assert said.keys() == {each.number for each in items}
    first = said[items[0].number]
    assert (first.verdict, first.note, first.seconds) == ("partly", "two\nlines", 3600.0)


def test_whoever_goes_back_may_say_something_else(client: TestClient, folder: Path, ann: Rater) -> None:
    n = judge_all(client, ann.key)
    page = client.get(f"/rate/{ann.key}?item={n}").text
    assert re.search(r'value="right" class="verdict right" aria-pressed="true"', page)
    assert f"?item={n - 1}" in page
    for _ in range(2):  # twice, or in another tab, is the same as once
        client.post(f"/rate/{ann.key}", data={"item": n, "verdict": "wrong"})
    with Run.open(folder) as run:
        assert [each.verdict for each in ratings(run, ann.study_id, "Ann")].count("wrong") == 1
    assert "Thank you" in client.get(f"/rate/{ann.key}").text


def test_nothing_tells_whose_words_they_are(client: TestClient, folder: Path, ann: Rater) -> None:
    for place, item in enumerate(items_of(folder, ann), 1):
        answer = client.get(f"/rate/{ann.key}?item={place}")
        page = re.sub(r"[0-9a-f]{64}|data:[^\"]*", "", answer.text).replace(item.text, "")
        told = f"{page}{answer.headers}"
        for hidden in (*METHODS, "feature", "setting", "decoy", "donor", "/runs/", "/pictures/", "activat"):
            assert hidden not in told.lower(), hidden
        numbers = {*re.findall(r"\d+", re.sub(r'<(svg|image|img|meta)[^>]*>|"max-age=\d+"', "", page))}
        assert not {str(each) for each in (item.feature_id, item.donor_id) if each is not None and each > 100} & numbers


def test_pictures_are_an_items_own_and_of_no_explainer(client: TestClient, folder: Path, ann: Rater) -> None:
    items = items_of(folder, ann)
    addresses = re.findall(r'src="(/rate/[^"]+)"', client.get(f"/rate/{ann.key}").text)
    assert len(addresses) == len(items[0].image_ids)
    for address in addresses:
        found = client.get(address)
        assert found.headers["content-type"] == "image/webp"
        assert found.content[8:12] == b"WEBP"
    with Run.open(folder) as run:
        shown = exemplars(run, items[0].feature_id, "explaining", "top")[0].image.pixel_hash
        own = {each.image.image_id for each in exemplars(run, items[0].feature_id, "scoring", "top")}
    assert own >= {*items[0].image_ids}
    name = addresses[0].rpartition("/")[2]
    other = next(at for at, each in enumerate(items, 1) if each.feature_id != items[0].feature_id)
    others = re.findall(r'src="[^"]+/([^/"]+)"', client.get(f"/rate/{ann.key}?item={other}").text)
    stray = next(each for each in others if each not in " ".join(addresses))
    for path in (
        f"/rate/{ann.key}/1/{shown}.webp",
        f"/rate/{ann.key}/1/{stray}",
        f"/rate/{ann.key}/999/{name}",
        f"/rate/wrong/1/{name}",
        f"/rate/{ann.key}/1/..%2f..%2frun.webp",
    ):
        assert client.get(path).status_code == 404, path


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"item": 999, "verdict": "right"}, 404),
        ({"item": 0, "verdict": "right"}, 422),
        ({"item": 2**80, "verdict": "right"}, 422),
        ({"verdict": "right"}, 422),
        ({"item": 1}, 422),
        ({"item": 1, "verdict": "perhaps"}, 422),
        ({"item": 1, "verdict": "right", "seconds": "nan"}, 422),
        ({"item": 1, "verdict": "right", "note": "n" * 2001}, 422),
        ({"item": 1, "verdict": "right", "note": "n" * 70_000}, 413),
    ],
)
def test_what_cannot_be_kept_is_refused(
    client: TestClient, folder: Path, ann: Rater, data: dict[str, Any], status: int
) -> None:
    answer = client.post(f"/rate/{ann.key}", data=data)
    assert answer.status_code == status
    with Run.open(folder) as run:
        assert ratings(run, ann.study_id) == []


def test_where_something_goes_wrong_nothing_is_told_of_runs(
    client: TestClient, folder: Path, ann: Rater, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [client.get("/rate/wrong"), client.get(f"/rate/{ann.key}?item=999"), client.get(f"/rate/{ann.key}/x")]
    assert [each.status_code for each in answers] == [404, 404, 404]
    answers.append(client.get(f"/rate/{ann.key}?item=x"))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda file, **rest: connect(file.replace("mode=rw", "mode=ro"), **rest))
    answers.append(client.post(f"/rate/{ann.key}", data={"item": 1, "verdict": "right"}))
    assert answers[-1].status_code == 409
    monkeypatch.undo()
    with Run.noting(folder) as run:
        run.connection.execute("UPDATE study_items SET image_ids = '{}'")
        other = add_rater(run, ann.study_id, "Cy")  # whose items are not remembered
    answers.append(client.get(f"/rate/{other.key}"))
    assert answers[-1].status_code == 500
    for each in answers:
        assert "<nav" not in each.text
        assert folder.name not in each.text
        assert "feature" not in each.text


def test_a_name_from_anyone_is_text(client: TestClient, study: tuple[Study, list[Rater]]) -> None:
    nasty = study[1][1]
    page = client.get(f"/rate/{nasty.key}").text
    assert NASTY not in page
    assert "&lt;script&gt;" in page
    judge_all(client, nasty.key)
    assert NASTY not in client.get(f"/rate/{nasty.key}").text


def test_raters_see_items_in_orders_of_their_own(client: TestClient, study: tuple[Study, list[Rater]]) -> None:
    first, second = (client.get(f"/rate/{each.key}").text for each in study[1])
    assert place_on(first) == place_on(second) == 1
    words = [re.findall(r"<h1>(.*)</h1>", client.get(f"/rate/{each.key}?item={at}").text)
             for each in study[1] for at in range(1, 6)]  # fmt: skip
    assert words[:5] != words[5:]


def test_a_damaged_run_keeps_no_rater_of_another_from_judging(folder: Path, filled: Path, tmp_path: Path) -> None:
    other = copied(filled, tmp_path / "other")
    _, (ann,) = begun(folder, "Ann")
    catalogue = Catalogue([other, folder])
    with Run.noting(other) as run:
        run.connection.execute("DROP TABLE raters")
    assert client_of(catalogue).get(f"/rate/{ann.key}").status_code == 200
    catalogue.close()
