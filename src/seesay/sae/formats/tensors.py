"""Reading an SAE's files such that every fault names the file, the tensor, what was found and what was expected.

What a file is, is told from its first bytes. Nothing in it is run: safetensors and numpy files hold numbers only, and
torch's are read by its unpickler that makes tensors and plain containers and nothing else.
"""

import io
import json
import pickle
import re
import struct
import sys
import tokenize
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from seesay.errors import UnreadableSAE

AGAIN = "download or save it again"
DENSE = "save it as float32"
_CONVERT = (
    "load it with the library that wrote it and save its state_dict() alone, by torch.save or safetensors, with its"
    " configuration beside it as config.json"
)
_DAMAGED = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    ImportError,
    OverflowError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
"""What torch's unpickler is seen to raise on a file that is cut off or altered."""

_LONGEST_HEADER = 1_000_000


class Weights(NamedTuple):
    """What a file of tensors holds.

    Args:
        tensors: by name; the name of a numpy file's only one is empty.
        around: what else was in the file: a back-up's step and scale, a configuration.
        header: the JSON line before saev's tensors, or None.
    """

    tensors: Mapping[str, Any]
    around: Mapping[str, Any]
    header: Mapping[str, Any] | None


def read_json(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        UnreadableSAE: it is missing, or no JSON object.
    """
    try:
        return parse_json(path.read_bytes(), path)
    except OSError as error:
        raise UnreadableSAE(f"{path}: {error}", expected="a JSON object", remedy=AGAIN) from error


def parse_json(text: bytes, path: Path) -> dict[str, Any]:
    """Parse a configuration.

    Args:
        text: the JSON.
        path: the file that it is from, for the message.

    Raises:
        UnreadableSAE: it is no JSON object.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableSAE(f"{path}: {error}", expected="a JSON object", remedy=AGAIN) from error
    if not isinstance(config, dict):
        raise UnreadableSAE(f"{path} holds a {type(config).__name__}", expected="a JSON object", remedy=AGAIN)
    return config


def read_weights(path: Path) -> Weights:
    """Read a file of tensors.

    Raises:
        UnreadableSAE: it is missing, damaged, of an unknown kind, or would have to run code to be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
            file.seek(0)
            if start.startswith(b"\x93NUMPY"):
                return Weights({"": _read_numpy(file, path)}, {}, None)
            # A safetensors file begins with the length of its header, whose high bytes are zeros.
            if start.startswith(b"{") and b"\0" not in start:
                header = parse_json(file.readline(_LONGEST_HEADER), path)
                return _unwrapped(_read_torch(io.BytesIO(file.read()), path), path, header)
    except OSError as error:
        raise UnreadableSAE(f"{path}: {error}", expected="a file of tensors", remedy=AGAIN) from error
    if path.suffix == ".safetensors" or start[8:] == b"{":
        return Weights(read_safetensors(path), {}, None)
    if not start.startswith((b"PK", b"\x80")):
        raise _no_tensors(path)
    return _unwrapped(_read_torch(path, path), path, None)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        UnreadableSAE: it is missing, truncated or no such file.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UnreadableSAE(f"{path}: {error}", expected="a whole safetensors file", remedy=AGAIN) from error


def _read_numpy(file: BinaryIO, path: Path) -> Tensor:
    try:
        array = np.lib.format.read_array(file, allow_pickle=False)
    except (*_DAMAGED, SyntaxError, tokenize.TokenError) as error:
        raise UnreadableSAE(
            f"{path}: {shorten(str(error), 200)}", expected="a whole numpy file of numbers", remedy=AGAIN
        ) from error
    if array.dtype.kind not in "fiu":
        raise UnreadableSAE(f"{path} holds {array.dtype}", expected="numbers", remedy=DENSE)
    return torch.from_numpy(array.astype(np.float32))


def _read_torch(source: Path | io.BytesIO, path: Path) -> Any:
    # Files of torch before 1.6 are no zip archives, and cannot be mapped.
    try:
        mapped = isinstance(source, Path) and zipfile.is_zipfile(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file's age, which is no concern of ours
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found is None:
            raise _no_tensors(path) from error
        raise UnreadableSAE(
            f"{path} holds {found[1]}, which would have to be run to be read",
            expected="tensors alone",
            remedy=f"where you trust it, {_CONVERT}",
        ) from error
    except _DAMAGED as error:
        reason = shorten(str(error), 200)
        raise UnreadableSAE(f"{path}: {reason}", expected="a whole file of torch's", remedy=AGAIN) from error


def _no_tensors(path: Path) -> UnreadableSAE:
    return UnreadableSAE(
        f"{path} is no file of tensors that is known here", expected=".safetensors, .pt or .npy", remedy=_CONVERT
    )


def _unwrapped(content: Any, path: Path, header: Mapping[str, Any] | None) -> Weights:
    """The tensors by name, whether the file holds them alone or inside a back-up or checkpoint."""
    if not isinstance(content, Mapping):
        raise UnreadableSAE(f"{path} holds a {type(content).__name__}", expected="tensors by name")
    around: dict[str, Any] = {}
    for name in ("ae", "state_dict"):
        if isinstance(content.get(name), Mapping):
            around, content = {key: value for key, value in content.items() if key != name}, content[name]
            break
    return Weights({name: value for name, value in content.items() if isinstance(name, str)}, around, header)


def tensor_of(tensors: Mapping[str, Any], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
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
        held = shorten(str(sorted(tensors)), 200)
        raise UnreadableSAE(f"{path} lacks {name}, it holds {held}", expected=f"{name} {list(shape)}")
    label = f"{path}: {name}" if name else str(path)
    tensor = tensors[name]
    if (kind := strange(tensor)) is not None:
        raise UnreadableSAE(f"{label} is a {kind}", expected="a dense tensor of real numbers", remedy=DENSE)
    if tuple(tensor.shape) != shape:
        raise UnreadableSAE(f"{label} is {list(tensor.shape)}", expected=str(list(shape)), remedy=AGAIN)
    # A few stored numbers can pass for a tensor of any size.
    if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise UnreadableSAE(f"{label} is not stored in full", expected=str(list(shape)), remedy=AGAIN)
    # A copy, because a file that is mapped into memory may be written over while the SAE is in use.
    try:
        tensor = tensor.detach().to(torch.float32, copy=True)
    except RuntimeError as error:  # of a number format that torch only stores
        raise UnreadableSAE(f"{label} holds {tensor.dtype}", expected="numbers", remedy=DENSE) from error
    if not tensor.isfinite().all():
        raise UnreadableSAE(f"{label} holds NaN or infinity", expected="finite numbers", remedy=AGAIN)
    return tensor


def strange(value: Any) -> str | None:
    """What it is, in words, if it is no dense tensor of real numbers."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    # Most of torch's own questions raise for these, even that for the shape.
    kinds = {
        "nested": value.is_nested,
        "quantised": value.is_quantized,
        "meta": value.is_meta,
        "complex": value.is_complex(),
        "sparse": value.layout != torch.strided,
    }
    return next((f"{kind} tensor" for kind, found in kinds.items() if found), None)


def flag_of(config: Mapping[str, Any], name: str, path: Path, *, default: bool) -> bool:
    """Take one yes or no out of a configuration.

    Args:
        config: the configuration.
        name: the setting to take.
        path: the file, for the message.
        default: what it is where the configuration does not say.

    Raises:
        UnreadableSAE: it says something else than true or false.
    """
    found = config.get(name, default)
    if not isinstance(found, bool):
        raise UnreadableSAE(f"{path}: {name} is {found!r}", expected="true or false")
    return found


def factor_of(found: Any, label: str, *, remedy: str = "") -> float:
    """Check a number that activations are scaled by.

    Args:
        found: the number.
        label: its file and name, for the message.
        remedy: what to do if it is none.

    Raises:
        UnreadableSAE: it is no finite number above 0.
    """
    if type(found) not in (int, float) or not 0 < found <= sys.float_info.max:
        raise UnreadableSAE(f"{label} is {found!r}", expected="a finite number above 0", remedy=remedy)
    return float(found)


def count_of(config: Mapping[str, Any], name: str, path: Path | str, *, at_most: int | None = None) -> int:
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
