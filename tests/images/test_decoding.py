import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from seesay.errors import UnreadableImage
from seesay.images.decoding import decode, in_colour, pixel_hash, suffixes
from tests.images.making import encoded, picture, pixels_of, png, png_header

WHITE = [255, 255, 255]
FILES = {
    kind: encoded(picture(1, 20, 12), kind)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO")
}


def only_pixel(image: Image.Image) -> list[int]:
    assert image.mode == "RGB"
    assert image.size == (1, 1)
    return list(image.getpixel((0, 0)))


def test_a_file_and_its_bytes_are_the_same_image(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(3))
    assert pixels_of(decode(file)) == pixels_of(decode(png(3))) == pixels_of(picture(3))


@pytest.mark.parametrize("kind", FILES)
def test_many_formats_are_read(kind: str) -> None:
    image = decode(FILES[kind])
    assert image.mode == "RGB"
    assert image.size[0] > 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture(1), kind, exif=exif)
    with Image.open(io.BytesIO(content)) as opened:
        expected = ImageOps.exif_transpose(opened)
    assert pixels_of(decode(content)) == pixels_of(expected)
    assert decode(content).size == ((7, 5) if orientation < 5 else (5, 7))


def test_wide_greys_stand_upright_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = Image.fromarray(np.arange(6, dtype=np.uint16).reshape(2, 3) * 257)
    assert pixels_of(decode(encoded(grey, "PNG", exif=exif)).convert("L")) == [[3, 0], [4, 1], [5, 2]]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_changes_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert pixels_of(decode(encoded(picture(1), "PNG", exif=exif))) == pixels_of(picture(1))


def test_damaged_exif_does_no_harm_to_the_pixels() -> None:
    content = encoded(picture(1), "PNG", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00")
    assert pixels_of(decode(content)) == pixels_of(picture(1))


@pytest.mark.parametrize(
    "mode",
    [
        "1",
        "L",
        "P",
        "PA",
        "LA",
        "RGB",
        "RGBA",
        "RGBa",
        "RGBX",
        "CMYK",
        "YCbCr",
        "HSV",
        "LAB",
        "I",
        "F",
        "I;16",
        "I;16B",
    ],
)
def test_images_of_many_modes_come_as_rgb(mode: str) -> None:
    image = in_colour(Image.new(mode, (3, 2)))
    assert image.mode == "RGB"
    assert image.size == (3, 2)


def test_an_image_is_never_handed_back_as_it_is() -> None:
    image = picture(1)
    assert in_colour(image) is not image
    assert pixels_of(in_colour(image)) == pixels_of(image)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 255), [255, 0, 0]),
        ("RGBA", (0, 0, 0, 51), [204, 204, 204]),
        ("LA", (0, 0), WHITE),
        ("LA", (9, 255), [9, 9, 9]),
        ("CMYK", (0, 0, 0, 255), [0, 0, 0]),
        ("CMYK", (0, 0, 0, 0), WHITE),
    ],
)
def test_paint_is_laid_over_white(mode: str, colour: tuple[int, ...], expected: list[int]) -> None:
    assert only_pixel(in_colour(Image.new(mode, (1, 1), colour))) == expected


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_s_transparent_colour_is_white(kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert pixels_of(decode(encoded(image, kind, transparency=0))) == [[WHITE, [40, 50, 60]]]


def test_a_palette_may_have_many_transparent_colours() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.putpixel((1, 0), 1)
    content = encoded(image, "PNG", transparency=bytes([0, 255]))
    assert pixels_of(decode(content)) == [[WHITE, [0, 0, 0]]]


@pytest.mark.parametrize(("mode", "colour", "other"), [("L", 7, 8), ("RGB", (1, 2, 3), (1, 2, 4)), ("1", 0, 255)])
def test_a_colour_that_stands_for_no_paint_is_white(mode: str, colour: object, other: object) -> None:
    image = Image.new(mode, (2, 1), colour)
    image.putpixel((1, 0), other)
    first, second = pixels_of(decode(encoded(image, "PNG", transparency=colour)))[0]
    assert first == WHITE
    assert second == pixels_of(image.convert("RGB"))[0][1]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_greys_are_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    image = decode(encoded(Image.fromarray(values), kind))
    assert pixels_of(image.convert("L")) == [[0, 1, 128, 255]]


def test_16_bit_greys_of_the_other_byte_order_are_scaled() -> None:
    image = Image.frombytes("I;16B", (2, 1), b"\x00\x00\xff\xff")
    assert pixels_of(in_colour(image).convert("L")) == [[0, 255]]


def test_a_dark_16_bit_image_stays_dark() -> None:
    assert only_pixel(in_colour(Image.fromarray(np.array([[200]], dtype=np.uint16)))) == [1, 1, 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255], [0, 255]),
        ([7, 100], [7, 100]),
        ([0, 32896, 65535], [0, 128, 255]),
        ([-10, 0, 10], [0, 128, 255]),
        ([0, 70000], [0, 255]),
        ([-5, -5], [0, 0]),
    ],
)
def test_the_largest_integer_tells_the_scale(values: list[int], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.int32))
    assert image.mode == "I"
    assert pixels_of(in_colour(image).convert("L")) == [expected]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.4], [0, 100]),
        ([0.0, 65535.0], [0, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([np.nan, np.inf, 0.2, 1.0], [0, 0, 51, 255]),
        ([np.nan, np.nan], [0, 0]),
    ],
)
def test_the_largest_float_tells_the_scale(values: list[float], expected: list[int]) -> None:
    image = decode(encoded(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF"))
    assert pixels_of(image.convert("L")) == [expected]


def test_one_pixel_is_an_image() -> None:
    assert only_pixel(decode(encoded(Image.new("RGB", (1, 1), "red")))) == [255, 0, 0]


def test_only_the_first_of_several_pictures_is_read() -> None:
    first, second = Image.new("RGB", (1, 1), "red"), Image.new("RGB", (1, 1), "blue")
    content = encoded(first, "TIFF", save_all=True, append_images=[second])
    assert only_pixel(decode(content)) == [255, 0, 0]


@pytest.mark.parametrize(
    "size", [(20_000, 20_000), (10_000, 10_000)], ids=["an error to Pillow", "a warning to Pillow"]
)
def test_an_image_of_too_many_pixels_is_refused_with_its_size(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableImage, match=f"big.png: {size[0]}x{size[1]} pixels; expected at most"):
        decode(png_header(*size), "big.png")


def test_a_long_image_is_read() -> None:
    assert decode(encoded(Image.new("L", (20_000, 1000)), "PNG", compress_level=1)).size == (20_000, 1000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"plain text that is no image", "format that is not known"),
        (b"\xff\xd8\xff", "cat.jpg: "),
        (FILES["JPEG"][:-40], "truncated"),
        (FILES["PNG"][:-40], "cat.jpg: "),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "format that is not known"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason) as caught:
        decode(content, "cat.jpg")
    assert str(caught.value).startswith("cat.jpg: ")
    assert "\n" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="gone.png: No such file or directory"):
        decode(tmp_path / "gone.png")


