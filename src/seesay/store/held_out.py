"""A run as scorers look at it: exemplars that no explainer was shown, by construction and checked once more."""

from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache, partial
from hashlib import blake2b
from typing import Any, final

from PIL import Image

from seesay.errors import LeakedImage
from seesay.exemplars.config import Kind, Part
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.scorers.config import Holding
from seesay.store.exemplars import best_images, exemplars, features, inactive_images, kept_image, with_exemplars
from seesay.store.run import Run

_N_CACHED = 2048
_N_IMAGES = 16384  # that are known by name and size, of some 500 bytes each
_N_LISTS = 1024  # of exemplars, which several scores ask for
_N_SHARED, _N_SHARED_FROM = 5, 10  # arXiv 2603.22593: five of the ten most activating images


@final
class RunHeldOut:
    """The features of a run.

    Args:
        run: may be a stranger's.
        holding: `held-out` looks at the scoring half alone; `shared`, the paper's habit, at five of the ten most
            activating images of the explaining half, whoever was shown them.
        shown: the images that explainers were shown; with `held-out`, one of them is never handed out.
    """

    def __init__(self, run: Run, holding: Holding = "held-out", shown: Collection[int] = ()) -> None:
        self._run, self._holding = run, holding
        self._shown = frozenset(shown)
        self._part: Part = "explaining" if holding == "shared" else "scoring"
        self._read = lru_cache(_N_CACHED)(run.thumbnails.read)
        self._image_of = lru_cache(_N_IMAGES)(partial(kept_image, run, part=self._part))
        self._found = lru_cache(_N_LISTS)(self._looked_up)

    def __reduce__(self) -> tuple[Any, ...]:
        return RunHeldOut, (self._run, self._holding, self._shown)

    def exemplars(self, feature_id: int, kind: Kind, n: int | None = None) -> list[Exemplar]:
        """A feature's exemplars of a kind, the best first.

        Raises:
            FeatureNotFound: the run has no such feature.
            LeakedImage: an explainer was shown one of them.
            UnusablePath: what the run says is damaged.
        """
        return list(self._found(feature_id, kind, n))

    def _looked_up(self, feature_id: int, kind: Kind, n: int | None) -> list[Exemplar]:
        if self._holding == "shared" and kind == "top":
            found = exemplars(self._run, feature_id, self._part, kind, _N_SHARED_FROM, image_of=self._image_of)
            drawn = sorted(found, key=lambda each: _chance("shared", feature_id, each.image.image_id))[:_N_SHARED]
            return sorted(drawn, key=lambda each: each.rank)[:n]
        found = exemplars(self._run, feature_id, self._part, kind, n, image_of=self._image_of)
        self._refuse_shown([each.image for each in found], f"feature {feature_id}")
        return found

    def best_images(self, n: int) -> dict[int, list[KeptImage]]:
        """The images of all features' exemplars of the kind `top`, the best first, at most so many of each.

        Raises:
            LeakedImage: an explainer was shown one of them.
            UnusablePath: what the run says is damaged.
        """
        if self._holding == "shared":  # a draw of each feature's own
            top = {feature_id: self.exemplars(feature_id, "top", n) for feature_id in self.feature_ids()}
            return {feature_id: [each.image for each in own] for feature_id, own in top.items()}
        found = best_images(self._run, self._part, n, image_of=self._image_of)
        for feature_id, images in found.items():
            self._refuse_shown(images, f"feature {feature_id}")
        return found

    def feature_ids(self) -> list[int]:
        """The features that some image of the half activates.

        Raises:
            UnusablePath: what the run says is damaged.
        """
        return with_exemplars(self._run, self._part)

    def picture(self, image: KeptImage) -> Image.Image:
        """An image's thumbnail.

        Raises:
            UnreadableImage: it is missing or damaged.
        """
        return self._read(image.pixel_hash)

    def thumbnail(self, image: KeptImage) -> bytes:
        """An image's thumbnail as it is kept, for those who read it elsewhere.

        Raises:
            UnreadableImage: it is missing.
        """
        return self._run.thumbnails.content(image.pixel_hash)

    def nearest(self, feature_id: int) -> Sequence[tuple[int, float]]:
        """The features whose directions are nearest, with the cosine, the nearest first."""
        return self._nearest.get(feature_id, ())

    @cached_property
    def _nearest(self) -> dict[int, Sequence[tuple[int, float]]]:
        # Few scores ask for it, and reading all features' statistics takes as long as scoring some hundred of them.
        return {each.feature_id: each.nearest for each in features(self._run)}

    def background(self, n: int) -> list[KeptImage]:
        """Images at random, out of those that stand for what does not activate a feature: of all features together.

        Raises:
            LeakedImage: an explainer was shown one of them.
            UnusablePath: what the run says is damaged.
        """
        images = sorted(inactive_images(self._run, self._part), key=lambda each: _chance("background", each.image_id))[
            :n
        ]
        self._refuse_shown(images, "any feature")
        return images

    def _refuse_shown(self, images: Sequence[KeptImage], of: str) -> None:
        if self._holding == "shared":
            return
        leaked = [each.image_id for each in images if each.image_id in self._shown]
        if leaked:
            raise LeakedImage(
                f"image {leaked[0]} of {self._run.folder} was shown to an explainer, and is to score {of}",
                expected="images that none was shown",
                remedy="make the run again, or ask for the paper's habit by --split shared",
            )


def _chance(*what: object) -> bytes:
    return blake2b(repr(what).encode(), digest_size=8, person=b"seesay-heldout").digest()
