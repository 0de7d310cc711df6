"""How long work tells how far it is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable


@runtime_checkable
class ProgressBar(Protocol):
    """Shows how far a piece of work is; the value it enters with is told how many more are done."""

    def __call__(self, what: str, *, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Start a bar."""
        ...
