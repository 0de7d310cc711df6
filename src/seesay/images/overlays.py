"""Drawing a heatmap on an image, so that a model or a person sees which patches are meant.

Pure functions on pixels, at the image's own size; method.md, section 1, names what each method shows.
"""

import numpy as np
from jaxtyping import Bool, UInt8

BLACK = (0, 0, 0)
GREEN = (0, 255, 0)
_HEAT = 0.45


def to_pixels(active: Bool[np.ndarray, "row column"], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """Enlarge a grid of patches to an image, by nearest neighbour; sizes need not be multiples of the grid's."""
    rows = np.arange(height) * active.shape[0] // height
    columns = np.arange(width) * active.shape[1] // width
    return active[rows[:, None], columns]


def masked(
    pixels: UInt8[np.ndarray, "height width 3"],
    active: Bool[np.ndarray, "row column"],
    fill: tuple[int, int, int] = BLACK,
) -> UInt8[np.ndarray, "height width 3"]:
    """Keep the active patches and paint the others in one colour (black in the paper)."""
    shown = to_pixels(active, *pixels.shape[:2])
    return np.where(shown[..., None], pixels, np.array(fill, dtype=np.uint8))


def highlighted(
    pixels: UInt8[np.ndarray, "height width 3"], active: Bool[np.ndarray, "row column"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Tint the active patches green and leave the others as they are."""
    tinted = (1 - _HEAT) * pixels + _HEAT * np.array(GREEN)
    shown = to_pixels(active, *pixels.shape[:2])
    return np.where(shown[..., None], tinted.round().astype(np.uint8), pixels)
