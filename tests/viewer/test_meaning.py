"""Search by meaning, with the embedded world's space of images and texts."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from seesay.instruments.instrument import Embedder
from seesay.store.exemplars import exemplars, features
from seesay.store.run import Run
from seesay.viewer.app import create_app
from seesay.viewer.brought import Brought
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.guard import Guard
from seesay.viewer.meaning import Meaning
from seesay.world.instruments import embedder
from tests.comparison.making import making, said


@pytest.fixture(scope="module")
def space() -> Embedder:
    return embedder(device="cpu")


@pytest.fixture(scope="module")
def client(filled: Path, space: Embedder) -> Iterator[TestClient]:
    catalogue = Catalogue([filled])
    catalogue.refresh()
    meaning = Meaning(catalogue, lambda: space, Brought())
    meaning.refresh()
    yield TestClient(create_app(catalogue, Guard(), meaning), base_url="http://localhost", follow_redirects=False)
    catalogue.close()


def found(client: TestClient, **asked: str | int) -> list[int]:
    answer = client.get("/api/features", params=asked)
    assert answer.status_code == 200, answer.text
    return [each["feature_id"] for each in answer.json()["features"]]


def nearest(filled: Path, space: Embedder, vector: torch.Tensor) -> list[int]:
    """All features, one after the other, by the mean cosine with their four best images; those without come last."""
    near: dict[int, float] = {}
    with Run.open(filled) as run:
        for each in features(run):
            images = [run.thumbnails.read(one.image.pixel_hash) for one in top(run, each.feature_id)]
            near[each.feature_id] = (
                float((space.embed_images(images) @ vector).mean()) if images else -2.0 - each.feature_id * 1e-6
            )
    return sorted(near, key=lambda feature_id: -near[feature_id])


def top(run: Run, feature_id: int) -> list:  # pyright: ignore
    return exemplars(run, feature_id, "explaining", "top", 4)


@pytest.mark.parametrize("text", ["a frog", "the colour red", "zzz"])
def test_a_phrase_finds_the_features_whose_images_are_nearest(
    client: TestClient, filled: Path, space: Embedder, text: str
) -> None:
    expected = nearest(filled, space, space.embed_texts([text])[0])
    pages = [found(client, by="meaning", text=text, page=page) for page in (1, 2)]
    assert sum(pages, []) == expected


def test_a_picture_of_a_run_finds_what_is_near_to_it(client: TestClient, filled: Path, space: Embedder) -> None:
    with Run.open(filled) as run:
        feature_id = next(each.feature_id for each in features(run) if top(run, each.feature_id))
        pixel_hash = top(run, feature_id)[0].image.pixel_hash
        vector = space.embed_images([run.thumbnails.read(pixel_hash)])[0]
    assert found(client, picture=pixel_hash) == nearest(filled, space, vector)[:24]
    page = client.get("/", params={"picture": pixel_hash}).text
    assert f'src="/brought/{pixel_hash}.webp"' in page
    assert client.get(f"/brought/{pixel_hash}.webp").headers["content-type"] == "image/webp"
    assert f'href="/?picture={pixel_hash}"' in client.get(f"/runs/0/features/{feature_id}").text


def test_a_picture_that_is_brought_is_kept_and_searched_for(client: TestClient, filled: Path, space: Embedder) -> None:
    with Run.open(filled) as run:
        feature_id = nearest(filled, space, space.embed_texts(["a frog"])[0])[0]
        image = run.thumbnails.read(top(run, feature_id)[0].image.pixel_hash)
    file = io.BytesIO()
    image.resize((700, 700)).save(file, "PNG")
    answer = client.post("/api/brought", content=file.getvalue())
    name = answer.json()["picture"]
    assert re.fullmatch("[0-9a-f]{64}", name)
    kept = Image.open(io.BytesIO(client.get(f"/brought/{name}.webp").content))
    assert kept.size == (480, 480)
    assert found(client, picture=name) == nearest(filled, space, space.embed_images([kept.convert("RGB")])[0])[:24]
    assert feature_id in found(client, picture=name)[:5]


def test_filters_hold_for_what_is_near_too(client: TestClient) -> None:
    near = found(client, by="meaning", text="a frog")
    of_part = found(client, by="meaning", text="a frog", split="test")
    assert set(of_part) != set(near)
    assert [each for each in near if each in of_part] == [each for each in of_part if each in near]


def test_nothing_sought_for_is_no_search(client: TestClient) -> None:
    assert found(client, by="meaning", text=" ") == found(client)


def test_what_is_no_picture_is_refused(client: TestClient) -> None:
    assert client.post("/api/brought", content=b"no picture").status_code == 415
    assert client.post("/api/brought", content=b"").status_code == 415
    assert client.post("/api/brought", content=bytes(17 * 2**20)).status_code == 413
    assert client.post("/api/brought", content=b"x", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get("/", params={"picture": "0" * 64}).status_code == 404
    assert client.get("/", params={"picture": "../run.db"}).status_code == 422
    assert client.get("/brought/x.webp").status_code == 422
    assert client.get(f"/brought/{'0' * 64}.webp").status_code == 404


def test_without_a_space_words_alone_are_searched(filled: Path) -> None:
    catalogue = Catalogue([filled])
    catalogue.refresh()
    client = TestClient(create_app(catalogue, Guard()), base_url="http://localhost")
    page = client.get("/").text
    assert "by meaning" not in page
    answer = client.get("/", params={"by": "meaning", "text": "a frog"})
    assert answer.status_code == 422
    assert "--embedder" in answer.text
    catalogue.close()


def test_what_is_not_read_yet_stands_last_and_the_page_says_so(
    filled: Path, space: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seesay.viewer.meaning._EVERY_S", -1.0)
    catalogue = Catalogue([filled])
    catalogue.refresh()
    meaning = Meaning(catalogue, lambda: space, Brought())
    client = TestClient(create_app(catalogue, Guard(), meaning), base_url="http://localhost")
    version = client.get("/api/version").json()["version"]
    turns = iter((False, False, True))
    meaning.refresh(lambda: next(turns))
    assert client.get("/api/version").json()["version"] != version, "pages that are open ask again"
    read, to_read = meaning.progress
    assert 0 < read < to_read
    assert f"still being read, {read} of {to_read}" in client.get("/?by=meaning&text=a+frog").text
    with Run.open(filled) as run:
        hashes = {
            each.feature_id: [one.image.pixel_hash for one in top(run, each.feature_id)] for each in features(run)
        }
    names = sorted({name for of_feature in hashes.values() for name in of_feature})[:read]
    placed = {each for each, of_feature in hashes.items() if of_feature and set(of_feature) <= set(names)}
    near = found(client, by="meaning", text="a frog") + found(client, by="meaning", text="a frog", page=2)
    assert placed
    assert set(near[: len(placed)]) == placed
    assert near[len(placed) :] == sorted(near[len(placed) :])
    catalogue.close()


def test_images_that_are_collected_while_it_is_served_are_read(filled: Path, tmp_path: Path, space: Embedder) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        ((finished,),) = run.rows("SELECT finished_at FROM stages WHERE name = 'collect'")
        run.connection.execute("UPDATE stages SET finished_at = NULL WHERE name = 'collect'")
        run.connection.execute("CREATE TABLE aside AS SELECT * FROM exemplars")
        run.connection.execute("DELETE FROM exemplars")
    catalogue = Catalogue([folder])
    catalogue.refresh()
    meaning = Meaning(catalogue, lambda: space, Brought())
    client = TestClient(create_app(catalogue, Guard(), meaning), base_url="http://localhost")
    meaning.refresh()
    assert found(client, by="meaning", text="a frog") == found(client)
    with Run.writing(folder) as run:
        run.connection.execute("INSERT INTO exemplars SELECT * FROM aside")
        run.connection.execute("UPDATE stages SET finished_at = ? WHERE name = 'collect'", (finished,))
    meaning.refresh()
    assert found(client, by="meaning", text="a frog") == nearest(filled, space, space.embed_texts(["a frog"])[0])[:24]
    catalogue.close()


def test_it_reads_each_image_once_and_stops_when_it_shall(filled: Path, space: Embedder) -> None:
    seen: list[int] = []

    class Counting:
        facts, mask_fill = space.facts, space.mask_fill

        def embed_images(self, images: list[Image.Image]) -> torch.Tensor:
            seen.append(len(images))
            return space.embed_images(images)

        embed_texts = staticmethod(space.embed_texts)

    catalogue = Catalogue([filled])
    meaning = Meaning(catalogue, Counting, Brought())
    meaning.refresh(lambda: True)
    assert seen == []
    meaning.refresh()
    with Run.open(filled) as run:
        images = {one.image.pixel_hash for each in features(run) for one in top(run, each.feature_id)}
    assert sum(seen) == len(images)
    meaning.refresh()
    assert sum(seen) == len(images)
    catalogue.close()


def test_a_run_without_images_is_no_hindrance(tmp_path: Path, space: Embedder) -> None:
    with making(tmp_path / "x", 5) as run:
        said(run, dict.fromkeys(range(5), "a cat"))
    catalogue = Catalogue([tmp_path / "x"])
    catalogue.refresh()
    meaning = Meaning(catalogue, lambda: space, Brought())
    meaning.refresh()
    client = TestClient(create_app(catalogue, Guard(), meaning), base_url="http://localhost")
    assert found(client, by="meaning", text="a cat") == [0, 1, 2, 3, 4]
    catalogue.close()
