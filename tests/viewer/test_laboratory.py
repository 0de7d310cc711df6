"""Asking the models through the viewer: the same answers as in a terminal, kept, and refused where they must be."""

import io
import json
import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

import seesay
from seesay import cli
from seesay.asking import ask
from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.laboratory import laboratory_of
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import UnusablePath
from seesay.store.run import Run
from seesay.viewer.app import create_app
from seesay.viewer.brought import Brought
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.guard import Guard
from seesay.viewer.laboratory import Laboratory
from seesay.viewer.pushes import Push
from seesay.viewer.worker import Worker

COMMON = Options(device="cpu")
SMALL = ExplainerOptions(explainer="world:S")
NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(filled, tmp_path_factory.mktemp("lab") / "run"))


@pytest.fixture(scope="module")
def laboratory(folder: Path) -> Iterator[Laboratory]:
    catalogue = Catalogue([folder])
    catalogue.refresh()
    found = laboratory_of(catalogue, Brought(), SMALL, COMMON, Output(COMMON), 60.0)
    yield found
    found.close()
    catalogue.close()


@pytest.fixture(scope="module")
def client(laboratory: Laboratory) -> TestClient:
    return client_of(laboratory)


def client_of(laboratory: Laboratory | None, catalogue: Catalogue | None = None) -> TestClient:
    found = catalogue or laboratory._catalogue  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    app = create_app(found, Guard(), laboratory=laboratory)
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


@pytest.fixture(scope="module")
def photo() -> bytes:
    file = io.BytesIO()
    seesay.world.pictures.Pictures(1, 5).entry(0).read().resize((90, 70)).save(file, "PNG")
    return file.getvalue()


