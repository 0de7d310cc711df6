"""The backend that is there without asking: this process has the models."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, final

from seesay.backends.crew import Crew, Item, Job, Models, Result, Shelf, Task


@final
class Local(Generic[Models]):
    """A crew of one: this process.

    Args:
        models: as they are loaded.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._begun: tuple[Any, Job[Any, Any]] | None = None

    def facts(self, task: Task[Models, Any, Any]) -> Mapping[str, Any]:
        """What the results of a task depend on."""
        return self._job(task).facts

    def run(
        self,
        task: Task[Models, Item, Result],
        items: Iterable[Item],
        at_once: int,
        *,
        in_order: bool = False,
        until: Callable[[], bool] = lambda: False,
    ) -> Iterator[Result]:
        """Do a task; all items at once, of which the job takes as many as it likes."""
        return _until(self._job(task).do(items), until)

    def lend(self, shelf: Shelf) -> Shelf:
        """The thing itself."""
        return shelf

    def _job(self, task: Task[Models, Any, Any]) -> Job[Any, Any]:
        if self._begun is None or self._begun[0] is not task:
            self._begun = (task, task.begin(self._models))
        return self._begun[1]


def _until(results: Iterator[Result], until: Callable[[], bool]) -> Iterator[Result]:
    for result in results:
        yield result
        if until():
            return


def crew_of(models: Models | Crew[Models]) -> Crew[Models]:
    """Whoever has the models, be it this process.

    Args:
        models: themselves, or a crew that has them.
    """
    return models if isinstance(models, Crew) else Local(models)
