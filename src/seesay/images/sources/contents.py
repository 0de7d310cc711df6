"""Where pixels are kept, and hashes of what is kept there."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import final

from PIL import Image

from seesay.errors import UnreadableImage, UnreadableImages
from seesay.images.decoding import decode

_HASHED_WHOLE = 1 << 20  # bytes
_N_SAMPLES, _SAMPLE = 16, 1 << 16
_N_THREADS, _AT_ONCE = 8, 1024
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what ends a line or steers a terminal
_LARGEST = 1 << 30  # bytes; what is in an archive is read whole before it is decoded


@final
@dataclass(frozen=True)
class File:
    """An image in a file of its own."""

    path: Path

    def image(self, name: str) -> Image.Image:
        """Read it; see [seesay.images.sources.source.Content][]."""
        return decode(self.path, name)


@final
@dataclass(frozen=True)
class Part:
    """An image that is a part of a larger file.

    Args:
        path: the file.
        offset: where the image begins, in bytes.
        n_bytes: how long it is.
    """

    path: Path
    offset: int
    n_bytes: int

    def image(self, name: str) -> Image.Image:
        """Read it; see [seesay.images.sources.source.Content][]."""
        if self.n_bytes > _LARGEST:
            raise UnreadableImage(f"{name}: {self.n_bytes} bytes", expected=f"at most {_LARGEST}")
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                content = stream.read(self.n_bytes)
        except OSError as error:
            raise UnreadableImage(f"{name}: cannot read {self.path}: {error.strerror or error}") from error
        if len(content) < self.n_bytes:
            raise UnreadableImage(f"{name}: {self.path} ends within it", expected=f"{self.n_bytes} bytes")
        return decode(content, name)


@final
@dataclass(frozen=True)
class Held:
    """An image whose bytes are in memory already.

    Args:
        content: as in a file.
    """

    content: bytes = field(repr=False)

    def image(self, name: str) -> Image.Image:
        """Read it; see [seesay.images.sources.source.Content][]."""
        return decode(self.content, name)


def printable(name: str) -> str:
    r"""A name as a line of text that can be written anywhere.

    Bytes that are no UTF-8, and characters that end a line or steer a terminal, are written out, as `\xe9` or `\n`.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def digest(*parts: str | bytes) -> str:
    """SHA-256 over some parts, each kept apart from the next."""
    state = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        state.update(len(content).to_bytes(8, "little") + content)
    return state.hexdigest()


def digest_of_files(files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 over names and contents, whenever and wherever the files were written.

    Of a file over 1 MiB only the size and 16 evenly spaced samples of 64 KiB count: an archive of a terabyte could not
    be read for it.

    Args:
        files: under which name each counts, and where it is.

    Raises:
        UnreadableImages: a file that cannot be read.
    """
    parts: list[str] = []
    with ThreadPoolExecutor(_N_THREADS) as pool:
        for some in _in_parts(files):  # a million files at once would be a million futures
            contents = pool.map(_digest_of_file, [path for _, path in some])
            parts += [part for (name, _), content in zip(some, contents, strict=True) for part in (name, content)]
    return digest(*parts)


def _in_parts(files: Iterable[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    rest = iter(files)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _digest_of_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            n_bytes = stream.seek(0, 2)
            if n_bytes <= _HASHED_WHOLE:
                stream.seek(0)
                return digest(stream.read())
            samples: list[bytes] = []
            for number in range(_N_SAMPLES):
                stream.seek((n_bytes - _SAMPLE) * number // (_N_SAMPLES - 1))
                samples.append(stream.read(_SAMPLE))
            return digest(str(n_bytes), *samples)
    except OSError as error:
        raise UnreadableImages(f"cannot read {path}: {error.strerror or error}", expected="a readable file") from error
