"""Tables of explanations: CSV and Parquet, which may be a stranger's, one row after another."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import UnreadableWords
from seesay.importing.config import LONGEST_TEXT, MOST_ROWS, Reading
from seesay.importing.rows import OTHERS, Row, row_of
from seesay.texts import one_line, shortened

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_LONGEST_LINE = 1 << 20  # of a file: what has no line breaks would be read as a whole
_LARGEST_CHUNK = 4 << 30  # of a column of a Parquet file, as it is when it is unpacked
_AT_ONCE = 4096
_MARKS = {  # the longer first, as UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def rows_of_csv(path: Path, reading: Reading) -> Iterator[Row]:
    """Read a table, comma-separated, in UTF-8, with names in its first line.

    Args:
        path: the file.
        reading: what is what.

    Raises:
        UnreadableWords: it cannot be read, or a row cannot be taken.
    """
    _check_file(path)
    number = 0
    try:
        _check_mark(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_lines(file, path), strict=True)
            names = [name.strip() for name in next(reader, [])]
            _check_columns(names, reading, path)
            number = reader.line_num
            for values in reader:
                number = reader.line_num
                if not values:
                    continue
                place = f"line {number} of {path}"
                if len(values) != len(names):
                    raise UnreadableWords(
                        f"{place}: {len(values)} cells", expected=f"{len(names)}, one for each column"
                    )
                row = row_of(dict(zip(names, values, strict=True)), place, reading)
                if row is not None:
                    yield row
    except UnicodeDecodeError as error:
        raise UnreadableWords(
            f"{path} is not in UTF-8, after line {number}: {error.reason}",
            expected="UTF-8",
            remedy=f"save it so, or convert it: iconv -f latin1 -t utf-8 {path}",
        ) from error
    except csv.Error as error:
        raise UnreadableWords(f"after line {number} of {path}: {error}", expected="a comma-separated table") from error
    except OSError as error:
        raise UnreadableWords(f"cannot read {path}: {error.strerror}", expected="a file that can be read") from error


def _check_mark(path: Path) -> None:
    """Refuse what says by its first bytes that it is in another encoding than UTF-8, as "Unicode" of Excel does."""
    with path.open("rb") as file:
        start = file.read(4)
    encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if encoding is not None:
        raise UnreadableWords(
            f"{path} is in {encoding}, by its byte order mark",
            expected="UTF-8",
            remedy=f"save it so, or convert it: iconv -f {encoding} -t utf-8 {path}",
        )


def _lines(file: TextIOBase, path: Path) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise UnreadableWords(f"a line of {path} has {_LONGEST_LINE} characters or more", expected="a table")
        yield line


def rows_of_parquet(path: Path, reading: Reading) -> Iterator[Row]:
    """Read a Parquet file.

    Texts are cut a little above the longest that can be taken before any of them is unpacked: what is short in a file,
    one long text in a million rows, is not in memory.

    Args:
        path: the file.
        reading: what is what.

    Raises:
        UnreadableWords: it cannot be read, or a row cannot be taken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_file(path)
    wanted = (reading.id_column, reading.text_column, *OTHERS)
    try:
        with pq.ParquetFile(path) as file:
            names, schema = file.schema_arrow.names, file.schema_arrow
            _check_columns(names, reading, path)
            if file.metadata.num_rows > MOST_ROWS:
                raise UnreadableWords(f"{path} has {file.metadata.num_rows} rows", expected=f"at most {MOST_ROWS}")
            columns = [name for name in dict.fromkeys(wanted) if name in names]
            for name in columns:
                if not _can_be_read(schema.field(name).type):
                    raise UnreadableWords(
                        f"column {name} of {path} holds {shortened(str(schema.field(name).type))}",
                        expected="texts or numbers",
                    )
            _check_size(file.metadata, columns, path)
            texts = [name for name in columns if _is_text(schema.field(name).type)]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_AT_ONCE, columns=columns):
                for values in zip(*(_values(batch.column(name)) for name in columns), strict=True):
                    number += 1
                    row = row_of(dict(zip(columns, values, strict=True)), f"row {number} of {path}", reading)
                    if row is not None:
                        yield row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        told = shortened(one_line(str(error)), 200)
        raise UnreadableWords(f"cannot read {path}: {told}", expected="a Parquet file") from error


def _can_be_read(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    told = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    return _is_text(told) or pa.types.is_primitive(told) or pa.types.is_null(told)


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _values(column: "pa.Array") -> list[object]:
    """A column's values, of which none is much longer than can be taken."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.DictionaryArray) and _is_text(column.dictionary.type):
        # The same few texts over and over: each is cut, and decoded, once.
        cut = pc.SliceOptions(0, LONGEST_TEXT + 1)
        told = pc.call_function("utf8_slice_codeunits", [column.dictionary.cast(pa.large_string())], cut).to_pylist()
        return [None if place is None else told[place] for place in column.indices.to_pylist()]
    return column.to_pylist()


def _check_size(metadata: "pq.FileMetaData", columns: Sequence[str], path: Path) -> None:
    for group in range(metadata.num_row_groups):
        of_group = metadata.row_group(group)
        chunks = [of_group.column(place) for place in range(of_group.num_columns)]
        for chunk in chunks:
            if chunk.path_in_schema in columns and chunk.total_uncompressed_size > _LARGEST_CHUNK:
                raise UnreadableWords(
                    f"column {chunk.path_in_schema} of {path} holds {chunk.total_uncompressed_size >> 30} GiB",
                    expected="explanations",
                )


def _check_file(path: Path) -> None:
    if not path.is_file():  # a pipe would be waited for without end
        raise UnreadableWords(f"no file {path}", expected="a table of explanations")


def _check_columns(names: Sequence[str], reading: Reading, path: Path) -> None:
    wanted = (reading.id_column, reading.text_column)
    lacking = [name for name in wanted if name not in names]
    if lacking:
        told = shortened(one_line(", ".join(names)), 200) or "none"
        raise UnreadableWords(
            f"{path} has no column {' or '.join(lacking)}, but {told}",
            expected=f"the columns {' and '.join(wanted)}, comma-separated where it is CSV",
            remedy="name them by --id-column and --text-column",
        )
    twice = next((name for name in (*wanted, *OTHERS) if names.count(name) > 1), None)
    if twice is not None:
        raise UnreadableWords(f"{path} has two columns {twice}", expected="one")
