from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnreadableImages
from seesay.images.sources.folder import Folder
from seesay.images.sources.opening import expand, open_source
from seesay.images.sources.rows import Rows, StreamedRows
from seesay.images.sources.shards import Shards
from tests.images.making import png, write_files, write_tar
from tests.images.sources.tables import rows_of, write_parquet


def test_a_folder_of_images_is_taken_as_images(tmp_path: Path) -> None:
    write_files(tmp_path, {"in/a.png": png(1), "x.tar": b"", "metadata.parquet": b""})
    assert isinstance(open_source(tmp_path), Folder)
    assert isinstance(open_source(str(tmp_path)), Folder)


def test_a_folder_of_archives_is_taken_as_shards(tmp_path: Path) -> None:
    write_tar(tmp_path / "b" / "1.tar", {"1.png": png(1)})
    write_tar(tmp_path / "a" / "0.tar", {"0.png": png(1)})
    source = open_source(tmp_path)
    assert isinstance(source, Shards)
    assert [entry.id for entry in source.entries()] == ["a/0.tar/0.png", "b/1.tar/1.png"]


def test_a_folder_of_parquet_is_taken_as_a_dataset(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data", train=rows_of([1]))
    assert isinstance(open_source(tmp_path), Rows)
    assert isinstance(open_source(tmp_path, streaming=True), StreamedRows)


def test_a_folder_of_arrow_is_taken_as_a_dataset_that_needs_no_streaming(tmp_path: Path) -> None:
    rows_of([1]).save_to_disk(str(tmp_path))
    assert isinstance(open_source(tmp_path, streaming=True), Rows)


def test_a_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_files(tmp_path / "photos", {"a.png": png(1)})
    assert open_source("~/photos").n_images == 1


@pytest.mark.parametrize("pattern", ["x-{000..002}.tar", "x-*.tar", "x-00{0,1,2}.tar", "x-{0..0}{0..0}{0..2}{,}.tar"])
def test_several_archives_are_named_at_once(tmp_path: Path, pattern: str) -> None:
    for number in range(3):
        write_tar(tmp_path / f"x-{number:03}.tar", {f"{number}.png": png(number)})
    entries = list(open_source(f"{tmp_path}/{pattern}").entries())
    assert [entry.id for entry in entries] == ["x-000.tar/0.png", "x-001.tar/1.png", "x-002.tar/2.png"]


def test_a_file_whose_name_has_braces_is_that_file(tmp_path: Path) -> None:
    write_tar(tmp_path / "x{0..1}.tar", {"1.png": png(1)})
    assert [entry.id for entry in open_source(str(tmp_path / "x{0..1}.tar")).entries()] == ["x{0..1}.tar/1.png"]


@given(first=st.integers(0, 50), n=st.integers(1, 30), width=st.integers(1, 6))
def test_a_range_names_each_number_once_with_leading_zeros(first: int, n: int, width: int) -> None:
    names = expand(f"a{{{first:0{width}}..{first + n - 1}}}b")
    assert [int(name[1:-1]) for name in names] == list(range(first, first + n))
    assert all(len(name) >= width + 2 for name in names)


@pytest.mark.parametrize("pattern", ["{}", "{a}", "{1..}", "{3..1}", "{0..999999999}", "{0..999}{0..999}"])
def test_braces_that_cannot_be_are_refused(pattern: str) -> None:
    with pytest.raises(UnreadableImages, match="expected"):
        expand(pattern)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gone", "no folder or file 'gone'; expected a folder of images"),
        ("./gone/away", "no folder or file './gone/away'"),
        ("/gone", "no folder or file '/gone'"),
        ("~/gone", "no folder or file '~/gone'"),
        ("a/b/c", "no folder or file 'a/b/c'"),
        ("world:7", "no folder or file 'world:7'"),
        ("", "an empty name"),
        (" ", "an empty name"),
        ("~nobody-here/x", "no folder or file '~nobody-here/x': Could not determine home"),
        ("a" * 300, "no folder or file 'a{100} ...': File name too long"),
        ("{a,b}" + "a" * 300, "no folder or file"),
        ("gone.tar", "no file gone.tar; expected tar archives"),
        ("gone-{0..9}.tar", "no file gone-0.tar, nor 9 more"),
        ("gone-*.tar", r"no file gone-\*.tar"),
        ("photo.jpg", "photo.jpg is no .tar file"),
        ("data.parquet", "data.parquet is one file of a dataset"),
        ("fake.tar", "fake.tar is no tar archive"),
        ("pipe:cat x.tar", "'pipe:cat x.tar' would run a command"),
        ("http://host/x.tar", "is an address on the net"),
        ("https://host/{0..3}.tar", "is an address on the net"),
        ("s3://bucket/x", "is an address on the net"),
        ("hf://datasets/a/b", "is an address on the net"),
    ],
)
def test_everything_else_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, message: str
) -> None:
    write_files(tmp_path, {"photo.jpg": png(1), "data.parquet": b"", "fake.tar": b"fake"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UnreadableImages, match=message) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_a_path_is_never_a_name_on_the_hub() -> None:
    with pytest.raises(UnreadableImages, match="no folder or file 'some/set'"):
        open_source(Path("some/set"))


@pytest.mark.parametrize("option", [{"split": "train"}, {"column": "image"}, {"streaming": True}, {"revision": "v1"}])
def test_what_is_for_datasets_is_refused_elsewhere(tmp_path: Path, option: dict[str, object]) -> None:
    images = write_files(tmp_path / "images", {"a.png": png(1)})
    archive = write_tar(tmp_path / "x.tar", {"1.png": png(1)})
    for path in (images, archive):
        with pytest.raises(UnreadableImages, match=next(iter(option))):
            open_source(path, **option)
