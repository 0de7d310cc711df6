"""An exemplar as explainers, scorers and people use it: an image, and where on it a feature is active."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32
from PIL import Image

from seesay.exemplars.config import Kind, Part
from seesay.exemplars.heatmap import Heatmap
from seesay.images.grid import Box, Grid, Size
from seesay.images.overlays import Overlay, draw

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

    def dense(self) -> Float32[np.ndarray, "row column"]:
        """The heatmap, with a number for every patch."""
        return self.heatmap.dense(self.image.grid)

    def drawn(self, overlay: Overlay, picture: Image.Image) -> Image.Image:
        """Show where the feature is active.

        Args:
            overlay: how.
            picture: the image or its thumbnail, at whatever size.
        """
        (width, height), (whole_width, whole_height) = picture.size, self.image.size
        left, top, right, bottom = self.image.box
        x, y = width / whole_width, height / whole_height
        pixels = draw(overlay, np.asarray(picture), self.dense() > 0, (left * x, top * y, right * x, bottom * y))
        return Image.fromarray(pixels)
