"""The seam of backends: those who have the models, and what they are given to do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

Models = TypeVar("Models")
Models_co = TypeVar("Models_co", covariant=True)
Models_contra = TypeVar("Models_contra", contravariant=True)
Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Shelf = TypeVar("Shelf")


@runtime_checkable
class Job(Protocol[Item_contra, Result_co]):
    """A task that was begun, where the models are."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its results depend on but the items, as plain data: the same with whoever begins it."""
        ...

    def do(self, items: Iterable[Item_contra], /) -> Iterator[Result_co]:
        """Work through some items, in order; one result may stand for several of them."""
        ...


@runtime_checkable
class Task(Protocol[Models_contra, Item_contra, Result_co]):
    """What is to be done, as it is sent to whoever has the models: it can be pickled."""

    def begin(self, models: Models_contra, /) -> Job[Item_contra, Result_co]:
        """Check that it can be done with these models, and begin.

        Raises:
            SeesayError: it cannot.
        """
        ...


@runtime_checkable
class Crew(Protocol[Models_co]):
    """Those who have the models."""

    def facts(self, task: Task[Models_co, Any, Any]) -> Mapping[str, Any]:
        """What the results of a task depend on.

        Args:
            task: which.

        Raises:
            SeesayError: it cannot be begun.
        """
        ...

    def run(
        self,
        task: Task[Models_co, Item, Result],
        items: Iterable[Item],
        at_once: int,
        *,
        in_order: bool = False,
        until: Callable[[], bool] = lambda: False,
    ) -> Iterator[Result]:
        """Do a task; it is begun before this returns, so that what is wrong with it is known at once.

        Args:
            task: what to do.
            items: what to do it with.
            at_once: as many of them are sent off together, where anything is sent.
            in_order: results come in the order of the items; otherwise as soon as they are there.
            until: asked after every result; once it says yes, nothing else is begun, and what is being done still
                comes.

        Returns:
            The results.

        Raises:
            SeesayError: it cannot be begun, or whatever is wrong on the way.
        """
        ...

    def lend(self, shelf: Shelf) -> Shelf:
        """Make something of this machine, such as what a run holds, of use wherever the models are.

        Args:
            shelf: whose methods are asked; where it is sent to another process, it is opened anew there.
        """
        ...
