"""Remembering what was found last, as far as memory allows."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar, final

T = TypeVar("T")


@final
class Memory(Generic[T]):
    """What was asked for last, by key.

    Args:
        n_bytes: how much may be remembered; the last thing is, however large.
        size: bytes of one thing.
    """

    def __init__(self, n_bytes: int, size: Callable[[T], int]) -> None:
        self._most, self._size = n_bytes, size
        self._n_bytes = 0
        self._kept: OrderedDict[str, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> T | None:
        """What is remembered under a key; None if nothing is."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: str, thing: T) -> None:
        """Remember something, and forget what was not asked for longest.

        Args:
            key: to find it by.
            thing: what is kept; not None.
        """
        before = self._kept.pop(key, None)
        self._kept[key] = thing
        self._n_bytes += self._size(thing) - (0 if before is None else self._size(before))
        while self._n_bytes > self._most and len(self._kept) > 1:
            _, forgotten = self._kept.popitem(last=False)
            self._n_bytes -= self._size(forgotten)
