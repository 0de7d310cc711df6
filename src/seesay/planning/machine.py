"""What a machine can do: measured in about a second, or assumed."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch

from seesay.planning.tally import Cost

_LARGEST_SIDE = 8192
_LONG_ENOUGH_S = 0.02
_N_TRIES = 5
_N_COPIED = 2**26
_N_SMALL = 200


@final
@dataclass(frozen=True)
class Machine:
    """What a device can do.

    Args:
        flops_per_second: of large matrix products, in the number format that is computed in.
        bytes_per_second: read and written, of a large copy.
        seconds_per_operation: what even the smallest operation takes; 0 where it is assumed.
        memory: bytes that it has in all; None if that is not known.
        is_measured: it is this machine, rather than another one that is assumed.
    """

    flops_per_second: float
    bytes_per_second: float
    seconds_per_operation: float
    memory: int | None
    is_measured: bool

    def seconds(self, cost: Cost) -> float:
        """The least time that a piece of work takes: every operation as long as its arithmetic or its bytes take.

        Args:
            cost: of the work.
        """
        return sum(
            n
            * max(each.flops / self.flops_per_second, each.n_bytes / self.bytes_per_second, self.seconds_per_operation)
            for each, n in cost.operations.items()
        )


def measured(device: torch.device, dtype: torch.dtype, *, spread: bool = False) -> Machine:
    """Measure this machine.

    Args:
        device: that computes.
        dtype: in which.
        spread: count the memory of all accelerators and the main memory.
    """
    one = torch.zeros(1, device=device, dtype=dtype)
    large = torch.zeros(_N_COPIED, device=device, dtype=torch.uint8)
    other = torch.empty_like(large)

    def small() -> None:
        for _ in range(_N_SMALL):
            one.add_(1)

    return Machine(
        flops_per_second=_matrix_peak(device, dtype),
        bytes_per_second=2 * _N_COPIED / _best(lambda: other.copy_(large), device),
        seconds_per_operation=_best(small, device) / _N_SMALL,
        memory=memory_of(device, spread=spread),
        is_measured=True,
    )


def memory_of(device: torch.device, *, spread: bool = False) -> int | None:
    """Bytes of memory that a device has in all.

    Args:
        device: of this machine.
        spread: all accelerators and the main memory.
    """
    main = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if device.type == "cuda":
        places = range(torch.cuda.device_count()) if spread else [device]
        return sum(torch.cuda.mem_get_info(place)[1] for place in places) + (main if spread else 0)
    return main if device.type in ("cpu", "mps") else None


def _matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    side = 512
    while True:
        square = torch.zeros(side, side, device=device, dtype=dtype)
        took = _best(lambda square=square: square @ square, device)
        if took > _LONG_ENOUGH_S or side == _LARGEST_SIDE:
            return 2 * side**3 / took
        side *= 2


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest try: other work on the machine only ever slows."""

    def seconds() -> float:
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        return time.perf_counter() - started

    seconds()  # kernels are chosen and memory is taken
    return min(seconds() for _ in range(_N_TRIES))


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
