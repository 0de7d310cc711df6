"""Files of what is taught: safetensors, with the rest as JSON in the header. Strangers may have written them."""

import json
import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final, get_args

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from seesay.errors import UnusablePath
from seesay.files import DAMAGE, from_json
from seesay.records import Strength, StrengthUnit


@final
@dataclass(frozen=True)
class TaughtFile:
    """What a file holds, none of it checked.

    Args:
        header: the plain data.
        file: with the tensors.
    """

    header: Mapping[str, Any]
    file: Any

    def tensor(self, name: str) -> Tensor:
        """Numbers, in 32 bits.

        Args:
            name: of the tensor.

        Raises:
            ValueError: it holds other numbers than real ones.
        """
        tensor: Tensor = self.file.get_tensor(name)
        if not tensor.is_floating_point():
            raise ValueError(f"numbers of the kind {tensor.dtype}")
        return tensor.float()

    def strength(self) -> Strength:
        """How hard features were pushed.

        Raises:
            ValueError: it is no finite number of a unit that there is.
        """
        told = self.header["strength"]
        strength = Strength(float(told["value"]), told["unit"])
        if strength.unit not in get_args(StrengthUnit) or not math.isfinite(strength.value):
            raise ValueError(f"a strength of {strength.value} {strength.unit}")
        return strength


def content_of(
    kind: str, tensors: Mapping[str, Tensor], strength: Strength, facts: Mapping[str, Any], **header: Any
) -> bytes:
    """What a file holds.

    Args:
        kind: of what was taught.
        tensors: by name; kept in 32 bits.
        strength: by which features were pushed.
        facts: all that it depends on, as plain data.
        header: plain data besides.
    """
    told = {**header, "strength": {"value": strength.value, "unit": strength.unit}, "facts": dict(facts)}
    kept = {name: value.detach().float().cpu().contiguous() for name, value in tensors.items()}
    return save(kept, metadata={kind: json.dumps(told)})


@contextmanager
def reading(path: Path, kind: str, remedy: str) -> Generator[TaughtFile]:
    """Open a file; whatever turns out to be wrong with it is told in one line.

    Args:
        path: of the file.
        kind: of what was taught.
        remedy: what to do about a damaged one.

    Raises:
        UnusablePath: it is none of this kind, or what is done with it raises one of [seesay.files.DAMAGE][].
    """
    try:
        with safe_open(path, framework="pt") as file:
            yield TaughtFile(from_json((file.metadata() or {})[kind]), file)
    except (SafetensorError, *DAMAGE) as error:
        raise UnusablePath(
            f"{path} holds no {kind}: {error}", expected="what seesay teach writes", remedy=remedy
        ) from error
