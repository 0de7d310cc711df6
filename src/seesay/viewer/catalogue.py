"""Every feature of some runs in one table that can be searched, filtered and sorted.

The table is a database of the viewer's own, in a temporary folder: runs are only read, be they a stranger's or on a
medium that cannot be written. It is filled some features at a time, and kept up with whoever writes the runs.
"""

import logging
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from seesay.errors import FeatureNotFound, SeesayError, UnusablePath
from seesay.scorers.config import Score
from seesay.store.database import transaction
from seesay.store.run import Run
from seesay.texts import short_names, without_folders
from seesay.viewer.outline import Outline
from seesay.viewer.outlook import Outlook
from seesay.viewer.table import SCHEMA, Columns, column, put

_log = logging.getLogger(__name__)

_AT_ONCE = 500
"""Features that are written together: few enough that whoever reads does not wait."""

_CACHE_KIB = 1 << 16


@final
@dataclass(frozen=True)
class Present:
    """What can be asked for at all.

    Args:
        methods: that explained anything.
        levels: of anything that is said.
        scores: that anything has.
    """

    methods: frozenset[str]
    levels: frozenset[str]
    scores: frozenset[str]


@final
class Catalogue:
    """The table, and those who fill it and read it.

    Args:
        folders: of the runs; their places among them are their numbers.

    Attributes:
        names: what the runs are called, by their numbers.
        version: another one whenever anything has changed.
        progress: how many features of how many were taken over last.
        columns: for scores.

    Raises:
        UnusablePath: one of them is no run, or is damaged.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self.names = short_names(folders)
        self.version = 0
        self.progress: tuple[int, int] = (0, 0)
        self._place = tempfile.TemporaryDirectory(prefix="seesay-")
        self._file = Path(self._place.name) / "catalogue.db"
        self._own = threading.local()
        self._writing = threading.Lock()
        self._runs = [Run.open(folder, any_thread=True) for folder in folders]
        self._outlooks = [Outlook(run) for run in self._runs]
        self._connection = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")  # whatever ends without warning, it is made anew
        self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._connection.executescript(SCHEMA)
        self.columns = Columns()
        self._present: tuple[int, Present] | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """The runs', by their numbers."""
        return self._folders

    def folder(self, number: int) -> Path:
        """Where a run is.

        Args:
            number: of the run, from outside.

        Raises:
            FeatureNotFound: there is no such run.
        """
        if not 0 <= number < len(self._folders):
            raise FeatureNotFound(f"run {number}", expected=f"0 to {len(self._folders) - 1}")
        return self._folders[number]

    def refresh(self, is_stopped: Callable[[], bool] = lambda: False) -> int:
        """Take over what has changed in the runs; `version` is then another, and `progress` tells how far it is.

        Args:
            is_stopped: asked between them.

        Returns:
            How many features had changed.

        Raises:
            UnusablePath: what a run says is damaged.
        """
        problems: list[UnusablePath] = []
        n_done = 0
        with self._writing:
            changed = [(number, *_changed(outlook, problems)) for number, outlook in enumerate(self._outlooks)]
            with transaction(self._connection):
                columns = self.columns
                for outlook in self._outlooks:
                    columns = columns.with_own(self._connection, outlook.own)
            self.columns = columns
            n_all = sum(len(feature_ids) for *_, feature_ids in changed)
            for number, outlook, feature_ids in changed:
                for start in range(0, len(feature_ids), _AT_ONCE):
                    if is_stopped():
                        return n_done
                    some = feature_ids[start : start + _AT_ONCE]
                    with transaction(self._connection):
                        put(self._connection, columns, number, some, _outlines(outlook, some))
                    n_done += len(some)
                    self.version += 1
                    self.progress = n_done, n_all
        if problems:  # of one run, which keeps no other from being shown
            raise problems[0]
        return n_done

    def told(self, error: SeesayError) -> str:
        """An error with the names of runs in the place of their folders, which are nobody's business elsewhere.

        Args:
            error: of any of them.
        """
        return without_folders(str(error), self._folders, self.names)

    def rows(
        self,
        query: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        nearness: Callable[[int, int], float] | None = None,
    ) -> list[sqlite3.Row]:
        """Ask the table, from any thread.

        Args:
            query: SQL without any text from outside.
            parameters: what came from outside.
            nearness: what the query may call under this name, with the numbers of a run and of a feature.
        """
        if not hasattr(self._own, "connection"):
            connection = sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True, isolation_level=None)
            connection.row_factory = sqlite3.Row
            self._own.connection = connection
        if nearness is not None:
            self._own.connection.create_function("nearness", 2, nearness, deterministic=True)
        return self._own.connection.execute(query, parameters).fetchall()

    def present(self) -> Present:
        """What there is, read again only after something has changed."""
        version = self.version
        if self._present is None or self._present[0] != version:
            methods, levels = (self._values(f"SELECT DISTINCT {each} FROM said") for each in ("method", "level"))
            columns = self.columns
            scores = self._scored("said", columns.of_words) | self._scored("features", columns.of_features)
            self._present = version, Present(methods, levels, scores)
        return self._present[1]

    def _values(self, query: str) -> frozenset[str]:
        return frozenset(value for (value,) in self.rows(query) if value is not None)

    def _scored(self, table: str, scores: Sequence[Score]) -> frozenset[str]:
        (counts,) = self.rows(f"SELECT {', '.join(f'count({column(each)})' for each in scores)} FROM {table}")
        return frozenset(score for score, n in zip(scores, counts, strict=True) if n)

    def close(self) -> None:
        """Remove it; runs are left alone."""
        with suppress(AttributeError):
            self._own.connection.close()
        self._connection.close()
        for run in self._runs:
            run.close()
        self._place.cleanup()


def _changed(outlook: Outlook, problems: list[UnusablePath]) -> tuple[Outlook, Sequence[int]]:
    try:
        return outlook, outlook.changed()
    except UnusablePath as error:
        problems.append(error)
        return outlook, ()


def _outlines(outlook: Outlook, feature_ids: Sequence[int]) -> list[Outline]:
    """What is known of some features; one that is damaged keeps no other from being shown."""
    try:
        return outlook.outlines(feature_ids)
    except UnusablePath as error:
        if len(feature_ids) == 1:
            _log.warning("%s", error)
            return []
        half = len(feature_ids) // 2
        return [*_outlines(outlook, feature_ids[:half]), *_outlines(outlook, feature_ids[half:])]
