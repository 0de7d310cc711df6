"""Images as a run keeps them: WebP files named by the hash of the original's pixels."""

import io
import os
import re
from collections.abc import Collection
from pathlib import Path
from threading import get_ident
from typing import final

from PIL import Image

from seesay.errors import UnreadableImage, UnusablePath
from seesay.files import unwritable
from seesay.images.decoding import decode

LARGEST_SIDE = 512
_LOSSLESS_UP_TO = 128
"""Small pictures lose what they show when they are compressed, and take no room when they are not."""

_QUALITY = 90
_HASH = re.compile(r"[0-9a-f]{64}")
_OURS = re.compile(r"[0-9a-f]{64}\.webp|\.[0-9a-f]{64}\.webp\.[0-9-]+\.tmp")


@final
class Thumbnails:
    """The images of a run, each kept once.

    Args:
        folder: of theirs; made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, pixel_hash: str) -> Path:
        """Where an image is kept.

        Args:
            pixel_hash: of the original.

        Raises:
            UnusablePath: that is no hash; it may have come from outside.
        """
        if not isinstance(pixel_hash, str) or not _HASH.fullmatch(pixel_hash):  # pyright: ignore[reportUnnecessaryIsInstance] (a database may hold anything)
            raise UnusablePath(f"an image called {pixel_hash!r}", expected="the hash of its pixels, 64 hex digits")
        return self._folder / pixel_hash[:2] / f"{pixel_hash}.webp"

    def write(self, pixel_hash: str, image: Image.Image) -> None:
        """Keep an image, no larger than `LARGEST_SIDE`; one that is there already is left alone. Threads may do so.

        Args:
            pixel_hash: of the image.
            image: RGB.

        Raises:
            UnusablePath: it cannot be written.
        """
        path = self.path(pixel_hash)
        if path.exists():
            return
        data = _encoded(image)
        aside = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                aside.write_bytes(data)
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(path, error.strerror or str(error)) from error

    def read(self, pixel_hash: str) -> Image.Image:
        """Read an image.

        Args:
            pixel_hash: of the original.

        Raises:
            UnusablePath: that is no hash.
            UnreadableImage: it is missing or damaged.
        """
        return decode(self.path(pixel_hash))

    def content(self, pixel_hash: str) -> bytes:
        """What an image's file holds.

        Args:
            pixel_hash: of the original.

        Raises:
            UnusablePath: that is no hash.
            UnreadableImage: it is missing.
        """
        path = self.path(pixel_hash)
        try:
            return path.read_bytes()
        except OSError as error:
            raise UnreadableImage(f"{path}: {error.strerror or error}") from error

    def keep_only(self, pixel_hashes: Collection[str]) -> None:
        """Remove all others, and what a killed process left half written."""
        wanted = {f"{pixel_hash}.webp" for pixel_hash in pixel_hashes}
        # Nothing but what looks like ours is removed, and no link is followed: the folder may be a stranger's.
        for folder in self._folder.glob("??"):
            if not folder.is_symlink():
                for path in folder.glob("*"):
                    if _OURS.fullmatch(path.name) and path.name not in wanted and path.is_file():
                        path.unlink(missing_ok=True)


def _encoded(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    buffer = io.BytesIO()
    is_small = max(image.size) <= _LOSSLESS_UP_TO
    small.save(buffer, "WEBP", lossless=is_small, quality=_QUALITY, method=0 if is_small else 2)
    return buffer.getvalue()