def lines(client: TestClient, address: str, **asked: Any) -> list[dict[str, Any]]:
    answer = client.post(address, json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def answers(news: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each["answer"] for each in news if "answer" in each]


def bring(client: TestClient, data: bytes) -> str:
    answer = client.post("/api/brought", content=data)
    assert answer.status_code == 200, answer.text
    return answer.json()["picture"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"unit": "coefficient", "strengths": [25.0]},
        {"unit": "kl", "strengths": [2.0]},
        {"strengths": [-3.123456789012345]},
        {"picture": True},
        {"along": "7:-1.5,9:2", "positions": "patches"},
        {"prompt": "which colour is it ? it's 'new'"},
        {"prompt": "--help"},
        {"strengths": [-1e-05]},
        {"layer": 3},
        {"mode": "replace", "empty": "grey"},
        {"method": "one-word", "strengths": [8.0], "unit": "coefficient"},
        {"method": "vocabulary"},
        {"temperature": 0.9, "seed": 7, "max_new_tokens": 5},
        {"empty": "noise", "seed": 3},
    ],
    ids=str,
)
def test_the_page_says_word_for_word_what_the_command_line_says(
    client: TestClient, photo: bytes, tmp_path: Path, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {"run": 0, "feature": 42, "strengths": [4.0], "unit": "residual_norm", **options}
    if "picture" in options:
        asked["picture"] = bring(client, photo)
        (tmp_path / "FILE").write_bytes(photo)
    news = lines(client, "/api/steer", **asked)
    said = answers(news)[-1]
    command = shlex.split(news[-1]["command"])
    assert command[:2] == ["seesay", "steer"]
    command = [str(tmp_path / "FILE") if word == "FILE" else word for word in command]
    assert cli.main([*command[1:], "--json", "-"]) == 0
    (expected,) = json.loads(capsys.readouterr().out)["explanations"]
    for name in ("text", "raw_text", "status", "coefficient"):
        assert said[name] == expected[name], name


def test_a_sweep_is_each_of_its_strengths_beside_nothing_and_a_random_direction(client: TestClient) -> None:
    strengths = [1.0, 4.0, 8.0]
    news = lines(client, "/api/steer", run=0, feature=42, strengths=strengths, unit="residual_norm", random=True)
    said = answers(news)
    assert [(each["control"], each["strength"]) for each in said] == [
        ("none", None),
        *((None, each) for each in strengths),
        ("random", 4.0),
    ]
    for strength, each in zip(strengths, said[1:4], strict=True):
        alone = answers(lines(client, "/api/steer", run=0, feature=42, strengths=[strength], unit="residual_norm"))
        assert alone[-1] == each
        assert alone[0] == said[0]


def test_words_come_as_they_are_said(client: TestClient) -> None:
    news = lines(client, "/api/steer", run=0, feature=42, strengths=[4.0], unit="residual_norm")
    heard = [each["words"] for each in news if each.get("number") == 1 and "words" in each]
    (said,) = [each["answer"]["text"] for each in news if each.get("number") == 1 and "answer" in each]
    assert len(heard) > 2
    assert all(said.startswith(each) for each in heard)


def test_a_picture_is_asked_about_as_in_a_notebook(
    client: TestClient, laboratory: Laboratory, folder: Path, photo: bytes
) -> None:
    news = lines(client, "/api/ask", run=0, picture=bring(client, photo), n=7, order="peak")
    loaded = laboratory.loaded(0)
    image = Image.open(io.BytesIO(photo))
    expected = ask(loaded.vlm, loaded.sae, image, layer=loaded.layer, n=7, order="peak", run=folder)
    assert news[-1]["sighting"] == json.loads(json.dumps(expected.as_json()))
    assert news[-1]["heats"] == [each.heat for each in expected]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"run": 1}, 404),
        ({"feature": 10**6}, 404),
        ({"feature": -1}, 404),
        ({"feature": 10**30}, 404),
        ({"along": "x"}, 404),
        ({"along": "1000000:1"}, 404),
        ({"picture": "0" * 64}, 404),
        ({"picture": "../../etc/passwd"}, 404),
        ({"strengths": []}, 422),
        ({"strengths": [1.0] * 17}, 422),
        ({"unit": "miles"}, 422),
        ({"layer": 99}, 422),
        ({"layer": -1}, 422),
        ({"method": "topk"}, 422),
        ({"prompt": "x" * 2001}, 422),
        ({"max_new_tokens": 0}, 422),
        ({"max_new_tokens": 10**9}, 422),
        ({"temperature": -1}, 422),
        ({"seed": -1}, 422),
        ({"strengths": [2.0, -2.0], "unit": "kl"}, 422),
        ({"unit": "max_activation"}, 422),
        ({"empty": "mean"}, 422),
        ({"strenght": 2.0}, 422),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_refused_before_anybody_waits(
    client: TestClient, wrong: dict[str, Any], status: int
) -> None:
    answer = client.post("/api/steer", json={"run": 0, "feature": 42, "strengths": [1.0], **wrong})
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"strengths": [1e9]}, "coefficient"),
        ({"prompt": "what is {this}"}, "{this}"),
        ({"along": "7:1", "mode": "replace"}, "pushed along"),
    ],
    ids=str,
)
def test_what_the_model_refuses_is_told_in_a_line(client: TestClient, wrong: dict[str, Any], told: str) -> None:
    news = lines(client, "/api/steer", **{"run": 0, "feature": 42, "strengths": [1.0], **wrong})
    assert told in news[-1]["refused"]


