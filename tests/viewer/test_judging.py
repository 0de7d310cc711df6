"""What people say of words is kept, shown and taken back; what cannot be is told in a line."""

import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from starlette.testclient import TestClient

from seesay.records import Verdict
from seesay.store.database import transaction
from seesay.store.exemplars import features
from seesay.store.explanations import explanations, settings
from seesay.store.run import Run
from seesay.store.verdicts import verdicts
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.forms import LARGEST
from tests.viewer.conftest import client_of
from tests.viewer.studying import begun

NASTY = "<script>alert(1)</script>"


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    """A run of the test's own."""
    return Path(shutil.copytree(filled, tmp_path / "run"))


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    catalogue = Catalogue([folder])
    catalogue.refresh()
    yield client_of(catalogue)
    catalogue.close()


@pytest.fixture
def form(folder: Path) -> dict[str, Any]:
    """What the form beside the first words of a feature sends, with the feature."""
    with Run.open(folder) as run:
        feature_id = features(run)[0].feature_id
        first = next(each for each in settings(run) if each.control is None)
        text = explanations(run, first)[feature_id][0].text
    return {
        "feature_id": feature_id,
        "setting_id": first.setting_id,
        "sample": 0,
        "text": text,
        "rater": "Ann",
        "verdict": "partly",
    }


def page_of(form: dict[str, Any]) -> str:
    return f"/runs/0/features/{form['feature_id']}"


def test_a_verdict_is_on_the_page_at_once_and_can_be_taken_back(client: TestClient, form: dict[str, Any]) -> None:
    page = page_of(form)
    assert "Is it right?" in client.get(page).text
    sent = client.post(f"{page}/verdicts", data={**form, "note": "no wheels"})
    assert (sent.status_code, sent.headers["location"]) == (303, f"{page}#judged")
    client.post(f"{page}/verdicts", data={**form, "rater": "  Bob\t", "verdict": "wrong"})
    shown = client.get(page).text
    assert "1 partly, 1 wrong" in shown
    assert "Ann: no wheels" in shown
    assert 'data-rater="Bob"' in shown
    client.post(f"{page}/verdicts", data={**form, "verdict": ""})
    shown = client.get(page).text
    assert 'data-rater="Ann"' not in shown
    assert 'data-rater="Bob"' in shown


def test_scripts_judge_by_json(client: TestClient, form: dict[str, Any]) -> None:
    said = client.post("/api/runs/0/verdicts", json={**form, "note": "=1+1"})
    assert said.status_code == 200
    (one,) = client.get("/api/runs/0/verdicts").json()
    assert said.json() == [one]
    assert (one["rater"], one["verdict"], one["note"], one["text"]) == ("Ann", "partly", "=1+1", form["text"])
    assert client.post("/api/runs/0/verdicts", json={**form, "verdict": ""}).json() == []


def test_names_and_notes_from_anyone_are_text(client: TestClient, form: dict[str, Any]) -> None:
    data = {**form, "rater": f'{NASTY}"', "note": f'"><img src=x onerror=alert(1)>{NASTY}'}
    assert client.post(f"{page_of(form)}/verdicts", data=data).status_code == 303
    page = client.get(page_of(form)).text
    assert NASTY not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"rater": " "}, 422),
        ({"rater": "A" * 61}, 422),
        ({"verdict": "perhaps"}, 422),
        ({"note": "n" * 2001}, 422),
        ({"setting_id": -1}, 422),
        ({"setting_id": 2**70}, 422),
        ({"setting_id": 99}, 409),
        ({"sample": 7}, 409),
        ({"setting_id": 3, "text": "nothing"}, 409),  # of a control
        ({"text": "what it said before"}, 409),
        ({"text": "t" * 10_001}, 422),
        ({"note": "n" * (LARGEST + 1)}, 413),
    ],
)
def test_what_cannot_be_kept_is_refused_in_a_line(
    client: TestClient, folder: Path, form: dict[str, Any], changed: dict[str, Any], status: int
) -> None:
    page = client.post(f"{page_of(form)}/verdicts", data={**form, **changed})
    assert page.status_code == status
    assert "To the atlas" in page.text
    part = client.post(f"{page_of(form)}/verdicts", data={**form, **changed}, headers={"hx-request": "true"})
    assert part.json()["detail"]
    answer = client.post("/api/runs/0/verdicts", json={**form, **changed})
    assert answer.status_code == status
    assert "\n" not in answer.json()["detail"]
    with Run.open(folder) as run:
        assert verdicts(run) == []


