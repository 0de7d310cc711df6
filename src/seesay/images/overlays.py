"""Drawing a heatmap on an image, so that a model or a person sees which patches are meant.

Pure functions on pixels, at the image's own size; method.md, section 1, names what each method shows.
"""

from typing import assert_never, get_args

import numpy as np
from jaxtyping import Bool, UInt8

from seesay.errors import check_choice
from seesay.images.grid import Box, cells
from seesay.images.options import BLACK, Colour, Overlay

GREEN: Colour = (0, 255, 0)
_HEAT = 0.45
_MARGIN = 0.25


def draw(
    overlay: Overlay,
    pixels: UInt8[np.ndarray, "height width 3"],
    active: Bool[np.ndarray, "row column"],
    box: Box | None = None,
    fill: Colour = BLACK,
) -> UInt8[np.ndarray, "*size 3"]:
    """Draw one of the overlays.

    Args:
        overlay: which.
        pixels: of the image.
        active: which patches are.
        box: the part of the image that the grid covers; all of it if None.
        fill: what a mask paints the others in.

    Raises:
        UnknownChoice: another overlay.
    """
    check_choice(overlay, get_args(Overlay), "overlay")
    match overlay:
        case "plain":
            return pixels
        case "mask":
            return masked(pixels, active, fill, box)
        case "heatmap":
            return highlighted(pixels, active, box=box)
        case "crop":
            return cropped(pixels, active, box=box)
        case _:
            assert_never(overlay)


def to_pixels(
    active: Bool[np.ndarray, "row column"], height: int, width: int, box: Box | None = None
) -> Bool[np.ndarray, "height width"]:
    """Enlarge a grid of patches to an image, by nearest neighbour; sizes need not be multiples of the grid's.

    Args:
        active: which patches are.
        height: of the image.
        width: of the image.
        box: the part of the image that the grid covers; all of it if None. Beside it nothing is active.
    """
    left, top, right, bottom = box or (0.0, 0.0, float(width), float(height))
    rows, in_rows = cells(height, top, bottom, active.shape[0])
    columns, in_columns = cells(width, left, right, active.shape[1])
    return active[rows[:, None], columns] & in_rows[:, None] & in_columns


def masked(
    pixels: UInt8[np.ndarray, "height width 3"],
    active: Bool[np.ndarray, "row column"],
    fill: Colour = BLACK,
    box: Box | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Keep the active patches and paint the others in one colour (black in the paper)."""
    shown = to_pixels(active, pixels.shape[0], pixels.shape[1], box)
    return np.where(shown[..., None], pixels, np.array(fill, dtype=np.uint8))


def highlighted(
    pixels: UInt8[np.ndarray, "height width 3"], active: Bool[np.ndarray, "row column"], box: Box | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Tint the active patches green and leave the others as they are."""
    tinted = (1 - _HEAT) * pixels + _HEAT * np.array(GREEN)
    shown = to_pixels(active, pixels.shape[0], pixels.shape[1], box)
    return np.where(shown[..., None], tinted.round().astype(np.uint8), pixels)


def cropped(
    pixels: UInt8[np.ndarray, "height width 3"], active: Bool[np.ndarray, "row column"], box: Box | None = None
) -> UInt8[np.ndarray, "cut_height cut_width 3"]:
    """Cut out the smallest rectangle with all active patches, and a quarter of its longer side around it.

    Where nothing is active, the image is left whole.
    """
    left, top, right, bottom = cut(active, pixels.shape[0], pixels.shape[1], box)
    return pixels[top:bottom, left:right]


def cut(
    active: Bool[np.ndarray, "row column"], height: int, width: int, box: Box | None = None
) -> tuple[int, int, int, int]:
    """The rectangle that `cropped` cuts out of an image: left, top, right and bottom in pixels."""
    rows, columns = to_pixels(active, height, width, box).nonzero()
    if not len(rows):
        return 0, 0, width, height
    margin = round(_MARGIN * max(np.ptp(rows), np.ptp(columns)))
    top, left = max(0, int(rows.min()) - margin), max(0, int(columns.min()) - margin)
    return left, top, min(width, int(columns.max()) + margin + 1), min(height, int(rows.max()) + margin + 1)