def test_numbers_that_are_none_are_refused(client: TestClient) -> None:
    for body in ('{"run":0,"feature":42,"strengths":[NaN]}', '{"run":0,"feature":42,"strengths":[1e999]}', "[]", "x"):
        answer = client.post("/api/steer", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, body


def test_too_many_are_told_that_others_are_answered(folder: Path, laboratory: Laboratory) -> None:
    full = Laboratory(
        laboratory._catalogue,  # pyright: ignore[reportPrivateUsage]
        {0: laboratory.loaded(0)},
        Brought(),
        Worker(most_waiting=0),
    )
    answer = client_of(full).post("/api/steer", json={"run": 0, "feature": 42, "strengths": [1.0]})
    assert answer.status_code == 429
    assert "ask again in a minute" in answer.json()["detail"]
    full.close()


def test_what_was_found_is_kept_with_its_settings_and_picture(client: TestClient, folder: Path, photo: bytes) -> None:
    picture = bring(client, photo)
    asked = {"run": 0, "feature": 42, "strengths": [4.0], "unit": "residual_norm", "along": "7:1", "picture": picture}
    news = lines(client, "/api/steer", **asked)
    kept = client.post("/api/bookmarks", json={"result": news[-1]["result"], "name": NASTY})
    assert kept.status_code == 200, kept.text
    number = kept.json()["bookmark_id"]
    (listed,) = [each for each in client.get("/api/runs/0/bookmarks").json() if each["bookmark_id"] == number]
    assert listed["replies"] == answers(news)
    catalogue = Catalogue([folder])
    later = client_of(None, catalogue)
    page = later.get(f"/steer/0/{number}").text
    assert answers(news)[-1]["text"] in page
    assert NASTY not in page
    assert "&lt;script&gt;" in page
    assert later.get(f"/brought/{picture}.webp").status_code == 200, "under the name that it had"
    assert later.get("/steer/0/9999").status_code == 404
    sent = later.post(f"/steer/0/{number}/forget")
    assert (sent.status_code, sent.headers["location"]) == (303, "/steer?run=0")
    assert later.post(f"/steer/0/{number}/forget").status_code == 303, "whoever is second finds it done"
    assert later.get(f"/steer/0/{number}").status_code == 404
    assert later.delete(f"/api/runs/0/bookmarks/{number}").status_code == 404
    catalogue.close()


def test_a_kept_picture_says_nothing_but_its_pixels(client: TestClient, folder: Path) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = "where it was taken"
    Image.new("RGB", (30, 20), "red").save(file, "JPEG", exif=exif)
    news = lines(client, "/api/steer", run=0, feature=42, strengths=[4.0], picture=bring(client, file.getvalue()))
    number = client.post("/api/bookmarks", json={"result": news[-1]["result"], "name": "x"}).json()["bookmark_id"]
    with Run.open(folder) as run:
        ((kept,),) = run.rows("SELECT picture FROM bookmarks WHERE bookmark_id = ?", (number,))
    assert b"where it was taken" not in kept
    assert Image.open(io.BytesIO(kept)).size == (30, 20)


def test_what_nobody_remembers_cannot_be_kept(client: TestClient) -> None:
    answer = client.post("/api/bookmarks", json={"result": "none", "name": "x"})
    assert answer.status_code == 404
    assert "steer again" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("settings", "replies", "status"),
    [
        ('{"feature": "x", "strengths": 3}', "[]", 422),
        ('{"feature": 1, "strengths": []}', "[]", 422),
        ('{"feature": 1, "strengths": [1.0], "more": 1}', "[]", 422),
        ("[", "[]", 500),
        ('{"feature": 1, "strengths": [1.0]}', "[{}]", 500),
        ('{"feature": 1, "strengths": [1.0]}', '[[["a", "b"]]]', 500),
        ('{"feature": 1, "strengths": [1.0]}', '[{"status": "ok", "text": 5}]', 500),
    ],
)
def test_a_bookmark_that_is_damaged_is_told_in_a_line_and_hides_no_other(
    client: TestClient, folder: Path, settings: str, replies: str, status: int
) -> None:
    with Run.noting(folder) as run:
        query = "INSERT INTO bookmarks (name, settings, answers, made_at) VALUES ('strange', ?, ?, '')"
        run.rows(query, (settings, replies))
        ((number,),) = run.rows("SELECT max(bookmark_id) FROM bookmarks")
    answer = client.get(f"/steer/0/{number}")
    assert answer.status_code == status
    assert "damaged" in answer.text or "strengths" in answer.text
    for address in ("/steer", "/api/runs/0/bookmarks"):
        assert client.get(address).status_code == 200
    with Run.noting(folder) as run:
        run.rows("DELETE FROM bookmarks WHERE bookmark_id = ?", (number,))


