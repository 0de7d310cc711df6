from collections import Counter

import pytest
import torch

from seesay.planning.machine import Machine, measured, memory_of
from seesay.planning.outline import Weights
from seesay.planning.plan import Memory, largest_batches
from seesay.planning.tally import Cost, Operation
from seesay.planning.work import Batches

GIB = 2**30


def memory(available: int | None, *, language: int = 4 * GIB) -> Memory:
    return Memory({"language model": Weights(GIB, 2 * GIB)}, None, GIB, language, GIB, available)


def test_an_operation_takes_the_longest_of_arithmetic_bytes_and_its_least() -> None:
    machine = Machine(100.0, 10.0, 0.5, None, is_measured=False)
    cost = Cost(Counter({Operation("linear", 200, 1): 3, Operation("other", 0, 30): 1, Operation("other", 0, 1): 2}))
    assert machine.seconds(cost) == pytest.approx(3 * 2 + 3 + 2 * 0.5)


def test_this_machine_can_be_measured() -> None:
    found = measured(torch.device("cpu"), torch.float32)
    assert found.flops_per_second > 1e8
    assert found.bytes_per_second > 1e8
    assert 0 < found.seconds_per_operation < 1e-2
    assert found.memory == memory_of(torch.device("cpu"))


def test_encoder_and_language_model_take_turns() -> None:
    assert memory(None).total == 2 * GIB + 4 * GIB
    assert memory(None).fits is None
    assert memory(7 * GIB).fits
    assert not memory(6 * GIB).fits, "some of a device's memory is never ours"


@pytest.mark.parametrize(("available", "expected"), [(64, 64), (5, 32), (4, 16), (2, None)])
def test_batches_are_halved_until_they_fit(available: int, expected: int | None) -> None:
    found = largest_batches(memory(available * GIB), Batches(64, 64))
    assert (None if found is None else found.features) == expected


def test_a_cost_can_be_split_and_put_together() -> None:
    first, second = (Cost(Counter({Operation("linear", n, n): n})) for n in (1, 2))
    assert (first + second).since(first) == second
    assert (first + second).flops() == 5
