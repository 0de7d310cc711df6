"""What was read of an SAE's files, before a format has understood it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any, final

from torch import Tensor

from seesay.errors import UnreadableSAE
from seesay.sae.formats.tensors import DENSE, strange, tensor_of
from seesay.sae.model import Activation


@final
@dataclass(frozen=True)
class Contents:
    """An SAE's files, read but not yet understood.

    Args:
        path: the file of tensors.
        tensors: what it holds, by name.
        around: what else was in the file: a back-up's step and scale, a configuration.
        header: the JSON line before saev's tensors.
        config: the configuration beside the file, or inside it; None if there is none.
        config_path: where it is.
        outer_config_path: the configuration of the folder above, not read.
        folder: name of the folder that they are in, which sparsify names after the place in the model.
        k: the number of active features that the caller asks for.
        activation: the activation that the caller asks for.
        scaler_path: what SAELens scales activations by until its training ends, not read.
        is_in_training: whether the state of SAELens' trainer is beside the file.
    """

    path: Path
    tensors: Mapping[str, Any]
    around: Mapping[str, Any] = field(default_factory=dict[str, Any])
    header: Mapping[str, Any] | None = None
    config: Mapping[str, Any] | None = None
    config_path: Path | None = None
    outer_config_path: Path | None = None
    folder: str = ""
    k: int | None = None
    activation: Activation | None = None
    scaler_path: Path | None = None
    is_in_training: bool = False

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration, empty if there is none."""
        return self.config or {}

    @property
    def settings_path(self) -> Path:
        """The file to name in a complaint about the configuration."""
        return self.config_path or self.path

    def tensor(self, name: str, *shape: int) -> Tensor:
        """Take one tensor, checked, in float32.

        Args:
            name: the one to take.
            shape: the shape that it must have.

        Raises:
            UnreadableSAE: it is missing, of another shape, or not finite.
        """
        return tensor_of(self.tensors, name, shape, self.path)

    def repeated(self, name: str, n_features: int) -> Tensor:
        """Take a tensor of one number, checked, and repeat it for every feature.

        Raises:
            UnreadableSAE: it is missing, of another shape, or not finite.
        """
        return self.tensor(name).expand(n_features).clone()

    def matrix_shape(self, name: str) -> tuple[int, int]:
        """The shape of a matrix, where no configuration tells what it must be.

        Raises:
            UnreadableSAE: it is missing, or no matrix.
        """
        found = self.tensors.get(name)
        if not isinstance(found, Tensor):
            held = shorten(str(sorted(self.tensors)), 200)
            raise UnreadableSAE(f"{self.path} lacks {name}, it holds {held}", expected="a matrix")
        label = f"{self.path}: {name or 'the array'}"
        if (kind := strange(found)) is not None:
            raise UnreadableSAE(f"{label} is a {kind}", expected="a dense tensor of real numbers", remedy=DENSE)
        shape = tuple(found.shape)
        if len(shape) != 2 or 0 in shape:
            raise UnreadableSAE(f"{label} is {list(shape)}", expected="[features, d_model]")
        return shape

    def refuse(self, what: str, *, expected: str = "", remedy: str = "") -> UnreadableSAE:
        """The error for a configuration that asks for what is not computed here."""
        return UnreadableSAE(f"{self.settings_path}: {what}", expected=expected, remedy=remedy)


def text(value: Any) -> str | None:
    """What a configuration says, if it is text; it may say anything."""
    return value if isinstance(value, str) and value else None


def layer_of(value: Any, hook: str | None) -> int | None:
    """The block that a configuration names.

    Args:
        value: what it says outright.
        hook: name of a place in the model, which tells the block if it holds one number, as `layers.16` does.
    """
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        return int(value)
    # A number that is part of a word, as in ln2, counts no blocks.
    numbers = re.findall(r"(?<![^._/])[0-9]{1,6}(?![^._/])", hook or "")
    return int(numbers[0]) if len(numbers) == 1 else None
