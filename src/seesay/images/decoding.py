"""From a file or its bytes to an upright RGB image, or to one line that says why not.

Nothing here changes Pillow's or the process's settings, so that many threads can decode at once.
"""

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile

from seesay.errors import UnreadableImage

NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""Formats that Pillow knows by name and cannot decode by itself; PostScript would be run by another program."""

_COMMON = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # tried first, only because they are likely
_ORIENTATION = 0x0112  # EXIF's tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAX_8_BIT, _MAX_16_BIT = 255, 65535
_SHORTEST_WHY, _LONGEST_WHY = 3, 200  # characters of a reason that tell something

# What Pillow's decoders raise on damaged data, each in its own way. Warnings are there for runs that make errors of
# them.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


def decode(source: Path | bytes, name: str = "", *, most_pixels: int | None = None) -> Image.Image:
    """Read an image as RGB, turned upright by its EXIF orientation; the first picture of several.

    Args:
        source: a file, or what is in one.
        name: what to call it if it cannot be read; the file's path if empty.
        most_pixels: that an image may have, told by its header before anything is decoded, for which only the most
            common formats are taken, as others are decoded to be opened; None for as many as Pillow takes to be safe
            (`Image.MAX_IMAGE_PIXELS`), in any format.

    Raises:
        UnreadableImage: a file that is missing, empty or damaged, in an unknown format, of too many pixels, or in a
            mode without a way to RGB.
    """
    name = name or ("image" if isinstance(source, bytes) else str(source))
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            image = _opened(stream, name, None if most_pixels is None else _COMMON)
            _check_size(image, name, Image.MAX_IMAGE_PIXELS if most_pixels is None else most_pixels)
            image.load()
            orientation = _orientation(image)
    except _DAMAGE as error:
        raise _unreadable(name, _reason(error)) from error
    upright = _UPRIGHT.get(orientation)
    coloured = in_colour(image, name)
    return coloured if upright is None else coloured.transpose(upright)


def in_colour(image: Image.Image, name: str = "") -> Image.Image:
    """Turn an open image into RGB, at its own size and orientation.

    What is transparent is laid over white. 16-bit greys are scaled to 8 bits. For 32-bit integers and floats the
    largest value tells the scale: up to 1 (floats only), 255 or 65535; with negative or larger values, the smallest
    becomes black and the largest white. What is not finite becomes black.

    Args:
        image: of any size and mode.
        name: what to call it if that fails.

    Returns:
        A new image, even where nothing had to be changed.

    Raises:
        UnreadableImage: a mode without a way to RGB, no pixels, or a file behind it that turns out to be damaged.
    """
    name = name or str(getattr(image, "filename", "")) or "image"
    if 0 in image.size:
        raise _unreadable(name, f"no pixels: {image.width}x{image.height}")
    try:
        image.load()
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return Image.fromarray(_greys(image)).convert("RGB")
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        return image.convert("RGB")
    except _DAMAGE as error:
        raise _unreadable(f"{name} of mode {image.mode!r}", _reason(error)) from error


def pixel_hash(image: Image.Image) -> str:
    """SHA-256 over the size and the RGB pixels: the same for equal pixels, whatever file they came in.

    Args:
        image: of any mode; see `in_colour`.

    Raises:
        UnreadableImage: an image that cannot be turned into RGB.
    """
    coloured = in_colour(image)
    size = f"{coloured.width}x{coloured.height};".encode()
    return hashlib.sha256(size + coloured.tobytes()).hexdigest()


def suffixes() -> frozenset[str]:
    """The endings, in lower case and with the dot, of files that can be images."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(suffix.lower() for suffix, kind in known if kind in Image.OPEN and kind not in NOT_DECODED)


def _opened(stream: io.BytesIO | io.BufferedReader, name: str, kinds: Sequence[str] | None) -> ImageFile.ImageFile:
    """As `Image.open`, but the size is left to us: Pillow tells it by a warning, which threads cannot catch."""
    prefix = stream.read(16)
    if not prefix:
        raise _unreadable(name, "the file is empty")
    Image.init()
    refusals: list[str] = []
    for kind in dict.fromkeys(kinds or (*_COMMON, *Image.ID)):
        if kind in NOT_DECODED or kind not in Image.OPEN:
            continue
        make, accepts = Image.OPEN[kind]
        accepted: Any = accepts is None or accepts(prefix)
        if isinstance(accepted, str):  # a format that this build of Pillow lacks
            refusals.append(accepted)
        elif accepted:
            stream.seek(0)
            try:
                return make(stream, b"")
            except (SyntaxError, LookupError, TypeError, struct.error):  # by which plugins say: not mine
                continue
    raise _unreadable(name, *refusals or ["damaged at its start, or in a format that is not known"])


def _check_size(image: Image.Image, name: str, limit: int | None) -> None:
    if limit is not None and image.width * image.height > limit:
        raise UnreadableImage(
            f"{name}: {image.width}x{image.height} pixels",
            expected=f"at most {limit} pixels in all",
            remedy="make it smaller, or leave it out",
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGE:  # what is written beside the pixels may be damaged without harm to them
        return 1


def _greys(image: Image.Image) -> UInt8[np.ndarray, "height width"]:
    values = np.asarray(image).astype(np.float64)
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    floor, ceiling = 0.0, float(_MAX_8_BIT)
    if image.mode.startswith("I;16"):
        ceiling = _MAX_16_BIT
    elif low < 0 or high > _MAX_16_BIT:
        floor, ceiling = low, high
    elif high > _MAX_8_BIT:
        ceiling = _MAX_16_BIT
    elif image.mode == "F" and high <= 1:
        ceiling = 1.0
    # an image of one negative or one huge value is black: its floor is its ceiling
    shares = (np.where(finite, values, floor) - floor) / ((ceiling - floor) or 1.0)
    greys = (shares.clip(0, 1) * _MAX_8_BIT).round().astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # one grey stands for no paint at all
        greys[values == transparent] = _MAX_8_BIT
    return greys


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    why = " ".join(str(error).split())[:_LONGEST_WHY]
    return why if len(why) >= _SHORTEST_WHY else f"damaged ({type(error).__name__})"


def _unreadable(name: str, *reasons: str) -> UnreadableImage:
    return UnreadableImage(
        f"{name}: {', '.join(reasons)}",
        expected="an image that can be converted to RGB",
        remedy="convert or repair it first",
    )
