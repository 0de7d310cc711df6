"""Writing files and folders whole or not at all: aside first, then a rename."""

import json
import os
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seesay.errors import UnusablePath


def to_json(content: Any) -> str:
    """Plain data as JSON text.

    Args:
        content: no NaN or infinity in it, which JSON does not have.
    """
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON.

    Args:
        path: the file; replaced if it is there. A device or pipe is written to as it is.
        content: no NaN or infinity in it.

    Raises:
        UnusablePath: if the file cannot be written.
    """
    write_text(path, [to_json(content)])


def write_text(path: Path, pieces: Iterable[str]) -> None:
    """Write a text.

    Args:
        path: the file; replaced if it is there. A device or pipe is written to as it is.
        pieces: of the text, which may be made while it is written.

    Raises:
        UnusablePath: if the file cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            _fill(path, pieces)
        else:
            _replace(path.resolve(), pieces)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def _replace(path: Path, pieces: Iterable[str]) -> None:
    # a name of our own instead of tempfile's, which would leave the file readable by its owner alone
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _fill(temporary, pieces)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _fill(path: Path, pieces: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(pieces)


def unwritable(path: Path, reason: str) -> UnusablePath:
    """The error for a file that cannot be written."""
    return UnusablePath(f"cannot write {path}: {reason}", expected="room, and a place where you may write")


@contextmanager
def replaced_folder(path: Path) -> Generator[Path]:
    """Fill a folder that takes the place of another once it is whole.

    Args:
        path: the folder; what it held before is gone afterwards.

    Yields:
        An empty folder beside it, to be filled.

    Raises:
        UnusablePath: if a folder cannot be made or put there.
    """
    aside, before = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.before")
    try:
        for left_over in (aside, before):  # by a run that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        aside.mkdir(parents=True)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    yield aside
    try:
        for written in [*aside.rglob("*"), aside]:
            if written.is_file():
                make_readable(written)
            sync(written)
        # Folders cannot be exchanged in one step: a kill in between leaves no folder, but never half of one.
        if path.exists():
            path.rename(before)
        aside.rename(path)
        sync(path.parent)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def make_readable(path: Path) -> None:
    """Give a file the permissions that others of this user have: some writers leave it to its owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that a rename after it never shows what is not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
