"""Pictures from outside: bounded before anything is decoded, and kept as they are."""

import io

import pytest
from PIL import Image

from seesay.errors import FeatureNotFound, UnreadableImage
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
