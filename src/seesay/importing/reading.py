"""Files and folders of explanations that were made elsewhere into rows, whatever they are written in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seesay.errors import UnreadableWords
from seesay.importing.config import MOST_ROWS, Format, Reading
from seesay.importing.folders import PLACEHOLDER, rows_of_folders
from seesay.importing.rows import Row, checked_name
from seesay.importing.tables import rows_of_csv, rows_of_parquet
from seesay.texts import one_line

_FORMATS: Mapping[str, Format] = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


def format_of(path: Path, given: Format | None = None) -> Format:
    """What a path holds, by its ending.

    Args:
        path: a file or a folder.
        given: what it is said to hold; None if nobody does.

    Raises:
        UnreadableWords: there is nothing, or nobody can tell.
    """
    if not path.exists():
        raise UnreadableWords(f"no file or folder {path}", expected="explanations")
    if given is not None:
        return given
    if path.is_dir():
        return "folders"
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UnreadableWords(
            f"{path} ends in {path.suffix!r}", expected=".csv or .parquet", remedy="say what it is by --format"
        )
    return found


def placeholder_of(formats: Sequence[Format], reading: Reading) -> str | None:
    """The text that stands for no explanation, if there is one.

    Args:
        formats: of all that is read.
        reading: what was asked for.
    """
    return PLACEHOLDER if reading.placeholder is None and "folders" in formats else reading.placeholder


def rows_of(paths: Sequence[Path], formats: Sequence[Format], reading: Reading, layer: int | None) -> Iterator[Row]:
    """Read one path after another; each row comes out with a name.

    Args:
        paths: files and folders.
        formats: of each.
        reading: what is what.
        layer: the run's block; None if it is not known.

    Raises:
        UnreadableWords: something cannot be read, a row cannot be taken, or one name is given to words of several.
    """
    own, n_rows = "", 0
    for path, kind in zip(paths, formats, strict=True):
        usual = checked_name(one_line(path.resolve().stem) if reading.name is None else reading.name, str(path))
        for row in _read(path, kind, reading, layer):
            n_rows += 1
            if n_rows > MOST_ROWS:
                raise UnreadableWords(f"more than {MOST_ROWS} rows", expected="fewer", remedy="import some of them")
            if reading.name and row.name and own not in ("", row.name):
                raise UnreadableWords(
                    f"{row.place}: words of {row.name!r} after those of {own!r}, and --name {reading.name!r} for all",
                    expected="words of one, or no --name",
                )
            own = row.name or own
            yield replace(
                row, name=usual if reading.name else row.name or usual, control=row.control or reading.control
            )


def _read(path: Path, kind: Format, reading: Reading, layer: int | None) -> Iterator[Row]:
    match kind:
        case "csv":
            return rows_of_csv(path, reading)
        case "parquet":
            return rows_of_parquet(path, reading)
        case "folders":
            return rows_of_folders(path, layer)
