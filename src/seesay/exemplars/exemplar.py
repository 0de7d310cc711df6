"""An exemplar as explainers, scorers and people use it: an image, and where on it a feature is active."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image

from seesay.exemplars.config import Kind, Part
from seesay.exemplars.heatmap import Heatmap
from seesay.images.grid import Box, Grid, Size, cells
from seesay.images.options import BLACK, Colour, Overlay
from seesay.images.overlays import cut, draw, to_pixels

NO_QUANTILE = -1
"""The quantile of an exemplar that stands for none."""


@final
@dataclass(frozen=True)
class KeptImage:
    """An image that a run keeps.

    Args:
        image_id: 63 bits of `pixel_hash`.
        pixel_hash: of the original's pixels; its thumbnail is named by it.
        source_id: its name where it came from.
        part: what it may be used for.
        size: of the original, width and height in pixels.
        grid: rows and columns of patches.
        box: the part of it that the grid covers.
    """

    image_id: int
    pixel_hash: str
    source_id: str
    part: Part
    size: Size
    grid: Grid
    box: Box


@final
@dataclass(frozen=True, eq=False)
class Exemplar:
    """An image that tells something of a feature.

    Args:
        feature_id: of the feature.
        kind: why it is an exemplar.
        rank: among those of its kind and part, from 0.
        image: which image.
        activation: of the image; 0 if inactive.
        quantile: which part of the activating images it stands for, 0 the least active; None for other kinds.
        heatmap: the feature's activations on it.
    """

    feature_id: int
    kind: Kind
    rank: int
    image: KeptImage
    activation: float
    quantile: int | None
    heatmap: Heatmap

    @property
    def peak(self) -> float:
        """The largest activation on any patch of it."""
        return float(self.heatmap.activations.max(initial=0))

    def dense(self) -> Float32[np.ndarray, "row column"]:
        """The heatmap, with a number for every patch."""
        return self.heatmap.dense(self.image.grid)

    def mask(self, size: Size) -> Bool[np.ndarray, "height width"]:
        """Tell on which pixels of a picture the feature is active; none beside the part that the heatmap covers.

        Args:
            size: width and height of the image or its thumbnail.
        """
        return to_pixels(self.dense() > 0, size[1], size[0], self._box_in(size))

    def drawn(self, overlay: Overlay, picture: Image.Image, fill: Colour = BLACK) -> Image.Image:
        """Show where the feature is active.

        Args:
            overlay: how.
            picture: the image or its thumbnail, at whatever size.
            fill: what a mask paints the other patches in.
        """
        pixels = draw(overlay, np.asarray(picture), self.dense() > 0, self._box_in(picture.size), fill)
        return Image.fromarray(pixels)

    def active_in(self, overlay: Overlay, size: Size, grid: Grid, box: Box) -> Bool[np.ndarray, "row column"]:
        """Tell on which patches of what `drawn` gives the feature is active.

        On an image of the same size that is not cropped these are the heatmap's own; otherwise those whose centres lie
        on them.

        Args:
            overlay: that was drawn.
            size: of the picture that it was drawn on.
            grid: rows and columns of patches of what was drawn, as the encoder that is to see it divides it.
            box: the part of what was drawn that they cover.
        """
        active = self.dense() > 0
        ours = self._box_in(size)
        x, y = cut(active, size[1], size[0], ours)[:2] if overlay == "crop" else (0, 0)
        (left, top, right, bottom), (start_x, start_y, end_x, end_y) = ours, box
        rows, in_rows = cells(grid[0], *_in_cells(top - y, bottom - y, start_y, end_y, grid[0]), active.shape[0])
        columns, in_columns = cells(grid[1], *_in_cells(left - x, right - x, start_x, end_x, grid[1]), active.shape[1])
        return active[rows[:, None], columns] & in_rows[:, None] & in_columns

    def _box_in(self, size: Size) -> Box:
        """The part of a picture of another size that the heatmap covers."""
        (width, height), (whole_width, whole_height) = size, self.image.size
        left, top, right, bottom = self.image.box
        x, y = width / whole_width, height / whole_height
        return left * x, top * y, right * x, bottom * y


def _in_cells(start: float, end: float, first: float, last: float, n_cells: int) -> tuple[float, float]:
    """Where an interval begins and ends if it is counted in the cells that another one is divided into."""
    return (start - first) / (last - first) * n_cells, (end - first) / (last - first) * n_cells
