"""WebDataset shards: images in tar archives, several files to a sample.

Archives are read where they are and nothing is unpacked. What members are called is only ever part of an id, whatever
path it spells.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby, islice
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import Any, final

from seesay.errors import UnreadableImages
from seesay.images.decoding import suffixes
from seesay.images.sources.contents import Part, digest, digest_of_files, printable
from seesay.images.sources.shuffling import Buffered, permutation
from seesay.images.sources.source import Entry

_BUFFER_SIZE = 10_000  # entries, which hold no pixels
_BLOCK = 512  # bytes, tar's unit


@final
class Shards:
    """The images of tar archives, one archive after another, in the order in which they are stored.

    Files of one sample share a key, which is a file's path up to the first dot of its name, and follow each other. A
    sample's image is the first of its files whose whole ending, after that dot, is an image's; `cat.seg.png` is taken
    only where there is no such file. Ids are the archive's path, relative to the folder that holds all of them, and
    the file's in it, with its ending, since a key may come again after another sample's. Where a file of the very same
    path comes again, which tar allows, its id ends in `#2`, the next one's in `#3`.

    Only a full pass tells how many there are. To start in the middle, the members before it are counted, not read.

    Args:
        name: what to call them.
        paths: the archives, uncompressed.

    Raises:
        UnreadableImages: no archive, one that is missing or no tar, or no image in any.
    """

    n_images = None

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name = name
        self._paths = tuple(paths)
        for path in self._paths:
            _check(path)
        self._root = Path(commonpath([path.parent for path in self._paths])) if self._paths else Path()
        if next(self.entries(), None) is None:
            raise UnreadableImages(f"no images in {name}", expected="tar archives with image files in them")

    @property
    def fingerprint(self) -> str:
        """Of the archives' names and contents, the latter in samples."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        # by name: the same archives under ids that were their samples' keys are another source
        return digest("shards by name", digest_of_files((self._id(path), path) for path in self._paths))

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Its images, archive after archive."""
        found = ((f"{self._id(path)}/{name}", part) for path in self._paths for name, part in _images(path))
        return (Entry(start + n, name, part) for n, (name, part) in enumerate(islice(found, start, None)))

    def shuffled(self, seed: int) -> Buffered:
        """Its images with the archives in random order, shuffled within a buffer of 10 000."""
        order = permutation(len(self._paths), seed)
        return Buffered(Shards(self.name, [self._paths[number] for number in order]), seed, _BUFFER_SIZE)

    def _id(self, path: Path) -> str:
        return printable(path.relative_to(self._root).as_posix())


def _check(path: Path) -> None:
    """Read an archive's first header."""
    for _ in _members(path):
        return


def _images(path: Path) -> Iterator[tuple[str, Part]]:
    known = suffixes()
    images = (member for member in _members(path) if member.isreg() and _is_image(member.name, known))
    seen: Counter[str] = Counter()
    for _, sample in groupby(images, key=lambda member: _split(member.name)[0]):
        chosen = min(sample, key=lambda member: _split(member.name)[1].count("."))  # the first of the least
        name = printable(chosen.name.removeprefix("./"))
        seen[name] += 1
        # no other file's name is like that: it would not end as an image's does
        numbered = name if seen[name] == 1 else f"{name}#{seen[name]}"
        yield numbered, Part(path, chosen.offset_data, chosen.size)


def _is_image(member_name: str, known: frozenset[str]) -> bool:
    name = PurePosixPath(member_name)
    return name.suffix.lower() in known and not name.name.startswith(".")


def _split(member_name: str) -> tuple[str, str]:
    """A member's key and ending, as WebDataset tells them apart."""
    folder, slash, name = member_name.removeprefix("./").rpartition("/")
    stem, dot, ending = name.partition(".")
    return folder + slash + stem, dot + ending


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    n_members = 0
    try:
        # "r:" takes no compressed archive: there is no way into the middle of one
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            reading: Any = archive
            for member in archive:
                n_members += 1
                yield member
                reading.members.clear()  # it would keep all of them, and there may be millions
            # a damaged header looks to tarfile as the end does, which is a block of zeros or nothing at all
            stream.seek(archive.offset)
            if any(stream.read(_BLOCK)):
                raise tarfile.ReadError("a damaged header")
    except (tarfile.TarError, ValueError, OverflowError) as error:  # the latter for numbers that cannot be
        if n_members:
            raise UnreadableImages(
                f"{path} is damaged after {n_members} files: {error}", remedy="get it again, or leave it out"
            ) from error
        raise UnreadableImages(
            f"{path} is no tar archive", expected="an uncompressed one", remedy="gunzip it first if it is compressed"
        ) from error
    except OSError as error:
        raise UnreadableImages(
            f"cannot read {path}: {error.strerror or error}", expected="a readable tar archive"
        ) from error
