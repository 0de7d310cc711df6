"""The folder that an export goes to: written beside it and put there whole; what is no export is never replaced."""

import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from seesay import __version__
from seesay.errors import UnusablePath
from seesay.export.config import Format
from seesay.files import replaced_folder, unwritable, write_json

MARK = "export.json"
"""Says of a folder that it is an export, of which form, and which files belong to it."""

_MOST_BYTES = 64 << 20


def check_place(out: Path, form: Format) -> None:
    """Check that an export may go to a folder: one that is not there, or empty, or an earlier export and nothing else.

    Args:
        out: the folder.
        form: of the export.

    Raises:
        UnusablePath: it may not.
    """
    expected = "a folder that is not there, or is empty, or an earlier export of the same form"
    try:
        if out.exists() and not out.is_dir():
            raise UnusablePath(f"{out} is a file", expected=expected)
        held = _files_in(out) if out.is_dir() else set[str]()
    except OSError as error:
        raise unwritable(out, error.strerror or str(error)) from error
    if not held:
        return
    of, ours = _marked(out / MARK)
    if of is None:
        raise UnusablePath(f"{out} holds something else than an export", expected=expected, remedy="name another one")
    if of != form:
        raise UnusablePath(f"{out} is an export of the form {of}", expected=form, remedy="name another folder")
    others = sorted(held - ours - {MARK})
    if others:
        raise UnusablePath(
            f"{out} holds {others[0]} beside an export, which would be lost", expected=expected, remedy="move it away"
        )


@contextmanager
def exported(out: Path, form: Format) -> Generator[Path]:
    """Fill a folder that takes the place of `out` once it is whole; an error or Ctrl-C leaves everything as it was.

    Args:
        out: the folder.
        form: of the export.

    Yields:
        An empty folder beside it.

    Raises:
        UnusablePath: `check_place` refuses, or nothing can be written there.
    """
    check_place(out, form)
    with replaced_folder(out.resolve()) as folder:
        try:
            yield folder
            write_json(
                folder / MARK, {"made_by": "seesay", "version": __version__, "format": form, "files": sizes(folder)}
            )
        except OSError as error:  # a full disk
            shutil.rmtree(folder, ignore_errors=True)
            raise unwritable(out, error.strerror or str(error)) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def sizes(folder: Path) -> dict[str, int]:
    """The files of a folder.

    Args:
        folder: an export.

    Returns:
        Bytes, by the path within the folder.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _files_in(out: Path) -> set[str]:
    """All that a folder holds but folders; links are not followed."""
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_symlink() or not path.is_dir()}


def _marked(mark: Path) -> tuple[str | None, set[str]]:
    """The form of the export that a folder says to be, and the files that belong to it; None if it does not say so."""
    try:
        if not mark.is_file() or mark.stat().st_size > _MOST_BYTES:
            return None, set()
        said = json.loads(mark.read_text("utf-8"))
        is_ours = isinstance(said, dict) and said.get("made_by") == "seesay"
        return (str(said["format"]), set(map(str, said["files"]))) if is_ours else (None, set())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, set()
