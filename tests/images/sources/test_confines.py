"""A dataset's folder that somebody else made must not lead this machine to other places."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest
import yaml

from seesay.errors import UnreadableImage, UnreadableImages
from seesay.images.sources import open_source
from seesay.images.sources.confines import is_within
from tests.images.making import picture, pixels_of, png, write_files
from tests.images.sources.tables import rows_of, write_parquet

STREAMING = pytest.mark.parametrize("streaming", [False, True], ids=["on disk", "streamed"])


class Server:
    """A server on this machine that counts what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_error(404)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    running = Server()
    yield running
    running.close()
    assert not running.asked


def write_card(folder: Path, settings: object, name: str = "README.md") -> Path:
    text = yaml.safe_dump(settings)
    return write_files(folder, {name: (f"---\n{text}---\n" if name == "README.md" else text).encode()})


def refused(folder: Path, streaming: bool = False) -> str:
    with pytest.raises(UnreadableImages) as caught:
        open_source(folder, split="train", streaming=streaming)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@STREAMING
@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize("form", ["text", "list", "splits", "folder"])
@pytest.mark.parametrize(
    "place", ["{url}/x.parquet", "zip://x.parquet::{url}/x.zip", "../secret/*.parquet", "{secret}"]
)
def test_a_card_that_names_other_places_is_refused(
    tmp_path: Path, server: Server, place: str, form: str, name: str, streaming: bool
) -> None:
    secret = write_parquet(tmp_path / "secret", train=rows_of([1])) / "train-00000-of-00001.parquet"
    named = place.format(url=server.url, secret=secret)
    data_files = {
        "text": named,
        "list": [named],
        "splits": [{"split": "train", "path": [named]}],
        "folder": "*.parquet",
    }
    config = {"config_name": "default", "data_files": data_files[form]}
    if form == "folder":
        config["data_dir"] = named
    folder = write_parquet(tmp_path / "set", train=rows_of([2]))
    message = refused(write_card(folder, {"configs": [config]}, name), streaming)
    assert "which is not in that folder" in message
    assert named in message


def test_a_card_that_names_the_folder_s_own_files_is_followed(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path, train=rows_of([1]), other=rows_of([2]))
    card = {"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "other-*"}]}]}
    [entry] = open_source(write_card(folder, card)).entries()
    assert pixels_of(entry.read()) == pixels_of(picture(2))


@STREAMING
def test_a_link_to_a_table_elsewhere_is_refused(tmp_path: Path, streaming: bool) -> None:
    secret = write_parquet(tmp_path / "secret", train=rows_of([1])) / "train-00000-of-00001.parquet"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.parquet").symlink_to(secret)
    assert "which is not in that folder" in refused(tmp_path / "set", streaming)


def test_a_revision_s_folder_in_the_hub_s_cache_links_to_its_own_files(tmp_path: Path) -> None:
    blobs = write_parquet(tmp_path / "blobs", train=rows_of([1]))
    revision = tmp_path / "snapshots" / "abc"
    revision.mkdir(parents=True)
    (revision / "train.parquet").symlink_to(blobs / "train-00000-of-00001.parquet")
    assert open_source(revision).n_images == 1


@STREAMING
def test_rows_point_to_files_in_the_folder_only(tmp_path: Path, server: Server, streaming: bool) -> None:
    secret = write_files(tmp_path / "secret", {"a.png": png(1)}) / "a.png"
    folder = write_files(tmp_path / "set", {".in/b.png": png(2)})
    (folder / ".in" / "link.png").symlink_to(secret)
    os.mkfifo(folder / ".in" / "pipe.png")
    paths = [
        *(".in/b.png", str(folder / ".in" / "b.png")),
        *(str(secret), "../secret/a.png", ".in/link.png", f"{server.url}/a.png", ".in/pipe.png", ".in/gone.png"),
    ]
    values = [{"bytes": png(3), "path": None}, *({"bytes": None, "path": each} for each in paths)]
    write_parquet(folder, train=datasets.Dataset.from_dict({"image": values}))
    _, *entries = open_source(folder, split="train", streaming=streaming).entries()
    assert [pixels_of(entry.read()) for entry in entries[:2]] == [pixels_of(picture(2))] * 2
    messages = [*["is outside of the dataset's folder"] * 3, "only an address", *["no file '.in/"] * 2]
    for entry, message in zip(entries[2:], messages, strict=True):
        with pytest.raises(UnreadableImage, match=message):
            entry.read()


def test_what_was_saved_names_its_own_files_only(tmp_path: Path) -> None:
    rows_of([1]).save_to_disk(str(tmp_path / "secret"))
    rows_of([2]).save_to_disk(str(tmp_path / "set"))
    state = json.loads((tmp_path / "set" / "state.json").read_text())
    for named in ("../secret/data-00000-of-00001.arrow", str(tmp_path / "secret" / "data-00000-of-00001.arrow")):
        state["_data_files"] = [{"filename": named}]
        (tmp_path / "set" / "state.json").write_text(json.dumps(state))
        assert "which is not in that folder" in refused(tmp_path / "set")
    write_files(tmp_path / "splits", {"dataset_dict.json": b'{"splits": ["../secret"]}', "x.arrow": b""})
    assert "'../secret', which is not in that folder" in refused(tmp_path / "splits")


def test_a_link_to_what_was_saved_elsewhere_is_refused(tmp_path: Path) -> None:
    rows_of([1]).save_to_disk(str(tmp_path / "secret"))
    write_files(tmp_path / "set", {"dataset_dict.json": b'{"splits": ["train"]}', "x.arrow": b""})
    (tmp_path / "set" / "train").symlink_to(tmp_path / "secret")
    assert "which is not in that folder" in refused(tmp_path / "set")


@pytest.mark.parametrize("text", ["{}", "[]", "3", "no json", '{"_data_files": 3}'])
def test_a_damaged_state_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    rows_of([1]).save_to_disk(str(tmp_path))
    (tmp_path / "state.json").write_text(text)
    assert "cannot read the dataset" in refused(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[]", '{"splits": 3}', '{"splits": [3]}', "no json"])
def test_damaged_splits_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    write_files(tmp_path, {"dataset_dict.json": text.encode(), "x.arrow": b""})
    assert refused(tmp_path)


@STREAMING
@pytest.mark.parametrize(
    "card",
    [
        {"dataset_info": {"features": 5}},
        {"configs": 5},
        {"configs": [5]},
        {"configs": [{"config_name": "default", "data_files": 5}]},
    ],
)
def test_a_card_of_another_form_is_refused_in_one_line(tmp_path: Path, card: object, streaming: bool) -> None:
    assert "cannot read the dataset" in refused(
        write_card(write_parquet(tmp_path, train=rows_of([1])), card), streaming
    )


@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
def test_a_card_that_is_no_yaml_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    folder = write_parquet(tmp_path, train=rows_of([1]))
    assert refused(write_files(folder, {name: b"---\na: [\n  b: {\n---\n"}))


def test_settings_that_are_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path, train=rows_of([1]))
    os.mkfifo(folder / ".huggingface.yaml")
    assert ".huggingface.yaml is no file" in refused(folder)


def test_links_in_a_circle_are_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    assert not is_within(tmp_path / "b\0", tmp_path)
    assert is_within(tmp_path / "gone", tmp_path)
