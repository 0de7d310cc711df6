"""Search by meaning: how near features are to a phrase or a picture, by the images that activate them most."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, final

import numpy as np
from jaxtyping import Float32
from PIL import Image

from seesay.errors import FeatureNotFound, SeesayError, UnreadableImage
from seesay.images.decoding import decode, pixel_hash
from seesay.report.pictures import as_webp, thumbnail
from seesay.store.exemplars import best_images
from seesay.store.run import Run
from seesay.viewer.catalogue import Catalogue

if TYPE_CHECKING:
    from seesay.instruments.instrument import Embedder

Nearness = Callable[[int, int], float]
"""How near a feature is, by the number of the run and of the feature."""

_log = logging.getLogger(__name__)

_N_EXEMPLARS = 4
_AT_ONCE = 64
_N_REMEMBERED = 64
_SIDE = 320
_NOWHERE = -2.0
"""Less than any cosine: of a feature that no image activates, or whose images are not read yet."""


@final
class Meaning:
    """Where features are in a space of images and texts: at the mean of the images that activate each most.

    Images are taken whole. With all but the active patches painted over, phrases found the features that truly stand
    for them less well (measured on the embedded world's validation features), and each image would have to be read
    once for every feature.

    Args:
        catalogue: of the runs.
        load: gives the space, when it is first needed; that may take a while.

    Attributes:
        progress: how many images of how many are read.
    """

    def __init__(self, catalogue: Catalogue, load: "Callable[[], Embedder]") -> None:
        self._catalogue, self._load = catalogue, load
        self._loading, self._asking, self._keeping = threading.Lock(), threading.Lock(), threading.Lock()
        self._embedder: Embedder | None = None
        self._read: dict[str, Float32[np.ndarray, " dimension"]] = {}
        self._collected: dict[int, str] = {}
        self._means: dict[int, tuple[Sequence[int], Float32[np.ndarray, "feature dimension"]]] = {}
        self._brought: dict[str, bytes] = {}
        self._vector_of_text = lru_cache(_N_REMEMBERED)(self._embedded_text)
        self._vector_of_picture = lru_cache(_N_REMEMBERED)(self._embedded_picture)
        self.progress: tuple[int, int] = (0, 0)

    def refresh(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Read the images of runs that were collected since, each once.

        Args:
            is_stopped: asked between some of them.

        Raises:
            SeesayError: the space cannot be had, or what a run says is damaged.
        """
        for number, folder in enumerate(self._catalogue.folders):
            with Run.open(folder) as run:
                rows = run.rows("SELECT identity FROM stages WHERE name = 'collect'")
                collected = str(rows[0][0]) if rows else ""
                if self._collected.get(number) == collected:
                    continue
                found = {
                    feature_id: [each.pixel_hash for each in images]
                    for feature_id, images in best_images(run, "explaining", _N_EXEMPLARS).items()
                }
                self._read_images(run, {each for images in found.values() for each in images}, is_stopped)
            if is_stopped():
                return
            self._place(number, found)
            self._collected[number] = collected

    def near_text(self, text: str) -> Nearness:
        """How near features are to a phrase.

        Args:
            text: from outside.

        Raises:
            SeesayError: it cannot be embedded.
        """
        return self._near(self._vector_of_text(text))

    def near_picture(self, name: str) -> Nearness:
        """How near features are to a picture.

        Args:
            name: hash of its pixels: one that was brought, or that a run keeps.

        Raises:
            FeatureNotFound: there is no such picture.
            SeesayError: it cannot be embedded.
        """
        return self._near(self._read[name] if name in self._read else self._vector_of_picture(name))

    def bring(self, data: bytes) -> str:
        """Take a picture that features shall be near to.

        Args:
            data: a file's, from outside.

        Returns:
            Its name; it is known until some others were brought.

        Raises:
            UnreadableImage: it is none.
        """
        image = decode(data, "the picture")
        name, small = pixel_hash(image), as_webp(image, _SIDE)
        with self._keeping:
            self._brought[name] = small
            while len(self._brought) > _N_REMEMBERED:
                del self._brought[next(iter(self._brought))]
        return name

    def picture(self, name: str) -> bytes:
        """A picture that features are near to, as WebP.

        Args:
            name: as for `near_picture`.

        Raises:
            FeatureNotFound: there is none.
            UnusablePath: that is no hash.
        """
        if name in self._brought:
            return self._brought[name]
        for folder in self._catalogue.folders:
            with Run.open(folder) as run:
                try:
                    return thumbnail(run, name, _SIDE)
                except UnreadableImage:
                    continue
        raise FeatureNotFound("this picture", expected="one of a run, or one that was brought lately")

    def _near(self, vector: Float32[np.ndarray, " dimension"]) -> Nearness:
        found: Mapping[int, dict[int, float]] = {
            number: dict(zip(feature_ids, (means @ vector).tolist(), strict=True))
            for number, (feature_ids, means) in self._means.items()
        }
        return lambda number, feature_id: found.get(number, {}).get(feature_id, _NOWHERE)

    def _place(self, number: int, found: Mapping[int, Sequence[str]]) -> None:
        """The mean of unit vectors, whose product with another is the mean cosine."""
        kept = {each: vectors for each, names in found.items() if (vectors := self._known(names))}
        if kept:
            self._means[number] = list(kept), np.stack([np.mean(vectors, 0) for vectors in kept.values()])

    def _known(self, names: Sequence[str]) -> list[Float32[np.ndarray, " dimension"]]:
        return [self._read[name] for name in names if name in self._read]

    def _read_images(self, run: Run, names: set[str], is_stopped: Callable[[], bool]) -> None:
        left = sorted(names - self._read.keys())
        self.progress = 0, len(left)
        for start in range(0, len(left), _AT_ONCE):
            if is_stopped():
                return
            images = dict(_pictures(run, left[start : start + _AT_ONCE]))
            if images:
                self._read |= zip(images, self._vectors(list(images.values())), strict=True)
            self.progress = min(start + _AT_ONCE, len(left)), len(left)

    def _embedded_text(self, text: str) -> Float32[np.ndarray, " dimension"]:
        embedder = self._space()
        with self._asking:
            return embedder.embed_texts([text]).numpy()[0]

    def _embedded_picture(self, name: str) -> Float32[np.ndarray, " dimension"]:
        return self._vectors([decode(self.picture(name), name)])[0]

    def _vectors(self, images: Sequence[Image.Image]) -> Float32[np.ndarray, "image dimension"]:
        embedder = self._space()
        with self._asking:
            return embedder.embed_images(images).numpy()

    def _space(self) -> "Embedder":
        with self._loading:
            if self._embedder is None:
                self._embedder = self._load()
            return self._embedder


def _pictures(run: Run, names: Sequence[str]) -> list[tuple[str, Image.Image]]:
    """Those that can be read."""
    found: list[tuple[str, Image.Image]] = []
    for name in names:
        try:
            found.append((name, decode(thumbnail(run, name), name)))
        except SeesayError as error:
            _log.warning("%s", error)
    return found
