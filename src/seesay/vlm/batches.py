"""Working through features, images or questions in batches that fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from seesay.errors import NotEnoughMemory
from seesay.vlm.parallel import in_step

# Linux, Windows; CUDA (outside of its allocator) and MPS; cuBLAS and cuDNN
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")

T = TypeVar("T")
R = TypeVar("R")


def halving(
    items: Sequence[T], batch_size: int, run: Callable[[Sequence[T]], R]
) -> Iterator[tuple[Sequence[T], R | None]]:
    """Work through items in order, in batches that are halved for good whenever memory runs out.

    Only an item that does not even fit alone says nothing of the others: after it, batches are as large as at first.

    Args:
        items: what to work on.
        batch_size: how many at a time to begin with.
        run: works on one batch.

    Raises:
        ValueError: a batch size below 1.
        NotEnoughMemory: a batch does not fit, and other processes work in step with this one.

    Yields:
        Each batch with its result, or with None for a single item that does not fit.
    """
    if batch_size < 1:
        raise ValueError(f"a batch of {batch_size}, expected at least 1")
    start, asked = 0, batch_size
    while start < len(items):
        batch = items[start : start + batch_size]
        try:
            result = run(batch)
        except (RuntimeError, MemoryError, NotEnoughMemory) as error:
            if not is_out_of_memory(error):
                raise
            if in_step():  # the others would wait for this batch forever
                raise NotEnoughMemory(
                    f"{len(batch)} at once do not fit", expected="room for them", remedy="take fewer at a time"
                ) from error
            if len(batch) > 1:
                batch_size = len(batch) // 2
                continue
            result, batch_size = None, asked
        yield batch, result
        start += len(batch)


def fitting(
    items: Sequence[T], batch_size: int, run: Callable[[Sequence[T]], R], too_large: Callable[[T], NotEnoughMemory]
) -> Iterator[R]:
    """Work through items as `halving` does, where each of them must fit.

    Args:
        items: what to work on.
        batch_size: how many at a time to begin with.
        run: works on one batch; its result is not None.
        too_large: the error for a single item that does not fit.

    Raises:
        ValueError: a batch size below 1.
        NotEnoughMemory: a single item does not fit.

    Yields:
        The result of each batch.
    """
    for batch, result in halving(items, batch_size, run):
        if result is None:
            raise too_large(batch[0])
        yield result


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, for which only some allocators have a class of their own."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError, NotEnoughMemory)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
