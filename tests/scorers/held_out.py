"""A run as scorers look at it, filled by hand: no collection, no store."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from seesay.exemplars.config import Kind
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.exemplars.hashing import image_id_of
from seesay.exemplars.heatmap import Heatmap
from seesay.images.decoding import pixel_hash
from seesay.images.grid import Box, Grid, Size

Made = tuple[Image.Image, Any]
"""A picture, and a heatmap with a number for every patch: an array, or nested lists."""

N_QUANTILES = 4


def kept_image(
    picture: Image.Image,
    grid: Grid,
    source_id: str = "",
    *,
    size: Size | None = None,
    box: Box | None = None,
) -> KeptImage:
    """An image as a run keeps it; equal pixels have one id.

    Args:
        picture: its thumbnail, or itself.
        grid: rows and columns of patches.
        source_id: its name where it came from.
        size: of the original, if the picture is only its thumbnail.
        box: the part of the original that the grid covers; None for all of it.
    """
    size = size or picture.size
    whole = (0.0, 0.0, float(size[0]), float(size[1]))
    hashed = pixel_hash(picture)
    return KeptImage(image_id_of(hashed), hashed, source_id, "scoring", size, grid, box or whole)


def exemplar(
    feature_id: int,
    image: KeptImage,
    heatmap: Any,
    kind: Kind = "top",
    rank: int = 0,
    quantile: int | None = None,
) -> Exemplar:
    """An exemplar whose activation is the mean over patches.

    Args:
        feature_id: of the feature.
        image: which.
        heatmap: a number for every patch, none negative.
        kind: why it is one.
        rank: among those of its kind.
        quantile: what it stands for.
    """
    dense = np.asarray(heatmap, dtype=np.float32)
    assert dense.shape == image.grid
    assert (dense >= 0).all()
    patches = dense.reshape(-1).nonzero()[0].astype(np.int32)
    heat = Heatmap(patches, dense.reshape(-1)[patches])
    return Exemplar(feature_id, kind, rank, image, float(dense.mean()), quantile, heat)


class MadeHeldOut:
    """What scorers know of features, made by hand.

    What it gives can be changed after it is made, in `exemplars_of`, `pictures`, `nearest_of` and `images`.

    Args:
        made: feature id to kind to pictures with dense heatmaps, the best first. Those of the kind `quantile` are
            spread over four quantiles, the most active first.
        nearest: feature id to the features of nearest directions, with the cosine.
        background: pictures at random.
        source_ids: of pictures, by their place in the order in which they are given; the background's come last.
    """

    def __init__(
        self,
        made: Mapping[int, Mapping[Kind, Sequence[Made]]],
        nearest: Mapping[int, Sequence[tuple[int, float]]] | None = None,
        background: Sequence[Image.Image] = (),
        source_ids: Sequence[str] = (),
    ) -> None:
        self.exemplars_of: dict[int, dict[Kind, list[Exemplar]]] = {}
        self.pictures: dict[int, Image.Image] = {}
        self.nearest_of: dict[int, Sequence[tuple[int, float]]] = dict(nearest or {})
        self.images: list[KeptImage] = []
        names = iter(source_ids)
        grid: Grid = (4, 4)
        for feature_id, kinds in made.items():
            self.exemplars_of[feature_id] = {}
            for kind, entries in kinds.items():
                found: list[Exemplar] = []
                for rank, (picture, heatmap) in enumerate(entries):
                    rows, columns = np.asarray(heatmap).shape
                    grid = (rows, columns)
                    image = self._keep(picture, grid, next(names, ""))
                    quantile = N_QUANTILES - 1 - rank * N_QUANTILES // len(entries) if kind == "quantile" else None
                    found.append(exemplar(feature_id, image, heatmap, kind, rank, quantile))
                self.exemplars_of[feature_id][kind] = found
        self.images = [self._keep(picture, grid, next(names, "")) for picture in background]

    def exemplars(self, feature_id: int, kind: Kind, n: int | None = None) -> list[Exemplar]:
        return self.exemplars_of.get(feature_id, {}).get(kind, [])[:n]

    def best_images(self, n: int) -> dict[int, list[KeptImage]]:
        return {each: [exemplar.image for exemplar in self.exemplars(each, "top", n)] for each in self.feature_ids()}

    def feature_ids(self) -> list[int]:
        return sorted(feature_id for feature_id, kinds in self.exemplars_of.items() if kinds.get("top"))

    def picture(self, image: KeptImage) -> Image.Image:
        return self.pictures[image.image_id]

    def nearest(self, feature_id: int) -> Sequence[tuple[int, float]]:
        return self.nearest_of.get(feature_id, ())

    def background(self, n: int) -> list[KeptImage]:
        return self.images[:n]

    def _keep(self, picture: Image.Image, grid: Grid, source_id: str) -> KeptImage:
        image = kept_image(picture, grid, source_id)
        self.pictures[image.image_id] = picture
        return image