def test_a_picture_that_cannot_be_read_hides_no_words(client: TestClient, folder: Path) -> None:
    news = lines(client, "/api/steer", run=0, feature=42, strengths=[4.0])
    number = client.post("/api/bookmarks", json={"result": news[-1]["result"], "name": "x"}).json()["bookmark_id"]
    with Run.noting(folder) as run:
        run.rows("UPDATE bookmarks SET picture = x'00' WHERE bookmark_id = ?", (number,))
    assert answers(news)[-1]["text"] in client.get(f"/steer/0/{number}").text


def test_pages_of_a_viewer_without_models_say_how_to_load_them(filled: Path) -> None:
    catalogue = Catalogue([filled])
    client = client_of(None, catalogue)
    for address in ("/ask", "/steer"):
        assert "--with-model" in client.get(address).text
    assert client.post("/api/steer", json={}).status_code == 404
    catalogue.close()


def test_pages_begin_with_what_their_address_says(client: TestClient) -> None:
    page = client.get("/steer", params={"feature": 17, "strength": -2.5, "unit": "kl"}).text
    assert 'value="17"' in page
    assert 'value="-2.5"' in page
    assert client.get("/steer", params={"strength": "nan"}).status_code == 422
    assert client.get("/steer", params={"run": 9}).status_code == 404
    assert client.get("/ask", params={"run": 9}).status_code == 404
    assert client.get("/ask", params={"picture": "x"}).status_code == 422


def test_twenty_people_at_once_are_answered_or_told_that_others_are(folder: Path, laboratory: Laboratory) -> None:
    full = Laboratory(
        laboratory._catalogue,  # pyright: ignore[reportPrivateUsage]
        {0: laboratory.loaded(0)},
        Brought(),
        Worker(most_waiting=5),
    )
    client = client_of(full)

    def asks(feature: int) -> tuple[int, str]:
        answer = client.post("/api/steer", json={"run": 0, "feature": feature, "strengths": [1.0], "max_new_tokens": 8})
        return answer.status_code, answer.text.splitlines()[-1]

    with ThreadPoolExecutor(20) as people:
        ends = list(people.map(asks, range(20)))
    assert {status for status, _ in ends} == {200, 429}
    assert all("result" in json.loads(line) for status, line in ends if status == 200)
    assert asks(0)[0] == 200, "and then again"
    full.close()


def test_a_run_of_another_block_than_the_saes_is_named_in_the_line_for_a_terminal(
    folder: Path, laboratory: Laboratory
) -> None:
    loaded = laboratory.loaded(0)
    moved = replace(loaded, layer=2)
    assert "--layer" not in Push(0, 1, (1.0,)).command(loaded)
    assert "--layer 2" in Push(0, 1, (1.0,)).command(moved)
    assert "--layer 3" in Push(0, 1, (1.0,), layer=3).command(moved)
    assert "--layer" not in Push(0, 1, (1.0,), layer=loaded.layer).command(moved), "as that is the SAE's own"


def test_the_line_for_a_terminal_names_all_that_words_depend_on(folder: Path) -> None:
    prompts = seesay.world.checkpoint("world:S") / "prompts"
    catalogue = Catalogue([folder])
    who = ExplainerOptions(explainer="world:S", allow_different_encoder=True, prompts=prompts)
    models = laboratory_of(catalogue, Brought(), who, COMMON, Output(COMMON), 60.0)
    command = models.loaded(0).command
    assert command[:4] == ("--subject", "world:M", "--sae", "world:late")
    assert set(zip(command, command[1:], strict=False)) >= {
        ("--explainer", "world:S"),
        ("--prompts", str(prompts)),
        ("--device", "cpu"),
    }
    assert "--allow-different-encoder" in command
    assert "True" not in command
    models.close()
    catalogue.close()


def test_models_that_are_not_the_runs_are_refused(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        run.rows("UPDATE run SET value = '\"other\"' WHERE name = 'identity'")
    catalogue = Catalogue([folder])
    with pytest.raises(UnusablePath, match="not what .* was made of"):
        laboratory_of(catalogue, Brought(), SMALL, COMMON, Output(COMMON), 60.0)
    catalogue.close()
