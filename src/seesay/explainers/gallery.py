"""What explainers know of features besides their directions: a seam that a run fills."""

from collections.abc import Sequence
from typing import Protocol, final, runtime_checkable

from PIL import Image

from seesay.errors import InvalidSetting
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.explainers.config import Selection


@runtime_checkable
class Gallery(Protocol):
    """Exemplars of the explaining half, and statistics."""

    def groups(self) -> Sequence[Sequence[int]]:
        """The features that may stand in for each other, group by group; none is in two."""
        ...

    def exemplars(self, feature_id: int, selection: Selection, n: int) -> list[Exemplar]:
        """A feature's exemplars, at most so many; empty if nothing activates it."""
        ...

    def picture(self, image: KeptImage) -> Image.Image:
        """An image, at whatever size."""
        ...

    def max_activation(self, feature_id: int) -> float | None:
        """A feature's largest activation; None where nothing was counted, 0 if it was never active."""
        ...

    def mean_image(self, size: int) -> Image.Image:
        """The mean of the images, of so many pixels a side."""
        ...


@final
class NoImages:
    """A gallery without any, for steering alone.

    Args:
        feature_ids: that may stand in for each other.
    """

    def __init__(self, feature_ids: Sequence[int]) -> None:
        self._feature_ids = tuple(feature_ids)

    def groups(self) -> Sequence[Sequence[int]]:
        """All of them together."""
        return (self._feature_ids,)

    def exemplars(self, feature_id: int, selection: Selection, n: int) -> list[Exemplar]:
        """None.

        Raises:
            InvalidSetting: always.
        """
        raise _needs_a_run("exemplars")

    def picture(self, image: KeptImage) -> Image.Image:
        """None.

        Raises:
            InvalidSetting: always.
        """
        raise _needs_a_run("exemplars")

    def max_activation(self, feature_id: int) -> float | None:
        """Unknown."""
        return None

    def mean_image(self, size: int) -> Image.Image:
        """None.

        Raises:
            InvalidSetting: always.
        """
        raise _needs_a_run("a mean image")


def _needs_a_run(what: str) -> InvalidSetting:
    return InvalidSetting(f"{what}, without a run", expected="a run that is collected", remedy="seesay collect first")
