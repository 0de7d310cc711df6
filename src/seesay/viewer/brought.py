"""Pictures that people bring: bounded before they are decoded, and kept in memory alone."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

from PIL import Image

from seesay.errors import Busy, FeatureNotFound
from seesay.images.decoding import decode, pixel_hash
from seesay.report.pictures import as_webp

LARGEST_FILE = 16 * 2**20
"""Bytes of a picture's file."""

MOST_PIXELS = 24_000_000
"""Of a picture, as its header tells: a small file may be a large picture."""

_MOST_KEPT, _MOST_PICTURES = 128 * 2**20, 64
_MOST_WAITING = 12
_SIDE = 480


@final
class Brought:
    """The pictures that were brought last, by the hash of their pixels.

    Kept is the file, so that whoever is shown a picture sees the same as if it were given on the command line. One
    thread decodes them, one after the other: each may take some hundred megabytes, which a process seldom gives back
    for each of its threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_waiting = 0
        self._files: dict[str, bytes] = {}
        self._small: dict[str, bytes] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")

    async def bring(self, data: bytes) -> str:
        """Take a picture, without keeping a thread while others are taken; see `take`.

        Args:
            data: a file's, from outside, of at most `LARGEST_FILE`.

        Raises:
            UnreadableImage: it is none, or too large a one.
            Busy: too many wait already.
        """
        return await asyncio.wrap_future(self._taken(data))

    def take(self, data: bytes) -> str:
        """Take a picture.

        Args:
            data: a file's, from outside, of at most `LARGEST_FILE`.

        Returns:
            Its name; it is known until many others were brought.

        Raises:
            UnreadableImage: it is none, or too large a one.
            Busy: too many wait already.
        """
        return self._taken(data).result()

    def image(self, name: str) -> Image.Image:
        """A picture as it is.

        Args:
            name: as it was given, from outside.

        Raises:
            FeatureNotFound: there is none.
        """
        return decode(_known(self._files, name), "the picture")

    def small(self, name: str) -> bytes:
        """A picture small enough for a page, as WebP.

        Args:
            name: as it was given, from outside.

        Raises:
            FeatureNotFound: there is none.
        """
        return _known(self._small, name)

    def _taken(self, data: bytes) -> "Future[str]":
        with self._lock:
            if self._n_waiting >= _MOST_WAITING:
                raise Busy(
                    f"{self._n_waiting} pictures wait to be looked at", expected="fewer", remedy="bring it again soon"
                )
            self._n_waiting += 1
        found = self._pool.submit(self._decoded, data)
        found.add_done_callback(self._is_done)
        return found

    def _is_done(self, _done: "Future[str]") -> None:
        with self._lock:
            self._n_waiting -= 1

    def _decoded(self, data: bytes) -> str:
        image = decode(data, "the picture", most_pixels=MOST_PIXELS)
        name, small = pixel_hash(image), as_webp(image, _SIDE)
        with self._lock:
            self._files.pop(name, None)
            self._files[name], self._small[name] = data, small
            while len(self._files) > _MOST_PICTURES or sum(map(len, self._files.values())) > _MOST_KEPT:
                oldest = next(iter(self._files))
                del self._files[oldest], self._small[oldest]
        return name


def _known(files: Mapping[str, bytes], name: str) -> bytes:
    found = files.get(name)
    if found is None:
        raise FeatureNotFound("this picture", expected="one that was brought lately", remedy="bring it again")
    return found
