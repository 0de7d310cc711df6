"""Pages, and the same as JSON."""

import re
import shutil
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from seesay.store.exemplars import exemplars, features
from seesay.store.run import Run
from seesay.viewer.catalogue import Catalogue
from tests.collected import WORDS
from tests.comparison.making import making, said
from tests.viewer.conftest import client_of

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def feature_id(filled: Path) -> int:
    with Run.open(filled) as run:
        return features(run)[0].feature_id


def test_the_atlas_shows_cards_with_words_and_pictures(client: TestClient) -> None:
    page = client.get("/").text
    assert page.count('class="card"') == 24
    assert any(words in page for words in WORDS)
    assert re.search(r'src="/pictures/0/[0-9a-f]{64}\.webp\?side=160"', page)
    assert "page 1 of 2" in page


def test_what_is_asked_for_anew_comes_alone(client: TestClient) -> None:
    part = client.get("/?text=red", headers={"hx-request": "true"}).text
    assert "<html" not in part
    assert 'class="card"' in part
    assert (
        "<html" in client.get("/?text=red", headers={"hx-request": "true", "hx-history-restore-request": "true"}).text
    )


def test_where_nothing_fits_the_page_says_so(client: TestClient) -> None:
    page = client.get("/?text=zeppelin").text
    assert "Nothing here fits" in page
    assert "0 features" in page


def test_a_feature_has_a_page_of_its_own(client: TestClient, feature_id: int) -> None:
    page = client.get(f"/runs/0/features/{feature_id}").text
    assert re.search(rf"<h1>Feature {feature_id}: \w.*</h1>", page)
    for told in (
        "What is said of it",
        "Most active",
        "Quantile 3 of 3",
        "Controls and ablations",
        "words that say nothing",
    ):
        assert told in page
    assert 'type="range"' in page


