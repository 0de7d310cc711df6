import pytest
import torch

from seesay.vlm.batches import halving, is_out_of_memory


def room_for(n: int, error: RuntimeError):
    """A worker that runs out of memory beyond n items."""
    tried: list[int] = []

    def run(batch):
        tried.append(len(batch))
        if len(batch) > n:
            raise error
        return [item * 10 for item in batch]

    return run, tried


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory: you tried to allocate"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:134] . DefaultCPUAllocator: can't allocate memory: you tried to"),
]


def test_what_this_machine_raises_when_memory_runs_out_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_batches_are_halved_until_they_fit(error: RuntimeError) -> None:
    run, tried = room_for(3, error)
    batches = list(halving(range(10), 8, run))
    assert [item for batch, _ in batches for item in batch] == list(range(10))
    assert [result for _, results in batches for result in results] == [item * 10 for item in range(10)]
    assert tried == [8, 4, 2, 2, 2, 2, 2]


def test_a_single_item_that_does_not_fit_has_no_result() -> None:
    run, _ = room_for(0, OUT_OF_MEMORY[0])
    assert [(list(batch), result) for batch, result in halving([7, 8], 2, run)] == [([7], None), ([8], None)]


def test_after_an_item_that_is_too_large_alone_batches_are_large_again() -> None:
    tried: list[list[int]] = []

    def run(batch: range) -> int:
        tried.append(list(batch))
        if 1 in batch:
            raise OUT_OF_MEMORY[0]
        return len(batch)

    results = [result for _, result in halving(range(10), 4, run)]
    assert results == [1, None, 4, 4]
    assert tried == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3, 4, 5], [6, 7, 8, 9]]


def test_other_errors_are_not_swallowed() -> None:
    run, _ = room_for(0, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        list(halving([1, 2], 2, run))


def test_memory_errors_are_told_from_others() -> None:
    assert all(is_out_of_memory(error) for error in OUT_OF_MEMORY)
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
