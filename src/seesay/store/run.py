"""A run: one subject, one block, one SAE; a folder with `run.db` and the images that it refers to."""

import fcntl
import json
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from seesay.errors import UnusablePath
from seesay.files import unwritable
from seesay.store.database import open_to_note, open_to_read, open_to_write, refusing, settle, transaction
from seesay.store.thumbnails import Thumbnails

DAMAGE = (ValueError, TypeError, OverflowError, RecursionError, AttributeError, KeyError)
"""What comes of reading something else than what was written."""

_LONGEST_NAME = 60
_CHANGED = ("what had the same name", "what has changed since")

_DATABASE, _LOCK, _IMAGES = "run.db", ".lock", "images"
_BEGIN = "make one by seesay collect --out"

UNFINISHED = "collecting has not been finished: the same seesay collect command goes on where it was stopped"
"""What is to be done about a run of which collecting was begun and then stopped."""


def parsed(text: Any) -> Any:
    """Read JSON that may be a stranger's: no NaN in it, which JSON does not have, and nothing that is no Unicode.

    Args:
        text: of a database, which may hold anything.

    Raises:
        ValueError: it is none, or of another kind; see `DAMAGE`.
    """
    found = json.loads(text, parse_constant=_refuse)
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # lone surrogates, and numbers beyond all bounds
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} where a number should be")


