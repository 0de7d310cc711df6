import os
from pathlib import Path

import pytest

from seesay.errors import UnreadableImages
from seesay.images.sources.folder import Folder
from tests.images.making import pixels_of, png, write_files


def ids(path: Path) -> list[str]:
    return [entry.id for entry in Folder(path).entries()]


def test_images_are_found_in_all_folders_and_sorted(tmp_path: Path) -> None:
    write_files(tmp_path, dict.fromkeys(["b.png", "a/z.JPG", "a/b/c.webp", "a.gif", "Z.png"], png(1)))
    assert ids(tmp_path) == ["Z.png", "a.gif", "a/b/c.webp", "a/z.JPG", "b.png"]


def test_other_files_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    names = ["a.png", "a.txt", "b.eps", "png", ".hidden.png", "._a.png", ".git/x.png", "in/.cache/x.png"]
    assert ids(write_files(tmp_path, dict.fromkeys(names, png(1)))) == ["a.png"]


def test_a_hidden_folder_is_read_if_it_is_the_one_asked_for(tmp_path: Path) -> None:
    assert ids(write_files(tmp_path / ".mine", {"a.png": png(1)})) == ["a.png"]


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "in", {"a.png": png(1), "sub/b.png": png(2)})
    outside = write_files(tmp_path / "out", {"c.png": png(3)})
    (folder / "file.png").symlink_to(outside / "c.png")
    (folder / "folder").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "within.png").symlink_to(folder / "sub" / "b.png")
    assert ids(folder) == ["a.png", "sub/b.png", "within.png"]


def test_a_link_to_the_folder_is_followed(tmp_path: Path) -> None:
    write_files(tmp_path / "in", {"a.png": png(1)})
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert ids(tmp_path / "link") == ["a.png"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.png": png(1)})
    os.mkfifo(tmp_path / "b.png")
    assert ids(tmp_path) == ["a.png"]


def test_a_name_that_is_no_text_has_an_id_that_is(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(png(1))
    except OSError:
        pytest.skip("no such names on this file system")
    [entry] = Folder(tmp_path).entries()
    assert entry.id == "caf\\xe9.png"
    assert pixels_of(entry.read())
    assert Folder(tmp_path).fingerprint


@pytest.mark.parametrize("files", [{}, {"a.txt": b""}, {".a.png": b""}])
def test_a_folder_without_images_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(UnreadableImages, match="no images in"):
        Folder(write_files(tmp_path, files))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImages, match="no folder .*gone"):
        Folder(tmp_path / "gone")


def test_a_changed_image_of_the_same_length_changes_the_fingerprint(tmp_path: Path) -> None:
    content = png(1)
    before = Folder(write_files(tmp_path, {"a.png": content})).fingerprint
    after = Folder(write_files(tmp_path, {"a.png": content[:-1] + bytes([content[-1] ^ 1])})).fingerprint
    assert before != after


def test_a_renamed_image_changes_the_fingerprint(tmp_path: Path) -> None:
    one = Folder(write_files(tmp_path / "1", {"a.png": png(1)})).fingerprint
    assert one != Folder(write_files(tmp_path / "2", {"b.png": png(1)})).fingerprint


def test_the_time_of_writing_does_not_matter(tmp_path: Path) -> None:
    before = Folder(write_files(tmp_path, {"a.png": png(1)})).fingerprint
    os.utime(tmp_path / "a.png", (1, 1))
    assert Folder(tmp_path).fingerprint == before
