"""Pictures of the embedded world as a source of images, without end and without files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

from PIL import Image

from seesay.errors import UnreadableImages
from seesay.images.decoding import pixel_hash
from seesay.images.sources.contents import digest
from seesay.images.sources.shuffling import Permuted
from seesay.images.sources.source import Entry
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import RANGES, Stream, seeds

_STREAM: Stream = "images"
_NAME = re.compile(r"world:([0-9]{1,13})(?:@([0-9]{1,13}))?")
_MOST = 1_000_000_000  # pictures at once, whose order must fit into memory to be shuffled
_N_SAMPLES = 4  # pictures whose pixels go into the fingerprint


@final
class Pictures:
    """Some pictures of the world, as a rule from a stream of seeds of their own: nothing was trained or judged on it.

    Args:
        n_images: how many, at least one.
        first: number of the first one in the stream.
        stream: which one.
    """

    def __init__(self, n_images: int, first: int = 0, *, stream: Stream = _STREAM) -> None:
        self.n_images, self._first, self._stream = n_images, first, stream
        self._seeds = seeds(stream, first, n_images)
        self.name = f"world:{n_images}" + (f"@{first}" if first else "")

    @property
    def fingerprint(self) -> str:
        """Of the seeds, and of a few pictures: another way of drawing makes other images."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        drawn = [self.entry(self.n_images * n // _N_SAMPLES).read() for n in range(_N_SAMPLES)]
        return digest("world", self._stream, str(self._first), str(self.n_images), *map(pixel_hash, drawn))

    def entry(self, position: int) -> Entry:
        """The picture at a position; its id is the stream's name and its number there."""
        return Entry(position, f"{self._stream}/{self._first + position}", _Picture(self._seeds[position]))

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """The pictures, in the order of their seeds."""
        return map(self.entry, range(start, self.n_images))

    def shuffled(self, seed: int) -> Permuted:
        """The pictures in random order."""
        return Permuted(self, seed)


def pictures(name: str) -> Pictures:
    """The pictures of a name.

    Args:
        name: `world:4000` for the first 4000, `world:4000@5000` for as many from number 5000 on.

    Raises:
        UnreadableImages: any other name, no pictures at all, more than there are, or more than 1 000 000 000.
    """
    parts = _NAME.fullmatch(name)
    n_images, first = (int(parts[1]), int(parts[2] or 0)) if parts else (0, 0)
    if not n_images or first + n_images > len(RANGES[_STREAM]):
        raise UnreadableImages(
            f"no images named {name!r} in the world",
            expected="world:4000 for 4000 pictures, or world:4000@5000 for as many from number 5000 on",
        )
    if n_images > _MOST:
        raise UnreadableImages(
            f"{n_images} images of the world at once",
            expected=f"at most {_MOST}",
            remedy=f"name world:{_MOST} or fewer",
        )
    return Pictures(n_images, first)


@final
@dataclass(frozen=True)
class _Picture:
    seed: int

    def image(self, name: str) -> Image.Image:
        """Draw it; it has no file that could be damaged, so its name is not needed."""
        return render(sample(self.seed)).image
