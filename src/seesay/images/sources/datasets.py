"""Hugging Face datasets: from the hub, or from a folder of parquet or arrow files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seesay.errors import UnreadableImages
from seesay.images.sources.columns import find_column, undecoded
from seesay.images.sources.confines import SAVED, SAVED_SPLITS, check_card, check_files, check_saved
from seesay.images.sources.contents import digest, digest_of_files
from seesay.images.sources.refusals import refusals
from seesay.images.sources.rows import Rows, StreamedRows, Table

_DEFAULT_SPLIT = "train"
_COMMIT_LENGTH = 40


@dataclass(frozen=True)
class Request:
    """Which images of which dataset are wanted.

    Args:
        dataset: its name on the hub, or its folder.
        config: which of a hub dataset's configurations; None where it has one or a default.
        split: None takes the only one, or `train`.
        column: None takes the one of images.
        id_column: whose values are the ids; if None, the ids are `split/number`.
        revision: a branch, tag or commit on the hub.
        streaming: fetch rows when they are needed instead of all beforehand.
    """

    dataset: str | Path
    config: str | None = None
    split: str | None = None
    column: str | None = None
    id_column: str | None = None
    revision: str | None = None
    streaming: bool = False

    @property
    def name(self) -> str:
        """The dataset and its configuration, as a person writes them."""
        return f"{self.dataset}:{self.config}" if self.config else str(self.dataset)


def open_dataset(request: Request) -> Rows | StreamedRows:
    """Open a dataset of the hub or of a folder.

    What `save_to_disk` wrote is mapped into memory where it lies, so it is never streamed. A folder's dataset is made
    of what is in that folder, whatever it names; see [seesay.images.sources.confines][].

    Args:
        request: which images of which dataset.

    Raises:
        UnreadableImages: a dataset that is missing, gated, out of reach, damaged or run by code of its own; a split
            or column that it does not have; no column of images, or several; a folder that names files of other places.
    """
    with refusals(request.name):
        place = request.dataset.resolve() if isinstance(request.dataset, Path) else None
        saved = place if place and any((place / mark).is_file() for mark in (SAVED_SPLITS, SAVED)) else None
        split, rows, identity = _saved(request, saved) if saved else _built(request, place)
        column = find_column(rows.features, request.column, request.name)
        if request.id_column and request.id_column not in rows.features:
            raise UnreadableImages(
                f"{request.name} has no column {request.id_column!r}", expected=" or ".join(rows.features)
            )
        table = Table(request.name, split, column, request.id_column, identity, place)
        rows = undecoded(rows, column)
    return StreamedRows(rows, table) if request.streaming and not saved else Rows(rows, table)


_Found = tuple[str, Any, str]  # the split's name, its rows, and a hash of their data


def _saved(request: Request, place: Path) -> _Found:
    import datasets

    check_saved(place)
    saved: Any = datasets.load_from_disk(str(place))
    splits = saved if hasattr(saved, "keys") else {str(saved.split or _DEFAULT_SPLIT): saved}
    split = _choose_split(request, splits)
    rows = splits[split]
    check_files((file["filename"] for file in rows.cache_files), place)
    return split, rows, _identity(file["filename"] for file in rows.cache_files)


def _built(request: Request, place: Path | None) -> _Found:
    import datasets

    if place is not None:
        check_card(place)
    # the whole path, lest a folder called `csv` is taken for one of the kinds that `datasets` knows
    path = str(place or request.dataset)
    builder: Any = datasets.load_dataset_builder(path, request.config, revision=request.revision)
    found = str(builder.hash)
    _check_revision(request, found)
    files = {str(name): paths for name, paths in (getattr(builder.config, "data_files", None) or {}).items()}
    if place is not None:
        check_files((file for paths in files.values() for file in paths), place)
    if request.streaming:
        split = _choose_split(request, files or builder.as_streaming_dataset())
        rows = builder.as_streaming_dataset(split=split)
    else:
        if files:
            _choose_split(request, files)  # before all is fetched
        builder.download_and_prepare()
        split = _choose_split(request, builder.info.splits or {})
        rows = builder.as_dataset(split=split)
    return split, rows, _identity(files[split]) if place is not None else digest(request.name, found)


def _identity(files: Iterable[str]) -> str:
    return digest_of_files((str(number), Path(file)) for number, file in enumerate(files))


def _check_revision(request: Request, found: str) -> None:
    """Offline, `datasets` takes whatever revision it has."""
    wanted = request.revision or ""
    if found != wanted and _is_commit(wanted) and _is_commit(found):
        raise UnreadableImages(
            f"{request.name}: only revision {found} is on this machine, and the hub cannot be reached",
            expected=f"revision {wanted}",
        )


def _is_commit(revision: str) -> bool:
    return len(revision) == _COMMIT_LENGTH and set(revision) <= set("0123456789abcdef")


def _choose_split(request: Request, splits: Iterable[Any]) -> str:
    names = [str(split) for split in splits]
    if request.split is None and len(names) == 1:
        return names[0]
    chosen = _DEFAULT_SPLIT if request.split is None else request.split
    if chosen in names:
        return chosen
    what = "several splits, and none is chosen" if request.split is None else f"no split {request.split!r}"
    raise UnreadableImages(
        f"{request.name} has {what}",
        expected=" or ".join(names) or "a dataset with splits",
        remedy="name one by --split (split=)",
    )
