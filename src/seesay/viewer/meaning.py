"""Search by meaning: how near features are to a phrase or a picture, by the images that activate them most."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, final

import numpy as np
from jaxtyping import Float32
from PIL import Image

from seesay.errors import FeatureNotFound, SeesayError, UnreadableImage, UnusablePath
from seesay.images.decoding import decode
from seesay.report.pictures import thumbnail
from seesay.store.exemplars import best_images
from seesay.store.run import Run
from seesay.viewer.brought import Brought
from seesay.viewer.catalogue import Catalogue

if TYPE_CHECKING:
    from seesay.instruments.instrument import Embedder

Nearness = Callable[[int, int], float]
"""How near a feature is, by the number of the run and of the feature."""

_log = logging.getLogger(__name__)

_N_EXEMPLARS = 4
_AT_ONCE = 16
"""Images that are embedded together: few enough that whoever asks meanwhile, or ends the viewer, does not wait long."""
_EVERY_S = 5.0
"""How often features are placed while images are read."""
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
        brought: pictures of people's own.

    Attributes:
        version: another one whenever features were placed.
        progress: how many images of how many are read, of the run that is read last.
        brought: pictures of people's own.
    """

    def __init__(self, catalogue: Catalogue, load: "Callable[[], Embedder]", brought: Brought) -> None:
        self._catalogue, self._load, self.brought = catalogue, load, brought
        self._loading, self._asking = threading.Lock(), threading.Lock()
        self._embedder: Embedder | None = None
        self._read: dict[str, Float32[np.ndarray, " dimension"]] = {}
        self._collected: dict[int, Sequence[tuple[str, str]]] = {}
        self._wanted: dict[int, dict[int, list[str]]] = {}
        self._means: dict[int, tuple[Sequence[int], Float32[np.ndarray, "feature dimension"]]] = {}
        self._vector_of_text = lru_cache(_N_REMEMBERED)(self._embedded_text)
        self._vector_of_picture = lru_cache(_N_REMEMBERED)(self._embedded_picture)
        self.version = 0
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
                query = "SELECT identity, finished_at FROM stages WHERE name = 'collect' AND finished_at IS NOT NULL"
                collected = run.rows(query)
                if self._collected.get(number) == collected:
                    continue
                try:
                    best = best_images(run, "explaining", _N_EXEMPLARS)
                except UnusablePath as error:  # of one run, which keeps no other from being read
                    _log.warning("%s", error)
                    best = {}
                self._wanted[number] = {
                    feature_id: [each.pixel_hash for each in best[feature_id]] for feature_id in best
                }
                if not self._read_images(run, number, is_stopped):
                    return
            self._collected[number] = collected
        wanted = {name for of_run in self._wanted.values() for names in of_run.values() for name in names}
        self._read = {name: vector for name, vector in self._read.items() if name in wanted}

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
        read = self._read.get(name)
        return self._near(self._vector_of_picture(name) if read is None else read)

    def picture(self, name: str) -> bytes:
        """A picture that features are near to, as WebP.

        Args:
            name: as for `near_picture`.

        Raises:
            FeatureNotFound: there is none.
            UnusablePath: that is no hash.
        """
        with suppress(FeatureNotFound):
            return self.brought.small(name)
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

    def _place(self, number: int) -> None:
        """Features at the mean of unit vectors, whose product with another is the mean cosine, if all are read."""
        means = {
            feature_id: np.mean([self._read[name] for name in names], 0)
            for feature_id, names in self._wanted[number].items()
            if all(name in self._read for name in names)
        }
        self._means.pop(number, None)
        if means:
            self._means[number] = list(means), np.stack(list(means.values()))
        self.version += 1

    def _read_images(self, run: Run, number: int, is_stopped: Callable[[], bool]) -> bool:
        """Read the images of a run and place its features meanwhile; tell whether all was done."""
        left = sorted({name for names in self._wanted[number].values() for name in names} - self._read.keys())
        self.progress = 0, len(left)
        placed_at = time.monotonic()
        for start in range(0, len(left), _AT_ONCE):
            if is_stopped():
                return False
            some = left[start : start + _AT_ONCE]
            images = _pictures(run, some)
            if images:
                self._read |= zip(images, self._vectors(list(images.values())), strict=True)
            self.progress = start + len(some), len(left)
            if time.monotonic() - placed_at > _EVERY_S:
                self._place(number)
                placed_at = time.monotonic()
        self._wanted[number] = {  # what is left is damaged: features are placed by their others
            feature_id: readable
            for feature_id, names in self._wanted[number].items()
            if (readable := [name for name in names if name in self._read])
        }
        self._place(number)
        return True

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


def version_of(catalogue: Catalogue, meaning: Meaning | None) -> int:
    """Another number whenever what pages show may have changed.

    Args:
        catalogue: of the runs.
        meaning: where their features are; None if nobody knows.
    """
    return catalogue.version + (meaning.version if meaning else 0)


def _pictures(run: Run, names: Sequence[str]) -> dict[str, Image.Image]:
    """Those that can be read."""
    found: dict[str, Image.Image] = {}
    for name in names:
        try:
            found[name] = decode(thumbnail(run, name), name)
        except SeesayError as error:
            _log.warning("%s", error)
    return found
