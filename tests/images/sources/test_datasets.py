import os
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError
from huggingface_hub.errors import HTTPError

from seesay.errors import UnreadableImage, UnreadableImages
from seesay.images.loading import batches
from seesay.images.sources import ImageSource, open_source
from tests.images.making import picture, pixels_of, png, write_files
from tests.images.sources.tables import rows_of, table, write_parquet

STREAMING = pytest.mark.parametrize("streaming", [False, True], ids=["on disk", "streamed"])


def ids(source: ImageSource) -> list[str]:
    return [entry.id for entry in source.entries()]


def test_ids_are_the_split_and_the_number(tmp_path: Path) -> None:
    source = open_source(write_parquet(tmp_path, train=rows_of([1, 2])))
    assert ids(source) == ["train/0", "train/1"]
    assert source.name == f"{tmp_path}[train]"


@STREAMING
def test_ids_may_come_from_a_column(tmp_path: Path, streaming: bool) -> None:
    folder = write_parquet(tmp_path, train=rows_of([4, 5]))
    assert ids(open_source(folder, id_column="name", streaming=streaming)) == ["n4", "n5"]
    with pytest.raises(UnreadableImages, match="no column 'title'; expected name or image"):
        open_source(folder, id_column="title", streaming=streaming)


@STREAMING
def test_one_bad_image_is_one_bad_image(tmp_path: Path, streaming: bool) -> None:
    rows = table({"image": [png(0), b"no image", None, png(3)]})
    entries = list(open_source(write_parquet(tmp_path, train=rows), streaming=streaming).entries())
    assert pixels_of(entries[3].read()) == pixels_of(picture(3))
    with pytest.raises(UnreadableImage, match="train/1: "):
        entries[1].read()
    with pytest.raises(UnreadableImage, match="train/2: no image in this row"):
        entries[2].read()


@STREAMING
def test_the_split_is_chosen(tmp_path: Path, streaming: bool) -> None:
    folder = write_parquet(tmp_path, train=rows_of([1]), test=rows_of([2]))
    for split, seed in [(None, 1), ("train", 1), ("test", 2)]:
        source = open_source(folder, split=split, streaming=streaming)
        assert pixels_of(next(source.entries()).read()) == pixels_of(picture(seed))
    with pytest.raises(UnreadableImages, match=r"no split 'train\[:1\]'; expected train or test"):
        open_source(folder, split="train[:1]", streaming=streaming)


@STREAMING
def test_the_only_split_is_taken_and_of_several_none(tmp_path: Path, streaming: bool) -> None:
    one = write_parquet(tmp_path / "one", test=rows_of([1]))
    assert ids(open_source(one, streaming=streaming)) == ["test/0"]
    two = write_parquet(tmp_path / "two", test=rows_of([1]), validation=rows_of([2]))
    with pytest.raises(UnreadableImages, match="several splits, and none is chosen; expected"):
        open_source(two, streaming=streaming)


@STREAMING
def test_the_column_of_images_is_found_by_its_type(tmp_path: Path, streaming: bool) -> None:
    rows = table({"thumb": [b"file"], "photo": [png(1)]}, images=["photo"])
    source = open_source(write_parquet(tmp_path, train=rows), streaming=streaming)
    assert pixels_of(next(source.entries()).read()) == pixels_of(picture(1))


def test_of_several_columns_the_one_called_image_is_taken(tmp_path: Path) -> None:
    rows = table({"mask": [png(1)], "image": [png(2)]}, images=["mask", "image"])
    folder = write_parquet(tmp_path, train=rows)
    assert pixels_of(next(open_source(folder).entries()).read()) == pixels_of(picture(2))
    assert pixels_of(next(open_source(folder, column="mask").entries()).read()) == pixels_of(picture(1))
    assert open_source(folder).fingerprint != open_source(folder, column="mask").fingerprint


def test_of_several_other_columns_none_is_taken(tmp_path: Path) -> None:
    rows = table({"left": [png(1)], "right": [png(2)]}, images=["left", "right"])
    with pytest.raises(UnreadableImages, match="several columns of images, and none is chosen; expected left or right"):
        open_source(write_parquet(tmp_path, train=rows))


