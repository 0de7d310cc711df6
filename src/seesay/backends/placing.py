"""How many workers a cluster has room for, and what each of them may use."""

from collections.abc import Mapping, Sequence
from typing import Any

from seesay.errors import UnusableCluster

Node = Mapping[str, float]
"""What a machine has, by Ray's names: CPU, GPU."""


def placed(nodes: Sequence[Node], n_workers: int | None, *, on_cpu: bool) -> tuple[int, dict[str, Any]]:
    """Divide a cluster among workers.

    With GPUs each worker has one, and its share of the CPUs of a machine beside it; without, machines are divided as
    evenly as whole CPUs allow, and a worker has as many threads as CPUs.

    Args:
        nodes: the machines.
        n_workers: as asked for; None for one on each GPU, or on each machine if there is none.
        on_cpu: leave the GPUs alone.

    Returns:
        The number of workers, and what each asks for by Ray's names.

    Raises:
        UnusableCluster: there is no room for so many.
    """
    gpus = [0 if on_cpu else int(node.get("GPU", 0)) for node in nodes]
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    n_places = sum(gpus) or sum(cpus)
    n = sum(gpus) or sum(n > 0 for n in cpus) if n_workers is None else n_workers
    if not 0 < n <= n_places:
        raise UnusableCluster(
            f"{n} workers on {sum(gpus)} GPUs and {sum(cpus)} CPUs",
            expected="a GPU for each of them" if sum(gpus) else "a CPU for each of them",
            remedy="ask for fewer: --workers N",
        )
    if sum(gpus):
        share = min(cpu // gpu for cpu, gpu in zip(cpus, gpus, strict=True) if gpu)
        return n, {"num_gpus": 1, "num_cpus": share}
    share = next(share for share in range(max(cpus), 0, -1) if sum(cpu // share for cpu in cpus) >= n)
    return n, {"num_gpus": 0, "num_cpus": share}
