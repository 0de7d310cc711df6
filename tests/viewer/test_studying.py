"""Whoever runs a study begins it, asks raters, and sees what comes of it; no key goes further than its link."""

import csv
import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from seesay.store.run import Run
from seesay.store.studies import Rating, Study, rate, raters, studies, study_items
from seesay.viewer import studying
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.studied import Results
from tests.viewer.conftest import client_of
from tests.viewer.studying import CONFIG, NASTY, begun, copied, judge_all, judged

FORM = {"name": "first", "n_features": 4, "n_images": 4, "n_decoys": 1, "seed": 3}


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return copied(filled, tmp_path)


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    catalogue = Catalogue([folder])
    catalogue.refresh()
    yield client_of(catalogue)
    catalogue.close()


def test_a_study_is_begun_by_a_form(client: TestClient, folder: Path) -> None:
    page = client.get("/studies").text
    assert "Begin a study" in page
    assert 'value="steering" checked' in page
    sent = client.post("/studies", data={**FORM, "methods": ["topk"]})
    assert (sent.status_code, sent.headers["location"]) == (303, "/runs/0/studies/1")
    with Run.open(folder) as run:
        (study,) = studies(run)
        items = study_items(run, 1)
    assert (study.name, study.facts["methods"], study.facts["seed"]) == ("first", ["topk"], 3)
    assert len({each.feature_id for each in items}) == 4
    page = client.get("/runs/0/studies/1").text
    assert f"{len(items)} items" in page
    assert "Nothing is judged yet" in page
    assert 'href="/runs/0/studies/1"' in client.get("/studies").text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": " "}, "at most 60 characters"),
        ({"name": "A" * 61}, "at most 60 characters"),
        ({"n_features": 0}, "n_features 0"),
        ({"n_features": 400}, "expected 400"),
        ({"n_images": 31}, "n_images 31"),
        ({"methods": ["dissect"]}, "dissect"),
        ({"run": 9}, "run 9"),
    ],
)
def test_what_cannot_be_begun_is_told_above_a_form_that_keeps_it(
    client: TestClient, folder: Path, changed: dict[str, object], told: str
) -> None:
    answer = client.post("/studies", data={**FORM, "seed": 77, **changed})
    assert answer.status_code == 422
    assert told in answer.text
    assert 'name="seed" min="0" value="77"' in answer.text
    with Run.open(folder) as run:
        assert studies(run) == []


def test_a_name_is_taken_once(client: TestClient) -> None:
    assert client.post("/studies", data=FORM).status_code == 303
    assert "which there is" in client.post("/studies", data=FORM).text


def test_raters_are_asked_by_name_and_found_again(client: TestClient, folder: Path) -> None:
    begun(folder)
    asked = client.post("/runs/0/studies/1/raters", data={"name": " Ann  B ", "then": "link"})
    assert (asked.status_code, asked.headers["location"]) == (303, "/runs/0/studies/1#raters")
    with Run.open(folder) as run:
        (ann,) = raters(run, 1)
    assert ann.name == "Ann B"
    assert f'value="http://127.0.0.1:8765/rate/{ann.key}"' in client.get("/runs/0/studies/1").text
    at_once = client.post("/runs/0/studies/1/raters", data={"name": "Ann B", "then": "judge"})
    assert at_once.headers["location"] == f"/rate/{ann.key}"
    for name in ("", " ", "A" * 61):
        assert client.post("/runs/0/studies/1/raters", data={"name": name}).status_code == 422
    assert client.post("/runs/0/studies/9/raters", data={"name": "Ann"}).status_code == 404
    assert client.post("/runs/9/studies/1/raters", data={"name": "Ann"}).status_code == 404


def test_what_raters_say_is_shown_and_had_without_their_keys(client: TestClient, folder: Path) -> None:
    _, asked = begun(folder, "Ann", "Bob", f"=1+1{NASTY}")
    for rater, verdict in zip(asked, ("right", "partly", "wrong"), strict=True):
        n = judge_all(client, rater.key, verdict)
    client.post(f"/rate/{asked[0].key}", data={"item": 1, "verdict": "wrong", "note": f"=2+2{NASTY}"})
    page = client.get("/runs/0/studies/1").text
    assert f"{n} of {n}" in page  # pyright: ignore[reportPossiblyUnbound]
    assert NASTY not in page
    assert NASTY not in client.get("/studies").text
    for told in ("alpha", "topk", "steering", "decoys"):
        assert told in page.lower(), told
    data = client.get("/api/runs/0/studies/1")
    table = client.get("/api/runs/0/studies/1.csv")
    assert {each["n"] for each in data.json()["raters"]} == {n}
    assert len(data.json()["ratings"]) == 3 * n
    assert "results" in data.json()
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="' in table.headers["content-disposition"]
    assert table.text.count("\n") == 3 * n + 1
    assert f"'=1+1{NASTY}" in table.text
    assert f"'=2+2{NASTY}" in table.text
    for rater in asked:
        assert rater.key not in data.text + table.text


