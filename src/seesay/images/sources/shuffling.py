"""Other orders of a source's images, which stay the same for ever.

Random numbers come straight from numpy's bit generator: its stream is promised not to change between versions, what
numpy makes of it (`permutation`, `shuffle`) is not, and a run must be able to go on after an update.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import final

import numpy as np
from jaxtyping import Int64

from seesay.images.sources.contents import digest
from seesay.images.sources.source import Entry, ImageSource, IndexedSource


def permutation(n: int, seed: int) -> Int64[np.ndarray, " n"]:
    """The numbers from 0 to `n - 1` in random order.

    Args:
        n: how many.
        seed: same seed, same order.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")


@final
class Permuted:
    """A source with a length, in random order.

    Args:
        source: has the images.
        seed: of the order.
    """

    def __init__(self, source: IndexedSource, seed: int) -> None:
        self._source, self._seed = source, seed
        self._order = permutation(source.n_images, seed)
        self.name = source.name
        self.n_images = source.n_images

    @property
    def fingerprint(self) -> str:
        """Of the source's fingerprint and the seed."""
        return digest("permuted", self._source.fingerprint, str(self._seed))

    def entry(self, position: int) -> Entry:
        """The image at a position of the random order."""
        return replace(self._source.entry(int(self._order[position])), position=position)

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Its images in random order."""
        return map(self.entry, range(start, self.n_images))

    def shuffled(self, seed: int) -> "Permuted":
        """Its images in another order still."""
        return Permuted(self, seed)


@final
class Buffered:
    """A source without a length, shuffled within a buffer that slides over it.

    To start at a position it goes through all entries before it, which for a streamed dataset means reading them
    again.

    Args:
        source: has the images.
        seed: of the order.
        buffer_size: how many entries are waiting, one of which is drawn at random each time.
    """

    def __init__(self, source: ImageSource, seed: int, buffer_size: int) -> None:
        self._source, self._seed, self._buffer_size = source, seed, buffer_size
        self.name = source.name
        self.n_images = source.n_images

    @property
    def fingerprint(self) -> str:
        """Of the source's fingerprint, the seed and the buffer's size."""
        return digest("buffered", self._source.fingerprint, str(self._seed), str(self._buffer_size))

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Its images in the shuffled order."""
        placed = (replace(entry, position=position) for position, entry in enumerate(self._drawn()))
        return islice(placed, start, None)

    def shuffled(self, seed: int) -> "Buffered":
        """Its images in another order still."""
        return Buffered(self, seed, self._buffer_size)

    def _drawn(self) -> Iterator[Entry]:
        bits = np.random.PCG64(self._seed)
        coming = self._source.entries()
        waiting = list(islice(coming, self._buffer_size))
        for entry in coming:
            chosen = bits.random_raw() % len(waiting)
            yield waiting[chosen]
            waiting[chosen] = entry
        # the last ones go out in random order too
        while waiting:
            yield waiting.pop(bits.random_raw() % len(waiting))
