"""One language model over several processes that work in step: tensor parallelism, as torchrun starts them.

Every process does the same work on the same inputs; only the language model's weights are shared out among them. One of
them leads: it alone writes, prints, and decides whatever the others could find otherwise.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from seesay.errors import InvalidSetting, UnreadableModel

T = TypeVar("T")

_HOW = "torchrun --nproc-per-node N -m seesay ..."


def in_step() -> bool:
    """Whether other processes work in step with this one."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def leads() -> bool:
    """Whether this process is the one that writes and prints; it is if it is alone."""
    return not in_step() or dist.get_rank() == 0


def shared(value: T) -> T:
    """What the leading process has found, in every process; they wait for each other.

    Args:
        value: counts in the leading process alone.
    """
    if not in_step():
        return value
    box: list[Any] = [value if leads() else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gathered(tensor: Tensor) -> Tensor:
    """A tensor as a whole, of which each process may hold a part; they wait for each other.

    Args:
        tensor: of any kind.
    """
    full: Any = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


def join_in() -> torch.device:
    """Join the other processes.

    Returns:
        The device that is this process's own.

    Raises:
        InvalidSetting: there are no others.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "LOCAL_RANK" not in os.environ:
        raise InvalidSetting("a model over several processes in a single one", expected=_HOW, remedy="start it so")
    from transformers.distributed.utils import _ensure_torch_distributed  # pyright: ignore[reportPrivateUsage]

    _ensure_torch_distributed()
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        return torch.device("cpu")
    return torch.device(accelerator.type, int(os.environ["LOCAL_RANK"]))


@contextmanager
def leaving_together() -> Generator[None]:
    """Let go of the other processes at the end, if there are any."""
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def check_divisible(config: Any, name: object) -> None:
    """Check that a language model can be shared out among the processes.

    Args:
        config: of the whole model.
        name: of its checkpoint, for the message.

    Raises:
        UnreadableModel: transformers has no plan for its kind, or its heads do not go into so many parts.
    """
    text, n_parts = config.get_text_config(), dist.get_world_size()
    if not text.base_model_tp_plan:
        raise UnreadableModel(
            f"{name}: transformers has no plan for sharing out a language model of type {text.model_type}",
            expected="another family",
            remedy="spread it instead",
        )
    for heads in ("num_attention_heads", "num_key_value_heads"):
        n = getattr(text, heads, n_parts)
        if n % n_parts:
            raise UnreadableModel(
                f"{name}: {heads} is {n}, which {n_parts} processes cannot share",
                expected=f"a number of processes that divides {n}",
                remedy="start fewer, or spread it instead",
            )
