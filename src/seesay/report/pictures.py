"""A run's pictures for pages: thumbnails by their hash alone, heatmaps as small transparent pictures above them."""

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image

from seesay.errors import UnreadableImage
from seesay.exemplars.exemplar import Exemplar
from seesay.images.decoding import decode
from seesay.store.run import Run

_VEIL = (24, 24, 24)
"""Lies over patches that are not active: colour on those that are would hide which colour a feature stands for."""

_LARGEST_FILE = 1 << 22
_N_REMEMBERED = 2048  # some 5 kB each on the atlas, some 20 on the page of a feature
_QUALITY, _EFFORT = 75, 2
_WEBP = (b"RIFF", b"WEBP")


@final
@dataclass(frozen=True)
class Shown:
    """An exemplar as a page shows it.

    Args:
        pixel_hash: names the thumbnail.
        source_id: its name where it came from.
        size: of the original, width and height; a page needs it before the thumbnail is there.
        activation: of the image.
        peak: largest activation of a patch.
        quantile: which part of the activating images it stands for; None for the most activating ones.
        heat: the heatmap, one pixel for a patch, as a `data:` address.
        box: left, top, width and height of what it covers, in pixels of the original.
    """

    pixel_hash: str
    source_id: str
    size: tuple[int, int]
    activation: float
    peak: float
    quantile: int | None
    heat: str
    box: tuple[float, float, float, float]

    @classmethod
    def of(cls, exemplar: Exemplar) -> "Shown":
        """Prepare an exemplar.

        Args:
            exemplar: with its heatmap.
        """
        image = exemplar.image
        left, top, right, bottom = image.box
        return cls(
            image.pixel_hash,
            image.source_id,
            image.size,
            exemplar.activation,
            exemplar.peak,
            exemplar.quantile,
            heat_of(exemplar.dense()),
            (left, top, right - left, bottom - top),
        )


def heat_of(dense: np.ndarray) -> str:
    """A heatmap as a veil, of which each pixel is the less transparent, the less active its patch is.

    Args:
        dense: rows and columns of activations, none negative.
    """
    peak = float(dense.max(initial=0.0))
    pixels = np.zeros((*dense.shape, 4), dtype=np.uint8)
    pixels[..., :3] = _VEIL
    if peak > 0:
        pixels[..., 3] = np.round(255 * (1 - dense / peak))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def thumbnail(run: Run, pixel_hash: str, side: int | None = None) -> bytes:
    """A thumbnail's bytes: nothing but a WebP file inside the run's folder is ever read, whatever links lie in it.

    Args:
        run: may be a stranger's.
        pixel_hash: from outside.
        side: its longest side, in pixels, if what the run keeps is larger; None for what it keeps, byte for byte.

    Raises:
        UnusablePath: that is no hash.
        UnreadableImage: there is no such picture, or it is something else.
    """
    path = run.thumbnails.path(pixel_hash)
    refused = UnreadableImage(f"no picture {pixel_hash} in {run.folder}", expected="one that the run keeps")
    if not (path.is_file() and path.resolve().is_relative_to(run.folder.resolve())):
        raise refused
    try:
        return _whole(path) if side is None else _small(path, path.stat().st_mtime_ns, side)
    except (OSError, ValueError) as error:
        raise refused from error


def _whole(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_LARGEST_FILE)
    if (data[:4], data[8:12]) != _WEBP:
        raise ValueError("no WebP file")
    return data


@lru_cache(_N_REMEMBERED)
def _small(path: Path, _written: int, side: int) -> bytes:
    """Remembered, as many features share a picture; one that has been written since is another."""
    return as_webp(decode(_whole(path), path.name), side)


def as_webp(image: Image.Image, side: int) -> bytes:
    """An image as a file.

    Args:
        image: RGB.
        side: its longest side in the file, at most.
    """
    small = image.copy()
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "WEBP", quality=_QUALITY, method=_EFFORT)
    return file.getvalue()
