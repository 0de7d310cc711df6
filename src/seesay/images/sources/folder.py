"""A folder of image files."""

import logging
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import final

from seesay.errors import UnreadableImages
from seesay.images.decoding import suffixes
from seesay.images.sources.contents import File, digest, digest_of_files, printable
from seesay.images.sources.shuffling import Permuted
from seesay.images.sources.source import Entry

_LOG = logging.getLogger(__name__)


@final
class Folder:
    """The image files in a folder and in the folders within it, sorted by their relative paths, which are their ids.

    Files are told by their suffix. Hidden files and folders are left out, and so is what a symbolic link shows of
    other places: links to folders, and to files outside.

    Args:
        path: the folder.

    Raises:
        UnreadableImages: no folder, one that cannot be read, or one without images.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._root = _resolved(path)
        links: list[Path] = []
        self._paths = sorted(image_files(self._root, links), key=lambda file: printable(file.as_posix()))
        self.n_images = len(self._paths)
        if links:
            _LOG.warning("%s: left out what %d links show of other places, such as %s", path, len(links), links[0])
        if not self._paths:
            raise UnreadableImages(
                f"no images in {path}",
                expected="files that end in .jpg, .png or another suffix that Pillow reads, hidden ones and links to "
                "other places not counted",
            )

    @property
    def fingerprint(self) -> str:
        """Of all names and contents: reads every file, large ones in part."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        named = ((printable(path.as_posix()), self._root / path) for path in self._paths)
        return digest("folder", digest_of_files(named))

    def entry(self, position: int) -> Entry:
        """The image at a position."""
        path = self._paths[position]
        return Entry(position, printable(path.as_posix()), File(self._root / path))

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Its images, sorted by path."""
        return map(self.entry, range(start, self.n_images))

    def shuffled(self, seed: int) -> Permuted:
        """Its images in random order."""
        return Permuted(self, seed)


def image_files(root: Path, links: list[Path] | None = None) -> Iterator[Path]:
    """The image files below a folder that symbolic links do not lead out of, relative to it, in no order.

    Args:
        root: the folder, itself no symbolic link.
        links: takes the links that are left out, to folders and to files outside.

    Raises:
        UnreadableImages: a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UnreadableImages(f"cannot read {error.filename}: {error.strerror}", expected="a readable folder")

    known = suffixes()
    for folder, inner, names in os.walk(root, onerror=refuse):
        inner[:] = [name for name in inner if not name.startswith(".")]
        left_out = [path for name in inner if (path := Path(folder, name)).is_symlink()]
        for name in names:
            path = Path(folder, name)
            # A file, since a pipe would be waited for without end.
            if name.startswith(".") or path.suffix.lower() not in known or not path.is_file():
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                left_out.append(path)
            else:
                yield path.relative_to(root)
        if links is not None:
            links += left_out


def _resolved(path: Path) -> Path:
    if not path.is_dir():
        raise UnreadableImages(f"no folder {path}", expected="a folder of images")
    return path.resolve()
