"""Working through features in batches that fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")  # Linux, Windows

T = TypeVar("T")
R = TypeVar("R")


def halving(
    items: Sequence[T], batch_size: int, run: Callable[[Sequence[T]], R]
) -> Iterator[tuple[Sequence[T], R | None]]:
    """Work through items in order, in batches that are halved for good whenever memory runs out.

    Args:
        items: what to work on.
        batch_size: how many at a time to begin with, at least 1.
        run: works on one batch.

    Yields:
        Each batch with its result, or with None for a single item that does not fit.
    """
    start = 0
    while start < len(items):
        batch = items[start : start + batch_size]
        try:
            result = run(batch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) > 1:
                batch_size = len(batch) // 2
                continue
            result = None
        yield batch, result
        start += len(batch)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that memory ran out; the CPU's allocators have no class of their own for that."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _CPU_OUT_OF_MEMORY)
