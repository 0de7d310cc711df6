from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnreadableImage, UnreadableImages
from seesay.images.sources.contents import File, Held, Part, digest, digest_of_files, printable
from tests.images.making import pixels_of, png


def test_an_image_is_the_same_wherever_it_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"before" + png(1) + b"after")
    (tmp_path / "b.png").write_bytes(png(1))
    expected = pixels_of(Held(png(1)).image("x"))
    assert pixels_of(Part(file, 6, len(png(1))).image("x")) == expected
    assert pixels_of(File(tmp_path / "b.png").image("x")) == expected


def test_a_part_that_is_cut_off_is_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    file.write_bytes(png(1)[:50])
    with pytest.raises(UnreadableImage, match=r"x: .*a.tar ends within it"):
        Part(file, 0, len(png(1))).image("x")


def test_a_part_of_a_file_that_is_gone_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"a.tar: No such file"):
        Part(tmp_path / "a.tar", 0, 3).image("x")


def test_a_part_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="x: 1099511627776 bytes"):
        Part(tmp_path / "a.tar", 0, 1 << 40).image("x")


SHORT = st.lists(st.text("ab", max_size=3), max_size=3)


@given(one=SHORT, other=SHORT)
def test_digests_tell_parts_apart(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


def test_a_large_file_is_told_by_its_size_and_by_samples(tmp_path: Path) -> None:
    file = tmp_path / "a"

    def of(content: bytes) -> str:
        file.write_bytes(content)
        return digest_of_files([("a", file)])

    large = bytes(3 << 20)
    assert of(large) == of(large)
    assert len({of(large), of(large + b"0"), of(large[:-1] + b"1"), of(b"1" + large[1:])}) == 4


def test_names_and_order_count(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"1")
    other.write_bytes(b"2")
    files = [("a", file), ("b", other)]
    assert len({digest_of_files(files), digest_of_files(files[::-1]), digest_of_files([("c", file), files[1]])}) == 3


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImages, match="gone: No such file"):
        digest_of_files([("gone", tmp_path / "gone")])


def test_a_name_that_is_no_text_is_written_out() -> None:
    assert printable("caf\udce9.jpg") == "caf\\xe9.jpg"
    assert printable("café.jpg") == "café.jpg"


def test_names_are_one_line_without_commands_to_a_terminal() -> None:
    assert printable("a\n\x1b[2J\x85\u2028.jpg") == r"a\n\x1b[2J\x85\u2028.jpg"
