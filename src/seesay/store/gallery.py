"""A run as explainers look at it: exemplars of the explaining half, and statistics."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any, final, get_args

from PIL import Image

from seesay.errors import InvalidSetting
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.explainers.config import Selection
from seesay.images.blank import mean_image
from seesay.records import Split
from seesay.store.exemplars import exemplars, with_exemplars
from seesay.store.run import Run

_N_CACHED = 512
_N_AVERAGED = 2000
"""Images of which the mean is taken, the first ones by the hash of their pixels: a fair sample."""


@final
class RunGallery:
    """The features of a run.

    Args:
        run: may be a stranger's.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._read = lru_cache(_N_CACHED)(run.thumbnails.read)

    def __reduce__(self) -> tuple[Any, ...]:
        return RunGallery, (self._run,)

    def groups(self) -> Sequence[Sequence[int]]:
        """The features with exemplars, validation and test ones apart, so that what is judged is never looked at."""
        return [explainable(self._run, split) for split in get_args(Split)]

    def exemplars(self, feature_id: int, selection: Selection, n: int) -> list[Exemplar]:
        """A feature's exemplars: the most activating ones; or of every quantile in turn, the most active first.

        Raises:
            FeatureNotFound: the run has no such feature.
            UnusablePath: what it says is damaged.
        """
        if selection == "top":
            return exemplars(self._run, feature_id, "explaining", "top", n)
        found = exemplars(self._run, feature_id, "explaining", "quantile")
        quantiles = sorted({each.quantile for each in found if each.quantile is not None}, reverse=True)
        strata = [[each for each in found if each.quantile == quantile] for quantile in quantiles]
        return [each for some in zip_longest(*strata) for each in some if each is not None][:n]

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

    def max_activation(self, feature_id: int) -> float | None:
        """A feature's largest activation, if images were collected.

        Raises:
            UnusablePath: what the run says is damaged.
        """
        rows = self._run.rows("SELECT max_activation FROM features WHERE feature_id = ?", (feature_id,))
        if not rows:
            return None
        ((largest,),) = rows
        if not isinstance(largest, float) or not math.isfinite(largest):
            raise self._run.damaged(f"the largest activation of feature {feature_id}", ValueError(repr(largest)))
        return largest

    def pictures(self, n: int) -> list[Image.Image]:
        """The thumbnails of some explaining images, the first ones by the hash of their pixels: a fair sample.

        Args:
            n: how many at most.

        Raises:
            UnreadableImage: one is missing or damaged.
        """
        query = "SELECT pixel_hash FROM images WHERE part = 'explaining' ORDER BY pixel_hash LIMIT ?"
        return [self._run.thumbnails.read(pixel_hash) for (pixel_hash,) in self._run.rows(query, (n,))]

    def mean_image(self, size: int) -> Image.Image:
        """The mean of the explaining images that are kept.

        Raises:
            InvalidSetting: there are none.
        """
        query = "SELECT pixel_hash FROM images WHERE part = 'explaining' ORDER BY pixel_hash LIMIT ?"
        hashes = [pixel_hash for (pixel_hash,) in self._run.rows(query, (_N_AVERAGED,))]
        if not hashes:
            raise InvalidSetting(
                f"the mean of the images of {self._run.folder}, which has none",
                expected="a run that is collected",
                remedy="seesay collect first, or another --empty",
            )
        return mean_image((self._run.thumbnails.read(pixel_hash) for pixel_hash in hashes), size)


def explainable(run: Run, split: Split | None = None) -> list[int]:
    """The features that some image of the explaining half activates.

    Args:
        run: may be a stranger's.
        split: only those of one part; None for all.

    Raises:
        UnusablePath: what it says is damaged.
    """
    return with_exemplars(run, "explaining", split)
