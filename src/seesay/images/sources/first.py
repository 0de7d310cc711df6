"""The first images of a source."""

from collections.abc import Iterator
from itertools import islice
from typing import final

from seesay.images.sources.contents import digest
from seesay.images.sources.shuffling import Buffered, Permuted
from seesay.images.sources.source import Entry, ImageSource, IndexedSource

_BUFFER_SIZE = 1000  # entries, which may hold the bytes of their images


@final
class First:
    """The first images of a source, or all if it has fewer.

    Shuffled, they are still these images, not the first ones of the shuffled source.

    Args:
        source: has the images.
        n: how many of them, at least one.
    """

    def __init__(self, source: ImageSource, n: int) -> None:
        assert n >= 1, "a number that no caller may give"
        self._source, self._n = source, n
        self.name = f"{source.name}"
        self.n_images = None if source.n_images is None else min(n, source.n_images)

    @property
    def fingerprint(self) -> str:
        """Of the source's fingerprint and the number."""
        return digest("first", self._source.fingerprint, str(self._n if self.n_images is None else self.n_images))

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """The first images, in the source's order."""
        return islice(self._source.entries(start), max(0, self._n - start))

    def shuffled(self, seed: int) -> Permuted | Buffered:
        """The first images in random order: as a whole where any of them can be had, else within a buffer of 1000."""
        if isinstance(self._source, IndexedSource):
            return Permuted(_Indexed(self, self._source), seed)
        return Buffered(self, seed, _BUFFER_SIZE)


@final
class _Indexed:
    """The first images of a source whose images can be had in any order."""

    def __init__(self, first: First, source: IndexedSource) -> None:
        self._first, self._source = first, source
        self.name, self.n_images = first.name, min(first.n_images or 0, source.n_images)

    @property
    def fingerprint(self) -> str:
        return self._first.fingerprint

    def entry(self, position: int) -> Entry:
        return self._source.entry(position)

    def entries(self, start: int = 0) -> Iterator[Entry]:
        return self._first.entries(start)

    def shuffled(self, seed: int) -> Permuted | Buffered:
        return self._first.shuffled(seed)
