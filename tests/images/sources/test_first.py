from pathlib import Path

import pytest

from seesay.images.sources import First, ImageSource, open_source
from seesay.images.sources.shuffling import Buffered, Permuted
from seesay.world.pictures import pictures
from tests.images.making import png, write_tar


def ids(source: ImageSource) -> list[str]:
    return [entry.id for entry in source.entries()]


def test_the_first_images_are_the_source_s_first() -> None:
    whole = pictures("world:9")
    source = First(whole, 4)
    assert ids(source) == ids(whole)[:4]
    assert (source.name, source.n_images) == ("world:9", 4)
    assert First(whole, 20).n_images == 9


def test_where_any_can_be_had_they_are_shuffled_as_a_whole() -> None:
    source = First(pictures("world:3000"), 2000)
    mixed = source.shuffled(1)
    assert isinstance(mixed, Permuted)
    assert sorted(ids(mixed)) == sorted(ids(source))
    assert ids(mixed) != ids(source)
    assert ids(mixed.shuffled(2)) != ids(mixed)


def test_where_they_come_one_after_another_they_are_shuffled_in_a_buffer(tmp_path: Path) -> None:
    source = First(open_source(write_tar(tmp_path / "x.tar", {f"{n}.png": png(n) for n in range(9)})), 4)
    assert source.n_images is None
    mixed = source.shuffled(1)
    assert isinstance(mixed, Buffered)
    assert sorted(ids(mixed)) == ids(source) == [f"x.tar/{n}.png" for n in range(4)]


def test_another_number_is_another_source_unless_there_are_no_more() -> None:
    whole = pictures("world:9")
    assert len({First(whole, n).fingerprint for n in (3, 4, 9, 10)} | {whole.fingerprint}) == 4


def test_there_is_no_source_of_no_images() -> None:
    with pytest.raises(AssertionError):
        First(pictures("world:9"), 0)
