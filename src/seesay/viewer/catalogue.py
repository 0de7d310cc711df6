"""Every feature of some runs in one table that can be searched, filtered and sorted.

The table is a database of the viewer's own, in a temporary folder: runs are only read, be they a stranger's or on a
medium that cannot be written. It is filled some features at a time, and kept up with whoever writes the runs.
"""

import logging
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path
from typing import Any, final

from seesay.calibration import similarity
from seesay.cards import precedence
from seesay.errors import FeatureNotFound, UnusablePath
from seesay.scorers.config import SCORES, Score
from seesay.store.run import Run
from seesay.texts import short_names
from seesay.viewer.outlook import Outline, Outlook, Words

OF_WORDS: tuple[Score, ...] = tuple(score for score, measure in SCORES.items() if measure.of_words)
OF_FEATURES: tuple[Score, ...] = tuple(score for score, measure in SCORES.items() if not measure.of_words)

_log = logging.getLogger(__name__)

_AT_ONCE = 500
"""Features that are written together: few enough that whoever reads does not wait."""

_SCHEMA = f"""
CREATE TABLE features (
    place INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    split TEXT NOT NULL,
    frequency REAL,
    image_frequency REAL,
    max_activation REAL,
    disagreement REAL,
    n_said INTEGER NOT NULL,
    {", ".join(f"{score} REAL" for score in OF_FEATURES)},
    UNIQUE (run, feature_id)
);
CREATE TABLE said (
    place INTEGER NOT NULL,
    is_best INTEGER NOT NULL,
    method TEXT NOT NULL,
    explainer TEXT NOT NULL,
    text TEXT NOT NULL,
    sure REAL,
    level TEXT,
    {", ".join(f"{score} REAL" for score in OF_WORDS)}
);
CREATE INDEX said_of ON said (place);
CREATE INDEX said_by ON said (method, place);
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');
"""
_SORTED = ("frequency", "max_activation", "disagreement", *OF_FEATURES)
_SORTED_SAID = ("sure", *OF_WORDS)


@final
class Catalogue:
    """The table, and those who fill it and read it.

    Args:
        folders: of the runs; their places among them are their numbers.

    Attributes:
        names: what the runs are called, by their numbers.
        version: another one whenever anything has changed.
        progress: how many features of how many were taken over last.

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
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            for name in _SORTED:
                connection.execute(f"CREATE INDEX by_{name} ON features ({name})")
            for name in _SORTED_SAID:
                connection.execute(f"CREATE INDEX said_by_{name} ON said ({name})")

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

    def refresh(
        self, on_features: Callable[[int], None] = lambda _n: None, is_stopped: Callable[[], bool] = lambda: False
    ) -> int:
        """Take over what has changed in the runs; `version` is then another, and `progress` tells how far it is.

        Args:
            on_features: told how many more features are taken over.
            is_stopped: asked between them.

        Returns:
            How many features had changed.

        Raises:
            UnusablePath: what a run says is damaged.
        """
        with self._writing:
            n_done = 0
            changed = [(number, outlook, outlook.changed()) for number, outlook in enumerate(self._outlooks)]
            n_all = sum(len(feature_ids) for _, _, feature_ids in changed)
            for number, outlook, feature_ids in changed:
                for start in range(0, len(feature_ids), _AT_ONCE):
                    if is_stopped():
                        return n_done
                    some = feature_ids[start : start + _AT_ONCE]
                    self._write(number, list(_outlines(outlook, some)))
                    n_done += len(some)
                    self.version += 1
                    self.progress = n_done, n_all
                    on_features(len(some))
            return n_done

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Ask the table, from any thread.

        Args:
            query: SQL without any text from outside.
            parameters: what came from outside.
        """
        if not hasattr(self._own, "connection"):
            connection = sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True, isolation_level=None)
            connection.row_factory = sqlite3.Row
            self._own.connection = connection
        return self._own.connection.execute(query, parameters).fetchall()

    def close(self) -> None:
        """Remove it; runs are left alone."""
        with suppress(AttributeError):
            self._own.connection.close()
        for run in self._runs:
            run.close()
        self._place.cleanup()

    @contextmanager
    def _connect(self) -> Generator[sqlite3.Connection]:
        connection = sqlite3.connect(self._file, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def _write(self, number: int, outlines: Sequence[Outline]) -> None:
        with self._connect() as connection:
            connection.execute("BEGIN")
            for outline in outlines:
                _put(connection, number, outline)
            connection.execute("COMMIT")


def _outlines(outlook: Outlook, feature_ids: Sequence[int]) -> Iterator[Outline]:
    """What is known of some features; one that is damaged keeps no other from being shown."""
    for feature_id in feature_ids:
        try:
            yield outlook.outline(feature_id)
        except UnusablePath as error:
            _log.warning("%s", error)


def _put(connection: sqlite3.Connection, number: int, outline: Outline) -> None:
    """Write a feature in the place of what was known of it."""
    facts: Mapping[str, Any] = {
        "run": number,
        "feature_id": outline.feature_id,
        "split": outline.split,
        "frequency": outline.frequency,
        "image_frequency": outline.image_frequency,
        "max_activation": outline.max_activation,
        "disagreement": disagreement(outline.said),
        "n_said": len(outline.said),
        **{score: outline.scores.get(score) for score in OF_FEATURES},
    }
    row = connection.execute(
        f"INSERT INTO features ({', '.join(facts)}) VALUES ({', '.join('?' * len(facts))}) "
        f"ON CONFLICT (run, feature_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in facts)} "
        "RETURNING place",
        tuple(facts.values()),
    )
    ((place,),) = row.fetchall()
    connection.execute("DELETE FROM said WHERE place = ?", (place,))
    connection.execute("DELETE FROM words WHERE rowid = ?", (place,))
    best = best_of(outline.said)
    for words in outline.said:
        values = (words.method, words.explainer, words.text, words.sure, words.level)
        scores = (words.scores.get(score) for score in OF_WORDS)
        connection.execute(
            f"INSERT INTO said VALUES ({', '.join('?' * (len(values) + 2 + len(OF_WORDS)))})",
            (place, words is best, *values, *scores),
        )
    if outline.said:
        text = "\n".join(dict.fromkeys(words.text for words in outline.said))
        connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (place, text))


def best_of(said: Sequence[Words]) -> Words | None:
    """The words that stand for a feature.

    Args:
        said: of one feature.
    """
    return min(said, key=lambda words: precedence(words.method, words.sure), default=None)


def disagreement(said: Sequence[Words]) -> float | None:
    """How unlike the words of different methods are: one less their mean likeness; None where there are not two.

    Args:
        said: of one feature.
    """
    first = {words.method: words.text for words in reversed(said)}
    pairs = list(combinations(first.values(), 2))
    return 1 - sum(similarity(*pair) for pair in pairs) / len(pairs) if pairs else None
