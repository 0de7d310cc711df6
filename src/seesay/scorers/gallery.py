"""What scorers know of features: a seam that a run fills, with images that no explainer was shown."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from PIL import Image

from seesay.exemplars.config import Kind
from seesay.exemplars.exemplar import Exemplar, KeptImage


@runtime_checkable
class HeldOut(Protocol):
    """Exemplars of the scoring half, or of the shared ones where the paper's habit is asked for."""

    def exemplars(self, feature_id: int, kind: Kind, n: int | None = None) -> list[Exemplar]:
        """A feature's exemplars of a kind, the best first, at most so many; empty if there are none.

        Raises:
            LeakedImage: an explainer was shown one of them.
        """
        ...

    def best_images(self, n: int) -> Mapping[int, Sequence[KeptImage]]:
        """Of each feature with exemplars of the kind `top`, in order, the images of the best of them, at most so many.

        `exemplars` tells the same, feature by feature; but all features at once, without heatmaps, are soon read.

        Raises:
            LeakedImage: an explainer was shown one of them.
        """
        ...

    def feature_ids(self) -> Sequence[int]:
        """The features that have exemplars of the kind `top`, in order."""
        ...

    def picture(self, image: KeptImage) -> Image.Image:
        """An image, at whatever size."""
        ...

    def nearest(self, feature_id: int) -> Sequence[tuple[int, float]]:
        """The features whose directions are nearest, with the cosine, the nearest first."""
        ...

    def background(self, n: int) -> list[KeptImage]:
        """Images at random, the same ones for every feature; fewer if there are not so many.

        Raises:
            LeakedImage: an explainer was shown one of them.
        """
        ...
