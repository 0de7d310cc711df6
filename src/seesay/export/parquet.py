"""Tables as Parquet files, written a row group at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq

from seesay.errors import UnusablePath
from seesay.export.features import exemplar_rows, feature_rows, image_rows, run_rows
from seesay.export.schema import TABLES
from seesay.export.source import Row, Source
from seesay.export.words import explanation_rows, score_rows, scoring_rows, setting_rows

_ROWS: Mapping[str, Callable[[Source], Iterator[Row]]] = MappingProxyType({
    "runs": run_rows,
    "settings": setting_rows,
    "features": feature_rows,
    "explanations": explanation_rows,
    "scorings": scoring_rows,
    "scores": score_rows,
    "exemplars": exemplar_rows,
})  # fmt: skip

_ROWS_AT_ONCE: Mapping[str, int] = MappingProxyType({"features": 2048, "exemplars": 2048, "images": 128})
"""Rows of a group where they are large; with it memory is bounded."""

_MANY = 8192

Watch = Callable[[str, Sequence[Row]], None]
"""Who is told which rows of a table are written."""


def write_tables(
    folder: Path, sources: Sequence[Source], *, images: bool = False, watch: Watch = lambda _table, _rows: None
) -> dict[str, int]:
    """Write all tables of some runs.

    Args:
        folder: that they go to.
        sources: the runs, each under a name of its own.
        images: also the images themselves.
        watch: told of every group of rows.

    Returns:
        The rows of each table.

    Raises:
        UnusablePath: a run is damaged.
        UnreadableImage: a thumbnail is missing, or is none.
        OSError: the folder cannot be written.
    """
    counts: dict[str, int] = {}
    for name, of_run in _ROWS.items():
        rows = chain.from_iterable(map(of_run, sources))
        counts[name] = _write(folder, name, rows, watch)
    if images:
        counts["images"] = _write(folder, "images", image_rows(sources), watch)
    return counts


def _write(folder: Path, name: str, rows: Iterator[Row], watch: Watch) -> int:
    schema, size, n_rows = TABLES[name], _ROWS_AT_ONCE.get(name, _MANY), 0
    with pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd") as writer:
        while group := list(islice(rows, size)):
            writer.write_table(_table(name, group), row_group_size=size)
            watch(name, group)
            n_rows += len(group)
    return n_rows


def _table(name: str, rows: list[Row]) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=TABLES[name])
    except (pa.ArrowException, OverflowError) as error:  # a number that no column holds; only a stranger's run has it
        raise UnusablePath(
            f"{name} of {rows[0].get('run', 'the runs')} are damaged: {error}",
            expected="what seesay wrote",
        ) from error
