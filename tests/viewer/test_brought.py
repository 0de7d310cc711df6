"""Pictures from outside: bounded before anything is decoded, and kept as they are."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from seesay.errors import Busy, FeatureNotFound, UnreadableImage
from seesay.images.decoding import decode
from seesay.viewer.brought import MOST_PIXELS, Brought
from tests.images.making import encoded, picture, pixels_of, png_header


def test_a_picture_is_seen_as_it_would_be_from_its_file() -> None:
    brought = Brought()
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(1, 60, 40), "JPEG", exif=exif)
    name = brought.take(data)
    assert pixels_of(brought.image(name)) == pixels_of(decode(data))
    small = Image.open(io.BytesIO(brought.small(name)))
    assert (small.format, small.size) == ("WEBP", brought.image(name).size)
    assert brought.take(data) == name


def test_a_picture_of_too_many_pixels_is_refused_by_its_header_alone() -> None:
    side = int(MOST_PIXELS**0.5) + 1
    with pytest.raises(UnreadableImage, match=f"at most {MOST_PIXELS} pixels"):
        Brought().take(png_header(side, side))


@pytest.mark.parametrize("kind", ["ICO", "ICNS"])
def test_a_format_that_is_decoded_to_be_opened_is_not_taken(kind: str) -> None:
    with pytest.raises(UnreadableImage):
        Brought().take(encoded(Image.new("RGB", (32, 32)), kind))


def test_more_than_can_be_looked_at_are_refused_at_once() -> None:
    brought, data = Brought(), encoded(picture(1, 1500, 1500), "PNG")
    with ThreadPoolExecutor(40) as people:
        taken = [people.submit(brought.take, data) for _ in range(40)]
    refused = [each for each in taken if isinstance(each.exception(), Busy)]
    assert 0 < len(refused) < 40
    assert brought.take(data) == next(each.result() for each in taken if each not in refused), "and later again"


def test_what_is_no_picture_is_refused() -> None:
    for data in (b"", b"no picture", b"<svg onload=alert(1)>", b"%!PS-Adobe"):
        with pytest.raises(UnreadableImage):
            Brought().take(data)


def test_no_more_are_kept_than_can_be() -> None:
    brought = Brought()
    names = [brought.take(encoded(Image.new("RGB", (8, 8), (3 * shade, 0, 0)), "PNG")) for shade in range(70)]
    assert len(set(names)) == 70
    assert brought.small(names[-1])
    for look in (brought.small, brought.image):
        with pytest.raises(FeatureNotFound, match="bring it again"):
            look(names[0])
