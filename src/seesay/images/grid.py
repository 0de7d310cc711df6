"""Where a grid of patches lies on an image's pixels."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

Grid = tuple[int, int]
"""Rows and columns of patches."""

Size = tuple[int, int]
"""Width and height in pixels, as PIL gives them."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in an image's pixels; beyond its edges where the model pads it."""


def cells(
    n_pixels: int, start: float, end: float, n_cells: int
) -> tuple[Int[np.ndarray, " pixel"], Bool[np.ndarray, " pixel"]]:
    """Tell which cell of an axis the centre of each pixel falls into, and whether it falls into any.

    Args:
        n_pixels: of the image along that axis.
        start: where the grid starts, in pixels.
        end: where it ends.
        n_cells: rows or columns of the grid.
    """
    found, is_within = _cells(n_pixels, start, end, n_cells)
    return found.copy(), is_within.copy()


@lru_cache(256)  # images of a few sizes are asked for again and again
def _cells(
    n_pixels: int, start: float, end: float, n_cells: int
) -> tuple[Int[np.ndarray, " pixel"], Bool[np.ndarray, " pixel"]]:
    centres = np.arange(n_pixels) + 0.5
    found = np.floor((centres - start) / (end - start) * n_cells).astype(np.int64)
    return found.clip(0, n_cells - 1), (found >= 0) & (found < n_cells)