@STREAMING
@pytest.mark.parametrize("value", [png(1), {"bytes": png(1), "path": "a.png"}], ids=["bytes", "bytes and path"])
def test_plain_bytes_are_images_too(tmp_path: Path, value: object, streaming: bool) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a"], "photo": [value]})
    source = open_source(write_parquet(tmp_path, train=rows), streaming=streaming)
    assert pixels_of(next(source.entries()).read()) == pixels_of(picture(1))


def test_a_row_may_point_to_a_file_but_not_to_an_address(tmp_path: Path) -> None:
    file = write_files(tmp_path / "rows" / ".files", {"a.png": png(1)}) / "a.png"
    addresses = ["http://somewhere/a.png", "zip://a.png::http://b", "http://a::hf://b", "hf://datasets/a/b/c.png"]
    values = [(png(2), "a.png"), (None, str(file)), (None, ".files/a.png"), *((None, each) for each in addresses)]
    rows = datasets.Dataset.from_dict({"image": [{"bytes": content, "path": path} for content, path in values]})
    _, local, relative, *others = open_source(write_parquet(tmp_path / "rows", train=rows)).entries()
    assert pixels_of(local.read()) == pixels_of(relative.read()) == pixels_of(picture(1))
    assert len(others) == len(addresses)
    for entry in others:
        with pytest.raises(UnreadableImage, match=f"{entry.id}: only an address: "):
            entry.read()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("photo", "no column 'photo'; expected name or image"),
        ("name", "column 'name' of .* has no images; expected image"),
    ],
)
def test_a_column_that_cannot_be_is_refused(tmp_path: Path, column: str, message: str) -> None:
    with pytest.raises(UnreadableImages, match=message):
        open_source(write_parquet(tmp_path, train=rows_of([1])), column=column)


@STREAMING
def test_a_dataset_without_images_is_refused(tmp_path: Path, streaming: bool) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a"]})
    with pytest.raises(UnreadableImages, match="no column of .* has images"):
        open_source(write_parquet(tmp_path, train=rows), streaming=streaming)


def test_a_dataset_without_rows_is_refused(tmp_path: Path) -> None:
    rows_of([1]).select([]).save_to_disk(str(tmp_path))
    with pytest.raises(UnreadableImages, match="no images in"):
        open_source(tmp_path)


def test_a_streamed_dataset_without_rows_is_refused_when_it_is_read(tmp_path: Path) -> None:
    source = open_source(write_parquet(tmp_path, train=rows_of([1]).select([])), streaming=True)
    with pytest.raises(UnreadableImages, match=r"no image of .*\[train\] can be read: there is none"):
        list(batches(source, batch_size=2))


@STREAMING
def test_damaged_parquet_is_refused_in_one_line(tmp_path: Path, streaming: bool) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UnreadableImages, match="cannot read the dataset") as caught:
        list(open_source(tmp_path, streaming=streaming).entries())
    assert "\n" not in str(caught.value)


def test_streamed_or_not_the_fingerprint_is_the_same(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path, train=rows_of([1, 2]))
    assert open_source(folder).fingerprint == open_source(folder, streaming=True).fingerprint