@final
class Run:
    """An open run; use it as a context manager, or close it.

    Args:
        folder: the run's.
        connection: to its database.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.connection = connection
        self.thumbnails = Thumbnails(folder / _IMAGES)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.folder.resolve(),)

    @classmethod
    def open(cls, folder: Path, *, any_thread: bool = False) -> "Run":
        """Open a run to read it; it may be on a medium that cannot be written, and from a stranger.

        Args:
            folder: the run's.
            any_thread: other threads than this one may use it, one at a time.

        Raises:
            UnusablePath: there is none, or it is damaged, or made by another seesay.
        """
        if not folder.is_dir():
            raise UnusablePath(f"no run {folder}", expected="a run's folder", remedy=_BEGIN)
        return cls(folder, open_to_read(folder / _DATABASE, any_thread=any_thread))

    @classmethod
    def noting(cls, folder: Path) -> "Run":
        """Open a run to write down a little of what people say, beside whoever else writes it.

        Nothing that stages write may be written so, and no transaction may be long.

        Args:
            folder: the run's.

        Raises:
            UnusablePath: there is none, or it cannot be written, or is damaged.
        """
        if not folder.is_dir():
            raise UnusablePath(f"no run {folder}", expected="a run's folder", remedy=_BEGIN)
        return cls(folder, open_to_note(folder / _DATABASE))

    @classmethod
    @contextmanager
    def writing(cls, folder: Path, subject: Mapping[str, Any] | None = None) -> Generator["Run"]:
        """Open a run to write it, or make one; no other process can at the same time.

        Args:
            folder: the run's.
            subject: what the run is of, as plain data; `identity` in it is a hash that must be the same each time.
                None opens a run that is there, whatever it is of.

        Raises:
            UnusablePath: the folder cannot be written, another process writes it, or it is a run of something else.
        """
        try:
            _check_place(folder)
            if subject is None and not exists(folder):
                raise UnusablePath(f"no run {folder}", expected="a run's folder", remedy=_BEGIN)
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / _LOCK).open("a")
        except OSError as error:
            raise unwritable(folder, error.strerror or str(error)) from error
        with lock:
            try:
                # The kernel lets go of it when the process ends, however it ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UnusablePath(
                    f"another process is writing {folder}", remedy="wait for it, or give another folder"
                ) from error
            except OSError as error:  # a file system without locks
                raise unwritable(folder, f"it cannot be locked: {error.strerror}") from error
            with cls(folder, open_to_write(folder / _DATABASE)) as run:
                if subject is not None:
                    run.claim(subject)
                yield run
                settle(run.connection)

    @property
    def subject(self) -> dict[str, Any]:
        """What the run is of: the subject's name, the layer, the SAE, and their `identity`."""
        try:
            return {name: parsed(value) for name, value in self.rows("SELECT name, value FROM run")}
        except DAMAGE as error:
            raise self.damaged("what it is of", error) from error

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask its database, of which anything may be expected if it is a stranger's.

        Raises:
            UnusablePath: it is damaged.
        """
        with refusing(self.folder / _DATABASE):
            try:
                return self.connection.execute(query, parameters).fetchall()
            except OverflowError as error:
                raise self.damaged("a number", error) from error

    def damaged(self, what: str, error: Exception) -> UnusablePath:
        """An error that says so.

        Args:
            what: of the run.
            error: that was met with.
        """
        return UnusablePath(
            f"{what} in {self.folder} is damaged: {error}",
            expected="what seesay wrote",
            remedy="make the run again",
        )

    def finished(self, stage: str) -> dict[str, Any] | None:
        """A stage's summary, or None if it is not done.

        Args:
            stage: such as `collect`.
        """
        found = self.rows("SELECT summary FROM stages WHERE name = ? AND finished_at IS NOT NULL", (stage,))
        try:
            return dict(parsed(found[0][0])) if found else None
        except DAMAGE as error:
            raise self.damaged(f"the summary of {stage}", error) from error

    def configured(self, stage: str) -> dict[str, Any]:
        """How a stage is done, or was.

        Args:
            stage: such as `collect`, which was begun.
        """
        ((config,),) = self.rows("SELECT config FROM stages WHERE name = ?", (stage,)) or [("{}",)]
        try:
            return dict(parsed(config))
        except DAMAGE as error:
            raise self.damaged(f"the setting of {stage}", error) from error

    def check_finished(self, stage: str) -> dict[str, Any]:
        """Check that a stage is done.

        Returns:
            Its summary.

        Raises:
            UnusablePath: it is not.
        """
        summary = self.finished(stage)
        if summary is None and not self.rows("SELECT 1 FROM stages WHERE name = ?", (stage,)):
            raise UnusablePath(
                f"{self.folder} has no images yet",
                expected=f"a run of which `{stage}` is done",
                remedy=f"seesay collect --images SRC --out {self.folder}",
            )
        if summary is None:
            raise UnusablePath(
                f"{self.folder} is not collected to its end",
                expected=f"a run of which `{stage}` is done",
                remedy=UNFINISHED,
            )
        return summary

    def unfinished(self, stage: str) -> bool:
        """Whether a stage was begun and is not done.

        Args:
            stage: such as `collect`.
        """
        return bool(self.rows("SELECT 1 FROM stages WHERE name = ? AND finished_at IS NULL", (stage,)))

    def begin(self, stage: str, identity: str, config: Mapping[str, Any], *, anew: bool = False) -> None:
        """Note that a stage is being done.

        Args:
            stage: such as `collect`.
            identity: a hash of all that its results depend on.
            config: the same, as plain data, for people.
            anew: another identity may take the place of one that is not finished, as nothing was done yet.

        Raises:
            UnusablePath: the run holds that stage with another identity.
        """
        with refusing(self.folder), transaction(self.connection):
            found = self.rows("SELECT identity, config, finished_at FROM stages WHERE name = ?", (stage,))
            if not found or (anew and found[0][2] is None):
                self.connection.execute(
                    "INSERT OR REPLACE INTO stages (name, identity, config) VALUES (?, ?, ?)",
                    (stage, identity, json.dumps(config)),
                )
            elif found[0][0] != identity:
                try:
                    before = dict(parsed(found[0][1]))
                except DAMAGE as error:
                    raise self.damaged(f"the setting of {stage}", error) from error
                raise self._other(stage, before, config)

    def finish(self, stage: str, summary: Mapping[str, Any]) -> None:
        """Note, in the transaction that writes its results, that a stage is done.

        Args:
            stage: such as `collect`.
            summary: what it found, as plain data.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.connection.execute(
            "UPDATE stages SET summary = ?, finished_at = ? WHERE name = ?", (json.dumps(summary), now, stage)
        )

    def noted(self) -> "Noted":
        """What it says of itself, for where it is not."""
        names = [name for (name,) in self.rows("SELECT name FROM stages")]
        stages = {name: (self.configured(name), self.finished(name)) for name in names}
        return Noted(self.folder, self.subject, stages)

    def close(self) -> None:
        """Close its database."""
        self.connection.close()

    def claim(self, subject: Mapping[str, Any]) -> None:
        """Note what the run is of, or check that it is of the same.

        Args:
            subject: as for `writing`.

        Raises:
            UnusablePath: it is of something else.
        """
        with refusing(self.folder), transaction(self.connection):
            found = self.subject
            if not found:
                rows = [(name, json.dumps(value)) for name, value in subject.items()]
                self.connection.executemany("INSERT INTO run VALUES (?, ?)", rows)
            elif found.get("identity") != subject["identity"]:
                raise self._other("run", found, subject)

    def _other(self, what: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> UnusablePath:
        differing = [name for name in wanted if name != "identity" and found.get(name) != wanted[name]]
        # Names may be the same where what they stand for is not, and hashes tell people nothing.
        name = next((each for each in differing if len(str(wanted[each])) < _LONGEST_NAME), "")
        was, shall = (f"{name} {each.get(name)}" for each in (found, wanted)) if name else _CHANGED
        return UnusablePath(
            f"{self.folder} holds a {what} of {was}, and {shall} was asked for",
            expected="the same as before",
            remedy="give it, or another run",
        )


@final
@dataclass(frozen=True)
class Noted:
    """What a run says of itself, which can be sent to where the run is not.

    Args:
        folder: the run's, for people.
        subject: what it is of.
        stages: how each is done, and its summary if it is finished.
    """

    folder: Path
    subject: Mapping[str, Any]
    stages: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any] | None]]

    def finished(self, stage: str) -> Mapping[str, Any] | None:
        """A stage's summary, or None if it is not done.

        Args:
            stage: such as `collect`.
        """
        return self.stages.get(stage, ({}, None))[1]

    def configured(self, stage: str) -> Mapping[str, Any]:
        """How a stage is done, or was.

        Args:
            stage: such as `collect`, which was begun.
        """
        return self.stages.get(stage, ({}, None))[0]


def _reopened(folder: Path) -> Run:
    """What another process makes of a run that is sent to it."""
    return Run.open(folder)


def exists(folder: Path) -> bool:
    """Whether a folder is a run's."""
    return (folder / _DATABASE).is_file()


def _check_place(folder: Path) -> None:
    """Refuse a place where a run would lie among other things."""
    expected = "a run's folder, there or not"
    if folder.exists() and not folder.is_dir():
        raise UnusablePath(f"{folder} is a file", expected=expected)
    is_run = (folder / _DATABASE).exists()
    if folder.exists() and not is_run and any(path.name != _LOCK for path in folder.iterdir()):
        raise UnusablePath(f"{folder} is not empty, and no run", expected=expected, remedy="name another one")
