import io
import tarfile
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
    assert (one.id, two.id) == ("x.tar/a/1", "x.tar/a/2")
    assert pixels_of(one.read()) == pixels_of(picture(1))
    assert pixels_of(two.read()) == pixels_of(picture(2))


def test_a_sample_s_image_is_the_one_with_the_whole_ending(tmp_path: Path) -> None:
    files = {"1.depth.png": png(0), "1.jpg": png(1), "1.seg.png": png(2), "2.mask.png": png(3)}
    [one, two] = Shards("some", [write_tar(tmp_path / "x.tar", files)]).entries()
    assert pixels_of(one.read()) == pixels_of(picture(1))
    assert pixels_of(two.read()) == pixels_of(picture(3))


def test_shards_follow_each_other_and_are_named_from_their_common_folder(tmp_path: Path) -> None:
    one, two = (write_tar(tmp_path / f"{name}/x.tar", {"1.png": png(1)}) for name in "ab")
    assert ids(one, two) == ["a/x.tar/1", "b/x.tar/1"]


def test_names_that_spell_other_places_are_only_names(tmp_path: Path) -> None:
    names = ["/etc/a.png", "../../b.png", "./c.png"]
    shard = write_tar(tmp_path / "in" / "x.tar", dict.fromkeys(names, png(1)))
    assert ids(shard) == ["x.tar//etc/a", "x.tar/../../b", "x.tar/c"]
    assert all(entry.read() for entry in Shards("x", [shard]).entries())
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in", shard]


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
    assert ids(shard) == ["x.tar/e"]


def test_one_bad_image_is_one_bad_image(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {"1.png": png(1), "2.png": b"", "3.png": png(3)})
    assert ids(shard) == ["x.tar/1", "x.tar/2", "x.tar/3"]


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
    assert next(entries).id == "x.tar/0"
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
    assert ids(shard) == ["x.tar/1", "x.tar/2"]


def test_a_shuffled_source_mixes_its_shards(tmp_path: Path) -> None:
    paths = [write_tar(tmp_path / f"{s}.tar", {f"{n}.png": png(n) for n in range(3)}) for s in range(3)]
    order = [entry.id for entry in Shards("some", paths).shuffled(0).entries()]
    assert sorted(order) == ids(*paths) != order
