"""Reading an SAE's files such that every fault names the file, the tensor, what was found and what was expected."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from seesay.errors import UnreadableSAE

_AGAIN = "download or save it again"


def read_json(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        UnreadableSAE: it is missing, or no JSON object.
    """
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableSAE(f"{path}: {error}", expected="a JSON object", remedy=_AGAIN) from error
    if not isinstance(config, dict):
        raise UnreadableSAE(f"{path} holds a {type(config).__name__}", expected="a JSON object", remedy=_AGAIN)
    return config


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors.

    Raises:
        UnreadableSAE: it is missing, truncated or no such file.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UnreadableSAE(f"{path}: {error}", expected="a whole safetensors file", remedy=_AGAIN) from error


def tensor_of(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    """Take one tensor out of a file, checked, in float32.

    Args:
        tensors: the file's tensors.
        name: the one to take.
        shape: the shape that it must have.
        path: the file, for the message.

    Raises:
        UnreadableSAE: it is missing, of another shape, or not finite.
    """
    if name not in tensors:
        raise UnreadableSAE(f"{path} lacks {name}, it holds {sorted(tensors)}", expected=f"{name} {list(shape)}")
    tensor = tensors[name]
    if tuple(tensor.shape) != shape:
        raise UnreadableSAE(f"{path}: {name} is {list(tensor.shape)}", expected=str(list(shape)), remedy=_AGAIN)
    if not tensor.isfinite().all():
        raise UnreadableSAE(f"{path}: {name} holds NaN or infinity", expected="finite numbers", remedy=_AGAIN)
    return tensor.to(torch.float32)


def count_of(config: Mapping[str, Any], name: str, path: Path, *, at_most: int | None = None) -> int:
    """Take one positive whole number out of a configuration.

    Args:
        config: the configuration.
        name: the number to take.
        path: the file, for the message.
        at_most: the largest that makes sense, if there is one.

    Raises:
        UnreadableSAE: it is missing, no positive whole number, or too large.
    """
    found = config.get(name)
    if type(found) is not int or found < 1 or (at_most is not None and found > at_most):
        most = f" of at most {at_most}" if at_most is not None else ""
        raise UnreadableSAE(f"{path}: {name} is {found!r}", expected=f"a positive whole number{most}")
    return found