def test_many_workers_read_rows_at_once(tmp_path: Path) -> None:
    source = open_source(write_parquet(tmp_path, train=rows_of(range(60))))
    read = [pixels_of(image) for batch in batches(source, batch_size=7, n_workers=8) for image in batch.images]
    assert read == [pixels_of(picture(seed)) for seed in range(60)]


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (DatasetNotFoundError("Dataset 'some/set' doesn't exist on the Hub"), "some/set: Dataset .* doesn't exist"),
        (DatasetNotFoundError("Dataset 'some/set' is a gated dataset"), "gated dataset; .* `hf auth login`"),
        (DatasetNotFoundError("Revision 'x' doesn't exist"), "some/set: Revision 'x' doesn't exist"),
        (ConnectionError("Couldn't reach"), "cannot be had from the hub: Couldn't reach; .*HF_HUB_OFFLINE"),
        (HTTPError("ConnectError: no route"), "cannot be had from the hub: ConnectError: no route"),
        (TimeoutError(), "cannot be had from the hub: TimeoutError"),
        (RuntimeError("Dataset scripts are no longer supported"), "Dataset scripts are no longer supported"),
        (ValueError("Config name is missing.\nPick one"), "Config name is missing. Pick one"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_the_hub_refuses_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, message: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
    with pytest.raises(UnreadableImages, match=message) as caught:
        open_source("some/set")
    assert "\n" not in str(caught.value)


def test_a_dataset_that_is_not_here_needs_the_hub() -> None:
    with pytest.raises(UnreadableImages, match="some/set is no folder here, and cannot be had from the hub"):
        open_source("some/set")


class Builder:
    """A dataset of the hub: what `datasets` makes of one, with rows that are here."""

    def __init__(self, rows: datasets.Dataset, commit: str) -> None:
        self._rows, self.hash = rows, commit
        self.config = SimpleNamespace(data_files={"train": ["hf://datasets/some/set@abc/train.parquet"]})
        self.info = SimpleNamespace(splits={"train": None})
        self.was_downloaded = False

    def download_and_prepare(self) -> None:
        self.was_downloaded = True

    def as_dataset(self, split: str) -> datasets.Dataset:
        assert split == "train"
        return self._rows

    def as_streaming_dataset(self, split: str) -> datasets.IterableDataset:
        assert split == "train"
        return self._rows.to_iterable_dataset()


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was asked of the hub, and then what it answered with; it has commit `aa...a`."""
    calls: list[object] = []

    def load(path: str, name: str | None, revision: str | None) -> Builder:
        calls.extend([path, name, revision, Builder(rows_of([1, 2]), "a" * 40)])
        return calls[-1]

    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    return calls


@STREAMING
def test_a_dataset_of_the_hub_is_told_by_its_commit(asked_for: list[object], streaming: bool) -> None:
    source = open_source("some/set:small", revision="v1", streaming=streaming)
    *call, builder = asked_for
    assert call == ["some/set", "small", "v1"]
    assert builder.was_downloaded == (not streaming)
    assert source.name == "some/set:small[train]"
    assert ids(source) == ["train/0", "train/1"]
    assert source.fingerprint == open_source("some/set:small").fingerprint != open_source("some/set").fingerprint


def test_a_missing_split_is_found_before_anything_is_downloaded(asked_for: list[object]) -> None:
    with pytest.raises(UnreadableImages, match="no split 'test'"):
        open_source("some/set", split="test")
    assert not asked_for[-1].was_downloaded


def test_another_commit_than_the_one_asked_for_is_refused(asked_for: list[object]) -> None:
    assert open_source("some/set", revision="a" * 40)
    with pytest.raises(UnreadableImages, match="only revision aaaa.* is on this machine"):
        open_source("some/set", revision="b" * 40)


def test_a_row_of_the_hub_points_to_the_hub_only_and_never_to_a_pipe(
    asked_for: list[object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "a.png")
    paths = ["http://somewhere/a::hf://b", "zip://a.png::http://b", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    values = [{"bytes": png(1), "path": None}, *({"bytes": None, "path": each} for each in paths)]
    rows = datasets.Dataset.from_dict({"image": values})
    monkeypatch.setattr(Builder, "as_dataset", lambda _self, split: rows)
    _, *entries = open_source("some/set").entries()
    for entry, message in zip(entries, [*["only an address"] * 2, *["no file"] * 2], strict=True):
        with pytest.raises(UnreadableImage, match=f"{entry.id}: {message}"):
            entry.read()


class Broken:
    """A stream that breaks off."""

    features = datasets.Features({"image": datasets.Image()})

    def select_columns(self, _names: object) -> "Broken":
        return self

    def cast_column(self, _name: str, _feature: object) -> "Broken":
        return self

    def skip(self, _n: int) -> "Broken":
        return self

    def __iter__(self) -> object:
        yield {"image": {"bytes": png(1), "path": None}}
        raise ConnectionError("Server Disconnected")


def test_a_stream_that_breaks_off_says_so(asked_for: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Builder, "as_streaming_dataset", lambda _self, split: Broken())
    entries = open_source("some/set", streaming=True).entries()
    assert next(entries).id == "train/0"
    with pytest.raises(UnreadableImages, match=r"some/set\[train\].*Server Disconnected"):
        next(entries)


def test_what_went_wrong_while_rows_were_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DatasetGenerationError("An error occurred while generating the dataset") from ValueError("bad row 7")

    monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
    with pytest.raises(UnreadableImages, match="bad row 7"):
        open_source("some/set")