def test_a_mode_without_a_way_to_rgb_is_named() -> None:
    with pytest.raises(UnreadableImage, match="image 1 of mode 'La'"):
        in_colour(Image.new("La", (1, 1)), "image 1")


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="no pixels: 0x3"):
        in_colour(Image.new("RGB", (0, 3)))


def test_an_open_image_whose_file_is_damaged_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "half.jpg").write_bytes(FILES["JPEG"][:-40])
    with Image.open(tmp_path / "half.jpg") as image, pytest.raises(UnreadableImage, match="half.jpg of mode 'RGB'"):
        in_colour(image)


@given(kind=st.sampled_from(sorted(FILES)), data=st.data())
def test_whatever_happened_to_a_file_it_is_an_image_or_unreadable(kind: str, data: st.DataObject) -> None:
    content = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    try:
        image = decode(bytes(content))
    except UnreadableImage as error:
        assert "\n" not in str(error)
    else:
        assert image.mode == "RGB"


def test_equal_pixels_hash_equal_whatever_the_file() -> None:
    image = picture(1)
    assert pixel_hash(image) == pixel_hash(decode(encoded(image, "PNG"))) == pixel_hash(decode(encoded(image, "TIFF")))
    assert pixel_hash(image) != pixel_hash(picture(2))


def test_the_same_pixels_in_another_shape_hash_otherwise() -> None:
    assert pixel_hash(Image.new("RGB", (2, 3))) != pixel_hash(Image.new("RGB", (3, 2)))


def test_suffixes_are_of_images_alone() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".gif"} <= suffixes()
    assert not {".eps", ".ps", ".pdf", ".mpg", ".h5", ".tar", ".txt", ".json", ""} & suffixes()
