"""Opening `run.db`: SQLite, brought up to date when it is to be written, and left as it is when it is only read."""

import logging
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from seesay.errors import UnusablePath
from seesay.store.filesystems import is_on_network
from seesay.store.migrations import MIGRATIONS

_LOG = logging.getLogger(__name__)

_BUSY_S = 30.0


def open_to_write(file: Path) -> sqlite3.Connection:
    """Open a database, or make one, and bring its tables up to date, each step in a transaction of its own.

    On a local disk it keeps a write-ahead log, so that it can be read while it is written; on a network file system
    it cannot.

    Args:
        file: the database.

    Raises:
        UnusablePath: it cannot be written, is no database, or was made by a newer seesay.
    """
    with refusing(file):
        connection = sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                _applied(connection, file)  # refuses what is not ours before anything is changed
            connection.execute(f"PRAGMA journal_mode = {_journal_mode(file)}")
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, file)
        except BaseException:
            connection.close()
            raise
    return connection


def open_to_note(file: Path) -> sqlite3.Connection:
    """Open a database that is there for a short note, whoever else reads or writes it, and leave its log as it is.

    Args:
        file: the database.

    Raises:
        UnusablePath: it is missing, cannot be written, is no database of a run, or was made by a newer seesay.
    """
    if not file.is_file():
        raise UnusablePath(f"no {file.name} in {file.parent}", expected="a run", remedy="make one by seesay collect")
    with refusing(file):
        connection = sqlite3.connect(
            f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None
        )
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            if _applied(connection, file) != _names():
                _migrate(connection, file)
        except BaseException:
            connection.close()
            raise
    return connection


def open_to_read(file: Path, *, any_thread: bool = False) -> sqlite3.Connection:
    """Open a database without changing anything, be it on a medium that cannot be written.

    Args:
        file: the database.
        any_thread: other threads than this one may use it, one at a time.

    Raises:
        UnusablePath: it is missing, no database of a run, or was made by another seesay.
    """
    if not file.is_file():
        raise UnusablePath(f"no {file.name} in {file.parent}", expected="a run", remedy="make one by seesay collect")
    # Where nothing can be written SQLite cannot keep the memory that it shares with a writer. Without a log there is no
    # writer; with one, what that memory's file holds does.
    log = file.with_name(f"{file.name}-wal")
    is_writable = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    mode = "mode=ro" if is_writable or (log.exists() and log.stat().st_size) else "immutable=1"
    with refusing(file):
        connection = sqlite3.connect(
            f"{file.resolve().as_uri()}?{mode}",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=not any_thread,
        )
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA query_only = ON")
            applied = _applied(connection, file)
        except BaseException:
            connection.close()
            raise
    if applied != _names():
        connection.close()
        raise UnusablePath(
            f"{file} was made by an older seesay",
            expected="its tables brought up to date",
            remedy="run seesay collect or explain on it",
        )
    return connection


def settle(connection: sqlite3.Connection) -> None:
    """Put a log that was written ahead into the database's own file, so that a run at rest is one file to copy.

    Args:
        connection: of the only one who writes; whoever reads at this moment keeps the log there.
    """
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All of it or nothing; waits for whoever writes at the moment."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


@contextmanager
def refusing(file: Path) -> Generator[None]:
    """Say what SQLite complains of in a line.

    Raises:
        UnusablePath: it does.
    """
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:  # none if Python itself complains
            expected, remedy = "room on the disk", "make some and run the same again: what was written before is kept"
        else:
            expected, remedy = "a run's database that can be read, and written where that is asked for", ""
        raise UnusablePath(f"{file}: {error}", expected=expected, remedy=remedy) from error


def _journal_mode(file: Path) -> str:
    if not is_on_network(file):
        return "WAL"
    _LOG.warning("%s is on a network file system: whoever reads it may have to wait while it is written", file)
    return "DELETE"


def _migrate(connection: sqlite3.Connection, file: Path) -> None:
    with transaction(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL)")
    for migration in MIGRATIONS[len(_applied(connection, file)) :]:
        with transaction(connection):
            if migration.__name__ in _applied(connection, file):  # by another process, in the meantime
                continue
            migration(connection)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (migration.__name__, now))


def _applied(connection: sqlite3.Connection, file: Path) -> list[str]:
    try:
        rows = connection.execute("SELECT name FROM migrations ORDER BY rowid").fetchall()
    except sqlite3.OperationalError as error:
        raise UnusablePath(f"{file} is no run's database: {error}", expected="one made by seesay collect") from error
    # Views and triggers would have whatever they like be done by whoever reads or notes something; we make none.
    query = "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE 'CREATE VIRTUAL%'"
    for (name,) in connection.execute(query):
        raise UnusablePath(f"{file} holds {name!r}, which is no table", expected="tables alone, as seesay makes them")
    applied = [name for (name,) in rows]
    if applied != _names()[: len(applied)]:
        raise UnusablePath(
            f"{file} was made by a newer seesay: it knows {applied[-1]}",
            expected=f"at most {_names()[-1]}",
            remedy="upgrade seesay",
        )
    return applied


def _names() -> list[str]:
    return [migration.__name__ for migration in MIGRATIONS]