@pytest.mark.parametrize(
    "path",
    [
        "/runs/0/features/999999999",
        "/runs/7/features/1",
        "/nowhere",
        "/runs/0/features/-1",
        f"/runs/0/features/{10**30}",
    ],
)
def test_what_is_not_there_is_told_on_a_page(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "To the atlas" in answer.text


@pytest.mark.parametrize(
    "asked", ["page=0", "page=x", "least_sure=2", "run=-1", "method=telepathy", f"text={'a' * 999}"]
)
def test_what_cannot_be_asked_is_told_on_a_page(client: TestClient, asked: str) -> None:
    answer = client.get(f"/?{asked}")
    assert answer.status_code == 422
    assert asked.partition("=")[0] in answer.text
    assert client.get(f"/api/features?{asked}").json()["detail"]


def test_a_form_sends_empty_what_is_not_chosen(client: TestClient) -> None:
    empty = "text=&run=&method=&level=&split=&score=&at_least=&least_sure=&rarest=&commonest=&apart=&order=id"
    assert client.get(f"/?{empty}").text.count('class="card"') == 24


def test_the_same_is_there_as_json(client: TestClient, feature_id: int) -> None:
    found = client.get("/api/features", params={"order": "iou", "method": "topk"}).json()
    assert (found["n"], found["page"], found["n_pages"]) == (40, 1, 2)
    assert {"feature_id", "text", "iou", "sure", "frequency"} <= found["features"][0].keys()
    card = client.get(f"/api/runs/0/features/{feature_id}").json()
    assert {each["method"] for each in card["settings"]} == {"topk", "steering"}
    assert client.get("/api/runs").json()[0]["of"]["sae"] == "world:late"
    assert client.get("/api/version").json() == {
        "version": 1,
        "done": 40,
        "total": 40,
        "read": 0,
        "to_read": 0,
    }
    paths = client.get("/api/openapi.json").json()["paths"]
    assert "/api/features" in paths
    assert "/" not in paths


def test_methods_stand_side_by_side_when_they_are_compared(client: TestClient, catalogue: Catalogue) -> None:
    page = client.get("/compare").text
    for _ in range(600):
        if "Comparing:" not in page:
            break
        time.sleep(0.1)
        page = client.get("/compare").text
    assert "<b>" not in page
    for told in ("By each score", "iou", "In short", "Where methods differ most", "/runs/0/features/"):
        assert told in page
    figure = client.get("/compare/figure")
    assert "frame-ancestors 'self'" in figure.headers["content-security-policy"]
    assert client.get("/compare/figure.json").json()["data"]
    told = client.get("/api/compare").json()
    assert told["ready"]
    assert not told["problem"]
    assert told["standings"]
    assert b"Plotly" in client.get("/compare/plotly.js").content


def test_where_nothing_is_scored_the_comparison_says_what_is_missing(tmp_path: Path) -> None:
    with making(tmp_path, 3):
        pass
    catalogue = Catalogue([tmp_path])
    client = client_of(catalogue)
    for _ in range(600):
        page = client.get("/compare").text
        if "Comparing:" not in page:
            break
        time.sleep(0.1)
    assert "no explanations" in page  # pyright: ignore[reportPossiblyUnbound]
    catalogue.close()


def test_pictures_are_had_by_their_hash_alone(client: TestClient, filled: Path, feature_id: int) -> None:
    with Run.open(filled) as run:
        pixel_hash = exemplars(run, feature_id, "explaining", "top")[0].image.pixel_hash
    found = client.get(f"/pictures/0/{pixel_hash}.webp")
    assert found.headers["content-type"] == "image/webp"
    assert found.content[8:12] == b"WEBP"
    assert "immutable" in found.headers["cache-control"]
    for path in (
        f"/pictures/0/{'0' * 64}.webp",
        f"/pictures/9/{pixel_hash}.webp",
        "/pictures/0/..%2f..%2frun.webp",
        "/pictures/0/run.db",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
    ):
        assert client.get(path).status_code in (404, 422), path
        assert b"SQLite" not in client.get(path).content


def test_no_link_in_a_strangers_run_leads_out_of_it(filled: Path, tmp_path: Path, feature_id: int) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    secret = tmp_path / "secret.webp"
    with Run.open(folder) as run:
        pixel_hash = exemplars(run, feature_id, "explaining", "top")[0].image.pixel_hash
        path = run.thumbnails.path(pixel_hash)
    shutil.copy(path, secret)
    path.unlink()
    path.symlink_to(secret)
    catalogue = Catalogue([folder])
    assert client_of(catalogue).get(f"/pictures/0/{pixel_hash}.webp").status_code == 404
    path.unlink()
    path.write_text("no picture")
    assert client_of(catalogue).get(f"/pictures/0/{pixel_hash}.webp").status_code == 404
    catalogue.close()


def test_words_from_anyone_are_words_on_every_page(tmp_path: Path) -> None:
    with making(tmp_path / NASTY.replace("/", "_"), 3, sae=NASTY) as run:
        folder = run.folder
        said(run, dict.fromkeys(range(3), NASTY), explainer=NASTY)
    catalogue = Catalogue([folder])
    catalogue.refresh()
    client = client_of(catalogue)
    for path in ("/", "/runs/0/features/1", f"/?text={NASTY}", f"/{NASTY}"):
        page = client.get(path).text
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        assert "&lt;" in page or "script" not in page
    catalogue.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE explanations SET text = x'00'",
        "UPDATE features SET frequency = 'often'",
        "UPDATE features SET nearest = '[[1]]'",
        "UPDATE settings SET facts = '7'",
        "UPDATE scores SET value = 'high'",
    ],
)
def test_a_damaged_run_is_told_as_such_and_the_rest_is_shown(damage: str, filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        feature_id = features(run)[0].feature_id
        run.connection.execute(damage)
    catalogue = Catalogue([folder])
    client = client_of(catalogue)
    answer = client.get(f"/runs/0/features/{feature_id}")
    assert answer.status_code == 500
    assert "This run cannot be read" in answer.text
    assert "damaged" in answer.text
    assert client.get("/").status_code == 200
    catalogue.close()


def test_a_run_without_images_has_pages_too(tmp_path: Path) -> None:
    with Run.writing(tmp_path, {"subject": "tiny", "layer": 1, "sae": "x", "identity": "i"}) as run:
        said(run, dict.fromkeys(range(5), "a car"))
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    client = client_of(catalogue)
    assert "no images" in client.get("/").text
    assert "a car" in client.get("/runs/0/features/1").text
    catalogue.close()


def test_damaged_pictures_of_one_feature_hide_no_other(filled: Path, tmp_path: Path, feature_id: int) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        damage = "UPDATE exemplars SET heatmaps = x'00' WHERE feature_id = ?"
        run.connection.execute(damage, (feature_id,))
    catalogue = Catalogue([folder])
    catalogue.refresh()
    page = client_of(catalogue).get("/").text
    assert page.count('class="card"') == 24
    assert page.count("its pictures are damaged") == 1
    catalogue.close()
