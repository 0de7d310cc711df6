import io
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from seesay.errors import UnreadableImages
from seesay.images.sources.shards import Shards
from tests.images.making import picture, pixels_of, png, write_tar


def ids(*paths: Path) -> list[str]:
    return [entry.id for entry in Shards("some", paths).entries()]


def test_a_sample_s_files_share_a_key(tmp_path: Path) -> None:
    files = {"a/1.json": b"{}", "a/1.png": png(1), "a/1.txt": b"cat", "a/2.jpg": png(2), "3.cls": b"0"}
    [one, two] = Shards("some", [write_tar(tmp_path / "x.tar", files)]).entries()
    assert (one.id, two.id) == ("x.tar/a/1.png", "x.tar/a/2.jpg")
    assert pixels_of(one.read()) == pixels_of(picture(1))
    assert pixels_of(two.read()) == pixels_of(picture(2))


def test_a_sample_s_image_is_the_one_with_the_whole_ending(tmp_path: Path) -> None:
    files = {"1.depth.png": png(0), "1.jpg": png(1), "1.seg.png": png(2), "2.mask.png": png(3)}
    [one, two] = Shards("some", [write_tar(tmp_path / "x.tar", files)]).entries()
    assert pixels_of(one.read()) == pixels_of(picture(1))
    assert pixels_of(two.read()) == pixels_of(picture(3))


def test_shards_follow_each_other_and_are_named_from_their_common_folder(tmp_path: Path) -> None:
    one, two = (write_tar(tmp_path / f"{name}/x.tar", {"1.png": png(1)}) for name in "ab")
    assert ids(one, two) == ["a/x.tar/1.png", "b/x.tar/1.png"]


def test_names_that_spell_other_places_are_only_names(tmp_path: Path) -> None:
    names = ["/etc/a.png", "../../b.png", "./c.png"]
    shard = write_tar(tmp_path / "in" / "x.tar", dict.fromkeys(names, png(1)))
    assert ids(shard) == ["x.tar//etc/a.png", "x.tar/../../b.png", "x.tar/c.png"]
    assert all(entry.read() for entry in Shards("x", [shard]).entries())
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in", shard]


def write_members(path: Path, members: Sequence[tarfile.TarInfo]) -> Path:
    """An archive in which each member is the same image."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            member.size = len(png(1))
            archive.addfile(member, io.BytesIO(png(1)))
    return path


def test_no_two_images_have_one_id(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jpg", "a.png", "c/d.png", "e.png", "c/d.png", "f.png", "./c/d.png"]
    shard = write_members(tmp_path / "x.tar", [tarfile.TarInfo(name) for name in names])
    assert ids(shard) == [
        *(f"x.tar/{name}" for name in ("a.jpg", "b.jpg", "a.png", "c/d.png", "e.png")),
        *("x.tar/c/d.png#2", "x.tar/f.png", "x.tar/c/d.png#3"),
    ]


def test_ids_are_one_line_without_commands_to_a_terminal(tmp_path: Path) -> None:
    shard = write_members(tmp_path / "x.tar", [tarfile.TarInfo("a\nb\x1b[2J.png")])
    assert ids(shard) == ["x.tar/a\\nb\\x1b[2J.png"]


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "a,b"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"},
        {"GNU.sparse.size": "x"},
    ],
)
def test_numbers_in_a_header_that_cannot_be_are_damage(tmp_path: Path, headers: dict[str, str]) -> None:
    bad = tarfile.TarInfo("b.png")
    bad.pax_headers = headers
    shard = write_members(tmp_path / "x.tar", [tarfile.TarInfo("a.png"), bad])
    with pytest.raises(UnreadableImages, match="x.tar is damaged after 1 files") as caught:
        ids(shard)
    assert "\n" not in str(caught.value)


def test_members_are_not_kept_while_they_are_listed(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {**{f"{n}.txt": b"" for n in range(3000)}, "a.png": png(1)})
    tracemalloc.start()
    try:
        assert ids(shard) == ["x.tar/a.png"]
        assert tracemalloc.get_traced_memory()[1] < 1e6  # 3 MB if they were
    finally:
        tracemalloc.stop()


def test_links_devices_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    shard = tmp_path / "x.tar"
    with tarfile.open(shard, "w") as archive:
        for name, kind in [("a.png", tarfile.SYMTYPE), ("b.png", tarfile.CHRTYPE), ("c.png", tarfile.DIRTYPE)]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for name in ("._d.png", "e.png"):
            member = tarfile.TarInfo(name)
            member.size = len(png(1))
            archive.addfile(member, io.BytesIO(png(1)))
    assert ids(shard) == ["x.tar/e.png"]


def test_one_bad_image_is_one_bad_image(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {"1.png": png(1), "2.png": b"", "3.png": png(3)})
    assert ids(shard) == ["x.tar/1.png", "x.tar/2.png", "x.tar/3.png"]


@pytest.mark.parametrize("content", [b"", b"no archive" * 100])
def test_a_file_that_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(UnreadableImages, match="x.tar is no tar archive"):
        ids(tmp_path / "x.tar")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    with pytest.raises(UnreadableImages, match="no tar archive.*gunzip"):
        ids(tmp_path / "x.tar")


def test_a_bad_second_shard_is_found_before_anything_is_read(tmp_path: Path) -> None:
    good = write_tar(tmp_path / "1.tar", {"1.png": png(1)})
    (tmp_path / "2.tar").write_bytes(b"?")
    with pytest.raises(UnreadableImages, match="2.tar"):
        Shards("both", [good, tmp_path / "2.tar"])


def test_archives_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImages, match="no images in some"):
        ids(write_tar(tmp_path / "x.tar", {"a.txt": b""}), write_tar(tmp_path / "y.tar", {}))


def test_an_archive_that_is_cut_off_says_so(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {f"{n}.png": png(n) for n in range(4)})
    shard.write_bytes(shard.read_bytes()[:1700])  # within the second image: each takes 512 and 512 bytes
    entries = Shards("some", [shard]).entries()
    assert next(entries).id == "x.tar/0.png"
    with pytest.raises(UnreadableImages, match="x.tar is damaged after [12] files: unexpected end of data"):
        list(entries)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {f"{n}.png": png(n) for n in range(4)})
    content = bytearray(shard.read_bytes())
    content[2048 : 2048 + 100] = b"?" * 100
    shard.write_bytes(content)
    with pytest.raises(UnreadableImages, match="x.tar is damaged after 2 files: a damaged header"):
        list(Shards("some", [shard]).entries())


def test_an_archive_without_an_end_mark_is_whole(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {"1.png": png(1), "2.png": png(2)})
    shard.write_bytes(shard.read_bytes()[:2048])
    assert ids(shard) == ["x.tar/1.png", "x.tar/2.png"]


def test_a_shuffled_source_mixes_its_shards(tmp_path: Path) -> None:
    paths = [write_tar(tmp_path / f"{s}.tar", {f"{n}.png": png(n) for n in range(3)}) for s in range(3)]
    order = [entry.id for entry in Shards("some", paths).shuffled(0).entries()]
    assert sorted(order) == ids(*paths) != order
