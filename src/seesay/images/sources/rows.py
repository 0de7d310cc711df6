"""A Hugging Face dataset's rows as a source of images, on this machine or streamed.

Rows are fetched undecoded and decoded here, so that one bad image is one unreadable image and not the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from os.path import isfile
from pathlib import Path
from typing import Any, final

from PIL import Image

from seesay.errors import UnreadableImage, UnreadableImages
from seesay.images.decoding import decode
from seesay.images.sources.confines import is_within
from seesay.images.sources.contents import digest
from seesay.images.sources.refusals import reason, refusals
from seesay.images.sources.shuffling import Buffered, Permuted
from seesay.images.sources.source import Entry

_BUFFER_SIZE = 1000  # entries, which hold the bytes of their images
_ARCHIVES = frozenset({"zip", "tar", "gzip", "bz2", "xz", "zstd", "lz4"})  # a part of which an address may be


@dataclass(frozen=True)
class Table:
    """Which rows of which dataset.

    Args:
        dataset: its name with its configuration's, for people.
        split: the part of it.
        column: the one of images.
        id_column: whose values are the ids; they should be distinct. If None, the ids are `split/number`.
        identity: a hash of the data.
        folder: the dataset's on this machine, resolved; its rows may only point to files in it. None for the hub's.
    """

    dataset: str
    split: str
    column: str
    id_column: str | None
    identity: str
    folder: Path | None = None

    @property
    def name(self) -> str:
        """What to call the source."""
        return f"{self.dataset}[{self.split}]"

    @property
    def fingerprint(self) -> str:
        """Of the data, the split and the columns, however the rows are fetched."""
        return digest("rows", self.identity, self.split, self.column, self.id_column or "")


@final
class Rows:
    """A dataset whose rows are on this machine.

    Args:
        rows: a `datasets.Dataset` with its images undecoded.
        table: which it is.

    Raises:
        UnreadableImages: no rows.
    """

    def __init__(self, rows: Any, table: Table) -> None:
        self._table, self.name, self.n_images = table, table.name, len(rows)
        if not self.n_images:
            raise UnreadableImages(f"no images in {self.name}", expected="at least one row")
        self._rows = rows.select_columns([table.column])
        self._ids = rows.select_columns([table.id_column]) if table.id_column else None

    @property
    def fingerprint(self) -> str:
        """Of the data, the split and the columns."""
        return self._table.fingerprint

    def entry(self, position: int) -> Entry:
        """The image in a row."""
        table = self._table
        known = f"{table.split}/{position}" if self._ids is None else str(self._ids[position][table.id_column])
        return Entry(position, known, _Row(self._rows, position, table.column, table.folder))

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Its images, row after row."""
        return map(self.entry, range(start, self.n_images))

    def shuffled(self, seed: int) -> Permuted:
        """Its images in random order."""
        return Permuted(self, seed)


@final
class StreamedRows:
    """A dataset whose rows are fetched one after another, when they are needed.

    To start in the middle, `datasets` fetches the rows before it and drops them.

    Args:
        rows: a `datasets.IterableDataset` with its images undecoded.
        table: which it is.
    """

    n_images = None

    def __init__(self, rows: Any, table: Table) -> None:
        self._table, self.name = table, table.name
        self._rows = rows.select_columns([name for name in (table.column, table.id_column) if name])

    @property
    def fingerprint(self) -> str:
        """Of the data, the split and the columns; the same as when it is not streamed."""
        return self._table.fingerprint

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Its images, row after row; each entry holds its image's bytes."""
        table = self._table
        with refusals(self.name):
            for position, row in enumerate(self._rows.skip(start), start):
                known = str(row[table.id_column]) if table.id_column else f"{table.split}/{position}"
                yield Entry(position, known, _Value(row[table.column], table.folder))

    def shuffled(self, seed: int) -> Buffered:
        """Its images, shuffled within a buffer of 1000."""
        return Buffered(self, seed, _BUFFER_SIZE)


@final
@dataclass(frozen=True)
class _Row:
    rows: Any = field(repr=False, compare=False)  # mapped into memory; pickled as the paths of its files
    number: int
    column: str
    folder: Path | None

    def image(self, name: str) -> Image.Image:
        try:
            value = self.rows[self.number][self.column]
        except (OSError, ValueError) as error:  # arrow's errors are these
            raise UnreadableImage(f"{name}: {reason(error)}") from error
        return _Value(value, self.folder).image(name)


@final
@dataclass(frozen=True)
class _Value:
    value: Any = field(repr=False)  # bytes, a dictionary of `bytes` and `path`, or None
    folder: Path | None

    def image(self, name: str) -> Image.Image:
        content, path = self.value, None
        if isinstance(content, dict):
            content, path = self.value.get("bytes"), self.value.get("path")
        if content is None and path:
            return _at(path, name, self.folder)
        if not isinstance(content, bytes):
            raise UnreadableImage(f"{name}: no image in this row")
        return decode(content, name)


def _at(path: str, name: str, folder: Path | None) -> Image.Image:
    """Read an image that a row only points to: a file here, or a part of the hub's repository."""
    if "://" not in path:
        return decode(_file(path, name, folder), name)
    if folder is not None or not _is_on_hub(path):
        raise UnreadableImage(f"{name}: only an address: {path}", expected="the image itself")
    from datasets.utils.file_utils import xopen
    from huggingface_hub.errors import HTTPError

    try:
        with xopen(path, "rb") as stream:
            content = stream.read()
    except (OSError, ValueError, ImportError, HTTPError) as error:
        raise UnreadableImage(f"{name}: {reason(error)}") from error
    return decode(content, name)


def _is_on_hub(address: str) -> bool:
    *parts, last = address.split("::")
    return last.startswith("hf://") and all(part.partition("://")[0] in _ARCHIVES for part in parts)


def _file(path: str, name: str, folder: Path | None) -> Path:
    file = Path(path) if folder is None else folder / path
    if folder is not None and not is_within(file, folder):
        raise UnreadableImage(f"{name}: {path!r} is outside of the dataset's folder", expected=f"a file in {folder}")
    if not isfile(file):  # a pipe would be waited for without end
        raise UnreadableImage(f"{name}: no file {path!r}", expected="the image, or a file of it")
    return file
