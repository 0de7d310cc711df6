import pytest

from seesay.errors import UnreadableImages
from seesay.images.decoding import pixel_hash
from seesay.world.pictures import pictures
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import RANGES


def test_pictures_come_from_a_stream_that_nothing_else_looks_at() -> None:
    source = pictures("world:3@5")
    assert [entry.id for entry in source.entries()] == ["images/5", "images/6", "images/7"]
    drawn = [render(sample(RANGES["images"][number])).image for number in (5, 6, 7)]
    assert [pixel_hash(entry.read()) for entry in source.entries()] == [pixel_hash(image) for image in drawn]


def test_an_offset_goes_on_where_the_first_ones_end() -> None:
    whole, rest = pictures("world:5"), pictures("world:2@3")
    assert [entry.id for entry in whole.entries(3)] == [entry.id for entry in rest.entries()]
    assert len({whole.fingerprint, rest.fingerprint, pictures("world:2").fingerprint}) == 3


def test_a_million_pictures_cost_nothing_until_they_are_read() -> None:
    source = pictures("world:1000000")
    assert source.n_images == 1_000_000
    assert [entry.id for entry in source.entries(999_999)] == ["images/999999"]


@pytest.mark.parametrize(
    "name",
    ["world", "world:", "world:0", "world:-1", "world:M", "world:1.5", "world:4@", "world:4@-1", "x:4", "world:٣"],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UnreadableImages, match="expected world:4000"):
        pictures(name)


def test_there_is_an_end_to_the_world() -> None:
    with pytest.raises(UnreadableImages, match="no images named"):
        pictures(f"world:2@{len(RANGES['images']) - 1}")


def test_more_pictures_than_can_be_put_in_order_are_refused_in_one_line() -> None:
    assert pictures("world:1000000000").n_images == 1_000_000_000
    with pytest.raises(UnreadableImages, match="1000000001 images of the world at once; expected at most") as caught:
        pictures("world:1000000001")
    assert "\n" not in str(caught.value)
