"""The world's eleven colours, and which of them a pixel has.

A pixel is named by the nearest of several prototypes in Oklab (Björn Ottosson, 2020), where equal distances look
equally different; dark and light variants of a colour are prototypes of the same name.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from seesay.world.concepts import COLOURS

PAINT: dict[str, tuple[int, int, int]] = {
    "red": (215, 35, 40),
    "orange": (245, 130, 20),
    "yellow": (250, 215, 45),
    "green": (60, 160, 70),
    "blue": (45, 95, 210),
    "purple": (125, 55, 170),
    "pink": (245, 150, 190),
    "brown": (125, 75, 40),
    "black": (25, 25, 28),
    "white": (246, 246, 246),
    "grey": (135, 137, 140),
}
"""The colour that an object of that name is painted in, before jitter (sRGB, 0 to 255)."""

_VARIANTS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((160, 20, 25), (230, 80, 75)),
    "orange": ((250, 165, 70),),
    "yellow": ((252, 235, 130), (215, 180, 30)),
    "green": ((25, 95, 45), (140, 205, 110), (110, 150, 40)),
    "blue": ((110, 175, 240), (25, 40, 120), (70, 130, 160), (175, 215, 245)),
    "purple": ((175, 120, 215), (75, 30, 110)),
    "pink": ((235, 90, 150), (250, 195, 210)),
    "brown": ((85, 50, 30), (170, 120, 75)),
    "black": ((55, 55, 58),),
    "white": ((225, 226, 228),),
    "grey": ((95, 97, 100), (180, 182, 185)),
}
_BITS = 5  # per channel of the look-up table: 32 768 entries, and steps of 8 are finer than the prototypes' distances


def _oklab(srgb: NDArray[np.floating]) -> NDArray[np.floating]:
    unit = srgb / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    to_lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.cbrt(linear @ to_lms.T) @ to_lab.T


@cache
def _table() -> NDArray[np.uint8]:
    prototypes = [(COLOURS.index(name), rgb) for name, paint in PAINT.items() for rgb in (paint, *_VARIANTS[name])]
    owners = np.array([owner for owner, _ in prototypes], dtype=np.uint8)
    centres = (np.arange(1 << _BITS) + 0.5) * (256 >> _BITS)
    grid = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), axis=-1).reshape(-1, 3)
    paints = np.array([rgb for _, rgb in prototypes], dtype=np.float64)
    distances = ((_oklab(grid)[:, None] - _oklab(paints)[None]) ** 2).sum(-1)
    return owners[distances.argmin(1)]


def colour_ids(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Name every pixel's colour.

    Args:
        pixels: sRGB, shape `[..., 3]`.

    Returns:
        Places in `COLOURS`, shape `[...]`.
    """
    red, green, blue = (np.ascontiguousarray(pixels[..., i], dtype=np.uint16) >> (8 - _BITS) for i in range(3))
    return _table().take((red << (2 * _BITS)) | (green << _BITS) | blue)
