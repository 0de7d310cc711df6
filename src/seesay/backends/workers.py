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
    """Has what is lent.

    Args:
        shelf: what it is.
    """

    def __init__(self, shelf: Any) -> None:
        self._shelf = shelf

    def ask(self, method: str, arguments: Sequence[Any]) -> Answer:
        """Ask it something.

        Args:
            method: by its name.
            arguments: of the method.
        """
        try:
            return Answer([getattr(self._shelf, method)(*arguments)])
        except SeesayError as error:
            return Answer(error=error)


def ask(library: Any, method: str, *arguments: Any) -> Any:
    """Ask a library, from wherever one is.

    Args:
        library: the actor.
        method: by its name.
        *arguments: of the method.

    Raises:
        SeesayError: whatever is raised there.
    """
    import ray

    answer: Answer = ray.get(library.ask.remote(method, arguments))
    if answer.error is not None:
        raise answer.error
    return answer.results[0]
