"""Where a command's result goes: tables for people, JSON for scripts, and what to do next."""

import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from seesay.commands.options import Options
from seesay.files import to_json, unwritable, write_json

_STDOUT = Path("-")
_SECONDS_BETWEEN_LINES = 30.0
_HEARD: ContextVar[list[Mapping[str, Any]] | None] = ContextVar("heard", default=None)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


@final
class _Log:
    """Tells of progress in lines, where no bar can be drawn: work that is soon done says nothing."""

    def __init__(self, console: Console, what: str, total: int | None, *, is_silent: bool) -> None:
        self._console, self._what, self._total, self._is_silent = console, what, total, is_silent
        self._n, self._told = 0, time.monotonic()

    def add(self, n: int) -> None:
        self._n += n
        if not self._is_silent and time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES:
            of = "" if self._total is None else f" of {self._total}"
            self._console.print(Text(f"{self._what}: {self._n}{of}"), soft_wrap=True)
            self._told = time.monotonic()


@final
class Output:
    """What a command prints and writes.

    With `--json -` the standard output belongs to the JSON, and people read the standard error.

    Args:
        options: the options that every command takes.
        is_silent: print and write nothing, as another process does.

    Raises:
        UnusablePath: if `--json` names a folder, or a file that cannot be written: said now, not after the work.
    """

    def __init__(self, options: Options, *, is_silent: bool = False) -> None:
        self._target = None if is_silent else options.json
        self._is_silent = is_silent
        self.console = Console(
            stderr=options.json == _STDOUT, highlight=False, quiet=is_silent or _HEARD.get() is not None
        )
        if self._target is not None and self._target != _STDOUT:
            check_writable(self._target)
        if options.verbose:
            logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
            logging.getLogger("seesay").setLevel(logging.INFO)

    @contextmanager
    def progress(self, what: str, *, total: int | None) -> Generator[Callable[[int], None]]:
        """Show a bar with count, rate and time left, on the standard error, while the work goes on.

        Where that is no terminal but a log, a line is written now and then.

        Args:
            what: what is being done, in a word.
            total: how many there are to do; None if nobody knows.

        Yields:
            A function that is told how many more are done.
        """
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        console = Console(stderr=True)
        if not console.is_terminal:
            yield _Log(console, what, total, is_silent=self._is_silent).add
            return
        with Progress(*columns, console=console, transient=True, disable=self._is_silent) as progress:
            task = progress.add_task(what, total=total)
            yield lambda n: progress.advance(task, n)

    def remark(self, remarks: str) -> None:
        """Print what models gave rise to while they were loaded, wherever that was.

        Args:
            remarks: lines; there may be none.
        """
        if remarks:
            self.console.print(Text(remarks.rstrip()), soft_wrap=True)

    def finish(self, result: Mapping[str, Any], *, next_steps: Sequence[str] = ()) -> None:
        """Write the result where `--json` asks for it, and say what to do next.

        Args:
            result: plain data; no NaN or infinity, which JSON does not have.
            next_steps: one line each.

        Raises:
            UnusablePath: if the file cannot be written after all.
        """
        heard = _HEARD.get()
        if heard is not None:
            heard.append(result)
        if self._target == _STDOUT:
            sys.stdout.write(to_json(result))
            sys.stdout.flush()
        elif self._target is not None:
            write_json(self._target, result)
            self.console.print(Text(f"Written: {self._target}"))
        if next_steps:
            self.console.print()
            self.console.print(Text("Next:"))
            for step in next_steps:
                self.console.print(Text(f"  {step}"), soft_wrap=True)


@contextmanager
def muted() -> Generator[list[Mapping[str, Any]]]:
    """Within it commands show their progress and print nothing: whoever is made of others says what came of them.

    Yields:
        The results of those that have finished, as `--json` would write them.
    """
    heard: list[Mapping[str, Any]] = []
    before = _HEARD.set(heard)
    try:
        yield heard
    finally:
        _HEARD.reset(before)


def check_writable(path: Path) -> None:
    """Check that a file can be written, and make the folder for it.

    Args:
        path: of the file.

    Raises:
        UnusablePath: it is a folder, or may not be written.
    """
    if path.is_dir():
        raise unwritable(path, "it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise unwritable(path, "no permission")
