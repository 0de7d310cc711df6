"""Small tasks, which are sent to workers by value."""

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seesay.errors import InvalidSetting


def ten() -> int:
    """Models that are soon loaded."""
    return 10


def nothing_there() -> int:
    """Models that are not there."""
    raise InvalidSetting("no models", expected="some", remedy="make them")


@dataclass(frozen=True)
class Adding:
    """Adds the models to each number, two numbers at a time; and what may go wrong on the way.

    Args:
        refuses: cannot be begun.
        stumbles_at: a number that is an error.
        dies_at: a number of which a worker dies: of a file's making once, without one always.
        once: that file.
        differs: every worker says something else of what its results depend on.
        asked: a shelf, of which a name is asked with each number.
    """

    refuses: bool = False
    stumbles_at: int | None = None
    dies_at: int | None = None
    once: Path | None = None
    differs: bool = False
    asked: Any = None

    def begin(self, models: int) -> "Added":
        if self.refuses:
            raise InvalidSetting("a task that cannot be", expected="another")
        return Added(self, models, {"adds": models, "who": os.getpid() if self.differs else 0})


@dataclass(frozen=True)
class Added:
    task: Adding
    models: int
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def do(self, items: Iterable[int]) -> Iterator[list[tuple[int, Any]]]:
        rest = list(items)
        for start in range(0, len(rest), 2):
            yield [(item, self._one(item)) for item in rest[start : start + 2]]

    def _one(self, item: int) -> Any:
        if item == self.task.stumbles_at:
            raise InvalidSetting(f"the number {item}", expected="another", remedy="leave it out")
        if item == self.task.dies_at and not (self.task.once and self.task.once.exists()):
            if self.task.once:
                self.task.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item + self.models if self.task.asked is None else self.task.asked.called(item)


class Shelf:
    """Something to be lent."""

    def called(self, item: int) -> str:
        """A name for a number."""
        if item == 3:
            raise InvalidSetting("the number 3", expected="another")
        return f"{item}!"
