"""What every source of images has: a name, an identity, and its images one after another in a fixed order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from PIL import Image


@runtime_checkable
class Content(Protocol):
    """Where one image's pixels are: small, frozen and picklable, so that any thread or process can read them."""

    def image(self, name: str) -> Image.Image:
        """Read the image as RGB.

        Args:
            name: what to call it if it cannot be read.

        Raises:
            UnreadableImage: it cannot be read.
        """
        ...


@final
@dataclass(frozen=True)
class Entry:
    """One image of a source, not read yet.

    Args:
        position: its place in the source's order, from 0.
        id: its name in the source, the same in whatever order it comes.
        content: where its pixels are.
    """

    position: int
    id: str
    content: Content

    def read(self) -> Image.Image:
        """Read the image as RGB, upright.

        Raises:
            UnreadableImage: it is missing, damaged, or of a kind that cannot be turned into RGB.
        """
        return self.content.image(self.id)


@runtime_checkable
class ImageSource(Protocol):
    """A source of images.

    Two sources of the same fingerprint have the same images under the same ids in the same order.
    """

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash that changes when its images do; worked out when first asked for, which may read files."""
        ...

    @property
    def n_images(self) -> int | None:
        """How many images it has, the unreadable ones among them; None where only a full pass would tell."""
        ...

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Its images in order.

        Args:
            start: the position to begin at; those before it are not read. None are left beyond the end.

        Raises:
            UnreadableImages: on the way, where what holds the images turns out to be damaged or out of reach.
        """
        ...

    def shuffled(self, seed: int) -> "ImageSource":
        """The same images in another order, the same for the same seed.

        A source with a length is shuffled as a whole. One without is shuffled within a buffer of entries, and to
        start in the middle of it goes through all entries before.
        """
        ...


@runtime_checkable
class IndexedSource(ImageSource, Protocol):
    """A source with a length, whose images can be had in any order."""

    @property
    def n_images(self) -> int:
        """How many images it has, the unreadable ones among them."""
        ...

    def entry(self, position: int) -> Entry:
        """One of its images.

        Args:
            position: its place in the source's order, from 0.
        """
        ...