def test_what_is_refused_is_not_told_at_length(client: TestClient, form: dict[str, Any]) -> None:
    answer = client.post("/api/runs/0/verdicts", json={**form, "text": "t" * 10_000})
    assert answer.status_code == 409
    assert f"'{'t' * 59}…' of feature" in answer.json()["detail"]
    assert len(answer.text) < 300


def test_a_script_that_says_what_nobody_asks_for_is_told(client: TestClient, form: dict[str, Any]) -> None:
    answer = client.post("/api/runs/0/verdicts", json={**form, "notes": "no wheels"})
    assert answer.status_code == 422
    assert "notes" in answer.json()["detail"]
    assert client.post(f"{page_of(form)}/verdicts", data={**form, "notes": "no wheels"}).status_code == 303


@pytest.mark.parametrize("path", ["/runs/9/features/1", "/runs/0/features/-1", f"/runs/0/features/{2**70}"])
def test_of_what_is_not_there_nothing_is_said(client: TestClient, form: dict[str, Any], path: str) -> None:
    assert client.post(f"{path}/verdicts", data=form).status_code == 404


def test_something_else_than_a_form_is_refused(client: TestClient, form: dict[str, Any]) -> None:
    page = f"{page_of(form)}/verdicts"
    assert client.post(page, json=form).status_code == 415
    assert client.post(page, data={f"a{each}": "" for each in range(101)}).status_code == 413
    assert client.post("/api/runs/0/verdicts", data=form).status_code == 415
    for wrong in (b"{", b'{"rater": "\\ud800"}', b"\xff"):
        answer = client.post("/api/runs/0/verdicts", content=wrong, headers={"content-type": "application/json"})
        assert answer.status_code == 422


def test_words_of_several_lines_can_be_judged(client: TestClient, folder: Path, form: dict[str, Any]) -> None:
    with Run.writing(folder) as run, transaction(run.connection):
        query = "UPDATE explanations SET text = 'a red\ncar' WHERE setting_id = ? AND feature_id = ?"
        run.connection.execute(query, (form["setting_id"], form["feature_id"]))
    sent = client.post(f"{page_of(form)}/verdicts", data={**form, "text": "a red\r\ncar"})
    assert sent.status_code == 303
    assert 'data-rater="Ann"' in client.get(page_of(form)).text


def test_a_run_that_cannot_be_written_says_so_and_is_shown(
    client: TestClient, form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def as_on_a_disc(file: str, **options: Any) -> sqlite3.Connection:  # root may write anywhere
        return connect(file.replace("mode=rw", "mode=ro"), **options)

    monkeypatch.setattr(sqlite3, "connect", as_on_a_disc)
    answer = client.post(f"{page_of(form)}/verdicts", data=form)
    assert answer.status_code == 409
    assert "This cannot be kept" in answer.text
    assert "readonly" in answer.text
    assert client.post("/api/runs/0/verdicts", json=form).status_code == 409
    assert client.get(page_of(form)).status_code == 200


def test_a_damaged_verdict_is_told_as_such(client: TestClient, folder: Path, form: dict[str, Any]) -> None:
    client.post("/api/runs/0/verdicts", json=form)
    with Run.noting(folder) as run:
        run.connection.execute("UPDATE verdicts SET note = x'00'")
    assert client.get("/api/runs/0/verdicts").status_code == 500
    answer = client.get(page_of(form))
    assert answer.status_code == 500
    assert "damaged" in answer.text


def test_what_people_say_is_compared_anew(client: TestClient, form: dict[str, Any]) -> None:
    def compared() -> dict[str, Any]:
        for _ in range(600):
            told = client.get("/api/compare").json()
            if told["ready"]:
                return told
            time.sleep(0.1)
        raise AssertionError("never compared")

    def scores() -> set[str]:
        return {each["quantity"]["score"] for each in compared()["standings"]}

    assert "people" not in scores()
    card = client.get(f"/api{page_of(form)}").json()
    for each in (each for each in card["settings"] if each["control"] is None):
        words = {"setting_id": each["setting_id"], "text": each["explanations"][0]["text"]}
        assert client.post("/api/runs/0/verdicts", json={**form, **words}).status_code == 200
    assert not client.get("/api/compare").json()["ready"]
    assert "people" in scores()


def test_both_forms_ask_for_every_verdict_that_there_is(client: TestClient, folder: Path, form: dict[str, Any]) -> None:
    _, (ann,) = begun(folder, "Ann")
    for page in (page_of(form), f"/rate/{ann.key}"):
        found = re.findall(r'name="verdict" value="(\w+)"', client.get(page).text)
        assert tuple(dict.fromkeys(found)) == get_args(Verdict), page