def test_results_are_computed_once_for_all_who_ask_and_again_after_another_rating(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(folder)
    computed: list[str] = []
    once = Results.of

    def slowly(run: Run, study: Study) -> Results:
        computed.append(study.name)
        time.sleep(0.2)
        return once(run, study)

    monkeypatch.setattr(Results, "of", slowly)
    with ThreadPoolExecutor(6) as pool:
        pages = set(pool.map(lambda _: client.get("/runs/0/studies/1").text, range(6)))
    assert len(pages) == 1
    assert computed == ["first"]
    with Run.noting(folder) as run:
        (ann, *_) = raters(run, 1)
        rate(run, ann, Rating(0, ann.name, "wrong", "after all"))
    client.get("/runs/0/studies/1")
    assert computed == ["first", "first"]


def test_results_of_few_studies_are_kept(client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studying, "_MOST_KEPT", 1)
    computed: list[str] = []
    monkeypatch.setattr(Results, "of", lambda run, study: computed.append(study.name) or Results())
    for name in ("first", "second"):
        _, (ann,) = begun(folder, "Ann", config=replace(CONFIG, name=name))
        with Run.noting(folder) as run:
            rate(run, ann, Rating(0, "Ann", "wrong"))
    for study in (1, 1, 2, 2, 1):
        assert client.get(f"/runs/0/studies/{study}").status_code == 200
    assert computed == ["first", "second", "first"]


def test_all_that_people_say_is_had_as_one_table(client: TestClient, folder: Path) -> None:
    _, asked, feature_id = judged(folder)
    table = client.get("/api/runs/0/judgements.csv")
    rows = list(csv.DictReader(StringIO(table.text)))
    assert {row["kind"] for row in rows} == {"open", "blind"}
    assert {row["feature_id"] for row in rows if row["kind"] == "open"} == {str(feature_id)}
    assert "/api/runs/0/judgements.csv" in client.get("/studies").text
    assert client.get("/api/runs/9/judgements.csv").status_code == 404
    for rater in asked:
        assert rater.key not in table.text


@pytest.mark.parametrize(
    "path", ["/runs/0/studies/1", "/runs/9/studies/1", "/runs/0/studies/-1", f"/runs/0/studies/{2**70}"]
)
def test_a_study_that_is_not_there_is_told_as_such(client: TestClient, path: str) -> None:
    for each in (path, f"/api{path}", f"/api{path}.csv"):
        assert client.get(each).status_code == 404, each


def test_names_from_anyone_are_text(client: TestClient, folder: Path) -> None:
    study, _ = begun(folder, NASTY, config=CONFIG)
    with Run.noting(folder) as run:
        values = (NASTY, f'{{"seed": "{NASTY}", "{NASTY}": 1}}', study.study_id)
        run.connection.execute("UPDATE studies SET name = ?, facts = ? WHERE study_id = ?", values)
    for path in ("/studies", "/runs/0/studies/1"):
        assert NASTY not in client.get(path).text
        assert "&lt;script&gt;" in client.get(path).text


def test_a_run_that_cannot_be_written_says_so(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(folder, "Ann")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda file, **rest: connect(file.replace("mode=rw", "mode=ro"), **rest))
    for path, data in (("/studies", {**FORM, "name": "second"}), ("/runs/0/studies/1/raters", {"name": "Bob"})):
        answer = client.post(path, data=data)
        assert answer.status_code == 409
        assert "readonly" in answer.text
    assert client.get("/runs/0/studies/1").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE studies SET facts = 'x' WHERE study_id = 1",
        "UPDATE study_items SET image_ids = '{}' WHERE study_id = 1",
        "UPDATE ratings SET seconds = 9e999 WHERE study_id = 1",
    ],
)
def test_a_damaged_study_keeps_no_other_of_its_run_from_being_shown(
    client: TestClient, folder: Path, change: str
) -> None:
    for name in ("first", "second"):
        _, (ann,) = begun(folder, "Ann", config=replace(CONFIG, name=name))
        with Run.noting(folder) as run:
            rate(run, ann, Rating(0, "Ann", "wrong"))
    with Run.noting(folder) as run:
        run.connection.execute(change)
    page = client.get("/studies").text
    assert page.count("is damaged") == 1
    assert re.findall(r'href="/runs/0/studies/(\d)"', page) == ["2"]
    assert client.get("/runs/0/studies/1").status_code == 500
    page = client.get("/runs/0/studies/2")
    assert page.status_code == 200
    assert "damaged" not in page.text


def test_a_rating_of_an_item_that_is_gone_counts_for_nobody(client: TestClient, folder: Path) -> None:
    study, (ann,) = begun(folder, "Ann")
    with Run.noting(folder) as run:
        n = len(study_items(run, study.study_id))
        for number in (0, 1):
            rate(run, ann, Rating(number, "Ann", "wrong"))
        run.connection.execute("DELETE FROM study_items WHERE item = 0")
    page = client.get("/runs/0/studies/1").text
    assert f"1 of {n - 1}" in page
    assert "damaged" not in page
    assert [each["item"] for each in client.get("/api/runs/0/studies/1").json()["ratings"]] == [1]


def test_a_damaged_study_is_told_as_such_and_other_runs_are_shown(folder: Path, filled: Path, tmp_path: Path) -> None:
    begun(folder)
    other = copied(filled, tmp_path / "other")
    begun(other)
    catalogue = Catalogue([other, folder])
    client = client_of(catalogue)
    with Run.noting(other) as run:
        run.connection.execute("UPDATE studies SET facts = 'x'")
    page = client.get("/studies").text
    assert "damaged" in page
    assert re.findall(r'href="/runs/(\d)/studies/1"', page) == ["1"]
    assert client.get("/runs/0/studies/1").status_code == 500
    assert client.get("/api/runs/0/studies/1").json()["detail"]
    catalogue.close()
