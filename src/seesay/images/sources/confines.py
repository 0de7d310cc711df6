"""What a dataset's folder may name: only what is in it.

A folder that somebody else made is data, and must not make this machine fetch addresses or read its other files. So
what it names is looked at before `datasets` follows it, and what `datasets` found before any of it is read.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seesay.errors import UnreadableImages

_CARD, _SETTINGS = "README.md", ".huggingface.yaml"  # where `datasets` looks for what to read
SAVED_SPLITS, SAVED = "dataset_dict.json", "state.json"  # what `save_to_disk` leaves
_NAMING = ("configs", "data_files", "data_dir")


def is_within(path: Path, folder: Path) -> bool:
    """Whether a file is in a folder, wherever symbolic links lead.

    The hub's cache keeps a dataset's files beside the folders of its revisions, which link to them: they count as in
    them.

    Args:
        path: the file, there or not.
        folder: a folder.
    """
    try:
        file, root = path.resolve(), folder.resolve()
    except (OSError, ValueError, RuntimeError):  # no path at all, or links in a circle
        return False
    revisions = [each.parent for each in (root, *root.parents) if each.parent.name == "snapshots"]
    return any(file.is_relative_to(each) for each in (root, *(each.parent / "blobs" for each in revisions)))


def check_files(files: Iterable[object], folder: Path) -> None:
    """Check that the files that were found for a dataset are its own.

    Args:
        files: their paths.
        folder: the dataset's.

    Raises:
        UnreadableImages: an address, or a file outside.
    """
    for file in map(str, files):
        if "://" in file or not is_within(Path(file), folder):
            raise _outside(file, folder)


def check_card(folder: Path) -> None:
    """Check what a folder's card and settings name as the dataset's files.

    Args:
        folder: the dataset's.

    Raises:
        UnreadableImages: an address, a file outside, or text that cannot be read.
        ValueError: a damaged card.
    """
    import yaml
    from huggingface_hub import DatasetCard

    card, settings = folder / _CARD, folder / _SETTINGS
    if settings.exists() and not settings.is_file():  # a pipe would be waited for without end
        raise UnreadableImages(f"{settings} is no file", expected="settings in YAML", remedy="remove it")
    try:
        if card.is_file():
            _check_named(DatasetCard.load(card).data.to_dict(), folder)  # as `datasets` reads it
        if settings.is_file():
            _check_named(yaml.safe_load(settings.read_text("utf-8")), folder)
    except yaml.YAMLError as error:
        raise UnreadableImages(
            f"the card of {folder} is damaged: {error}", expected="YAML", remedy="mend it"
        ) from error


def check_saved(folder: Path) -> None:
    """Check what `save_to_disk` left in a folder: which splits and files it names.

    Args:
        folder: the dataset's.

    Raises:
        UnreadableImages: a file outside.
        OSError: a file that cannot be read.
        ValueError: a damaged one.
    """
    splits = list(_strings(_json(folder / SAVED_SPLITS)))
    _check_strings(splits, folder)
    for state in (folder, *(folder / split for split in splits)):
        _check_strings(_strings(_json(state / SAVED)), folder)


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def _check_named(settings: Any, folder: Path) -> None:
    if isinstance(settings, Mapping):
        for key in _NAMING:
            _check_strings(_strings(settings.get(key)), folder)


def _check_strings(names: Iterable[str], folder: Path) -> None:
    for name in names:
        parts = re.split(r"[/\\]", name)
        if "://" in name or ".." in parts or (len(parts) > 1 and (not parts[0] or parts[0].endswith(":"))):
            raise _outside(name, folder)


def _strings(value: Any) -> Iterator[str]:
    """All texts anywhere in what JSON or YAML can say."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.items():
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)


def _outside(name: str, folder: Path) -> UnreadableImages:
    return UnreadableImages(
        f"the dataset in {folder} names {name!r}, which is not in that folder",
        expected="files in it",
        remedy="copy them there, or leave the dataset if it is not yours",
    )
