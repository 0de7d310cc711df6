"""What runs in other processes: workers, which have the models, and a library, which has what is lent."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from seesay.backends.crew import Job
from seesay.errors import SeesayError


@final
@dataclass(frozen=True, eq=False)
class Answer:
    """What comes back.

    Args:
        results: of the items, in order.
        facts: that they depend on.
        error: what a user can mend, instead of results; Ray would wrap it into errors of its own.
    """

    results: Sequence[Any] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: SeesayError | None = None


@final
class Worker:
    """Has the models, and does what it is given.

    Args:
        load: loads the models.
        n_threads: that it may compute with.
        folder: the command's, from which relative names are looked up where this machine has it.
    """

    def __init__(self, load: Callable[[], Any], n_threads: int, folder: str) -> None:
        self._load, self._n_threads = load, n_threads
        self._models: Any = None
        self._begun: tuple[int, Job[Any, Any]] | None = None
        if Path(folder).is_dir():
            os.chdir(folder)

    def load(self) -> Answer:
        """Load the models."""
        import torch

        torch.set_num_threads(self._n_threads)
        try:
            self._models = self._load()
        except SeesayError as error:
            return Answer(error=error)
        return Answer()

    def do(self, number: int, task: Sequence[Any], items: Sequence[Any]) -> Answer:
        """Do a piece of a task.

        Args:
            number: of the task; what was begun for it goes on.
            task: where it is to be had, alone in a list.
            items: the piece.
        """
        import ray

        try:
            if self._begun is None or self._begun[0] != number:
                self._begun = None  # its models, if nobody else needs them, go before others come
                found: Any = ray.get(task[0])
                self._begun = (number, found.begin(self._models))
            job = self._begun[1]
            return Answer(list(job.do(items)), job.facts)
        except SeesayError as error:
            return Answer(error=error)


@final
class Library:
    """Has what is lent. It may be begun anew at any time, and then finds again what it is asked for."""

    def __init__(self) -> None:
        self._shelves: dict[int, Any] = {}

    def ask(self, number: int, shelf: Sequence[Any], method: str, arguments: Sequence[Any]) -> Answer:
        """Ask it something.

        Args:
            number: of what is lent.
            shelf: where that is to be had, alone in a list.
            method: by its name.
            arguments: of the method.
        """
        import ray

        try:
            if number not in self._shelves:
                self._shelves[number] = ray.get(shelf[0])
            return Answer([getattr(self._shelves[number], method)(*arguments)])
        except SeesayError as error:
            return Answer(error=error)


def ask(library: Any, number: int, shelf: Sequence[Any], method: str, *arguments: Any) -> Any:
    """Ask a library, from wherever one is.

    Args:
        library: the actor.
        number: of what is lent.
        shelf: where that is to be had.
        method: by its name.
        *arguments: of the method.

    Raises:
        SeesayError: whatever is raised there.
    """
    import ray

    answer: Answer = ray.get(library.ask.remote(number, shelf, method, arguments))
    if answer.error is not None:
        raise answer.error
    return answer.results[0]
