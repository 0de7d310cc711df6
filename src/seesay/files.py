"""Writing files and folders whole or not at all: aside first, then a rename."""

import errno
import fcntl
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
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # names of files may hold bytes that are no text: JSON has an escape for them, UTF-8 has not
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


DAMAGE = (
    OSError, KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError
)  # fmt: skip
"""What comes of reading what a stranger has written, if it is not what it should be."""


def from_json(text: str) -> Any:
    """Read plain data from JSON, which may be a stranger's.

    Args:
        text: of the file.

    Raises:
        ValueError: it is none, or holds what JSON has no words for: NaN and infinity.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} in JSON")


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
        UnusablePath: if a folder cannot be made or put there, or somebody else is filling one for the same place.
    """
    aside, before = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.before")
    with _locked(aside, path):
        try:
            for left_over in (*aside.iterdir(), before):  # by a run that was killed
                _remove(left_over)
        except OSError as error:
            raise unwritable(path, error.strerror or str(error)) from error
        yield aside
        _put(aside, path, before)


@contextmanager
def _locked(aside: Path, path: Path) -> Generator[None]:
    """Make a folder, and keep everybody else from filling it; the lock goes along with it wherever it is renamed to."""
    try:
        aside.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    try:
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it before may have put the folder in its place, or away, in between.
            is_free = aside.is_dir() and os.path.samestat(os.fstat(descriptor), aside.stat())
        except BlockingIOError:
            is_free = False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise unwritable(path, f"it cannot be locked: {error.strerror}") from error
            is_free = True
        if not is_free:
            raise UnusablePath(f"another process is writing {path}", remedy="wait for it, or give another folder")
        yield
    finally:
        os.close(descriptor)


_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that do not lock folders, as networks' do not: there nobody is kept away."""


def _remove(left_over: Path) -> None:
    if left_over.is_dir() and not left_over.is_symlink():
        shutil.rmtree(left_over)
    else:
        left_over.unlink(missing_ok=True)


def _put(aside: Path, path: Path, before: Path) -> None:
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
