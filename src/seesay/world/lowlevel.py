"""What pictures show below objects and colours: edges by orientation, the objects' boundaries, brightness, position."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from seesay.world.concepts import BRIGHTNESSES, EDGES, POSITIONS
from seesay.world.scenes import IMAGE_SIZE

_MIN_GRADIENT = 14.0  # per pixel, of 255, over all channels: three and a half times the pixel noise
_DARKEST, _BRIGHTEST = 0.36, 0.72  # luma below which a pixel is dark, above which it is bright
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_THIRDS = (24, 40)  # where the middle third begins and ends, in whole patches


def edge_ids(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The orientation of the edge through every pixel, from the structure tensor of the colours.

    Args:
        pixels: sRGB, shape `[height width 3]`.

    Returns:
        1 + the place in `EDGES`, 0 where there is no edge; shape `[height width]`.
    """
    channels = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
    smooth = uniform_filter(channels, size=3, axes=(1, 2), mode="nearest")
    down = np.zeros_like(smooth)
    across = np.zeros_like(smooth)
    down[:, 1:-1] = (smooth[:, 2:] - smooth[:, :-2]) / 2
    across[:, :, 1:-1] = (smooth[:, :, 2:] - smooth[:, :, :-2]) / 2
    xx, yy, xy = (across * across).sum(0), (down * down).sum(0), 2 * (across * down).sum(0)
    # The gradient's angle is atan2(xy, xx - yy) / 2; its four sectors of 45 degrees need no arctangent. y points down:
    # a gradient towards the lower right belongs to an edge that rises to the right.
    upright = np.abs(xx - yy) >= np.abs(xy)
    names = np.where(
        upright,
        np.where(yy > xx, EDGES.index("horizontal"), EDGES.index("vertical")),
        np.where(xy > 0, EDGES.index("rising"), EDGES.index("falling")),
    )
    return np.where(xx + yy >= _MIN_GRADIENT**2, 1 + names, 0).astype(np.uint8)


def boundary_mask(owner: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels within two of another object's or the background's, `[height width]`."""
    found = np.zeros(owner.shape, dtype=bool)
    for step in (1, 2):
        down, across = owner[step:] != owner[:-step], owner[:, step:] != owner[:, :-step]
        found[step:] |= down
        found[:-step] |= down
        found[:, step:] |= across
        found[:, :-step] |= across
    return found


def brightness_ids(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 + the place in `BRIGHTNESSES` of every pixel, 0 in between; `[height width 3]` to `[height width]`."""
    luma = pixels @ np.array(_LUMA, dtype=np.float32) / 255
    dark, bright = 1 + BRIGHTNESSES.index("dark"), 1 + BRIGHTNESSES.index("bright")
    return np.where(luma < _DARKEST, dark, np.where(luma > _BRIGHTEST, bright, 0)).astype(np.uint8)


@cache
def position_ids() -> NDArray[np.uint8]:
    """The place in `POSITIONS` of every pixel, `[height width]`; read from top left to bottom right."""
    third = np.searchsorted(_THIRDS, np.arange(IMAGE_SIZE), side="right")
    ids = (third[:, None] * len(_THIRDS) + third[:, None] + third[None, :]).astype(np.uint8)
    assert ids.max() == len(POSITIONS) - 1
    ids.setflags(write=False)
    return ids
