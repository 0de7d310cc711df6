"""Adapters: a scale and a bias by which a model hears directions as it hears what it was trained on.

How they are taught: [seesay.teaching.adapting][].
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final, get_args

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from seesay.errors import MismatchedSAE, UnusablePath
from seesay.explainers.lens import real
from seesay.files import DAMAGE, from_json
from seesay.records import Strength, StrengthUnit
from seesay.sae import SAE


@final
@dataclass(frozen=True, eq=False)
class Adapter:
    """What is pushed in the place of a direction: `h <- h + scale * alpha * d + bias`.

    Args:
        scale: of the push.
        bias: in units of activations.
        strength: by which features were pushed while it was taught.
        facts: all that it depends on, as plain data.

    Source: the scalar affine adapter of arXiv 2602.10352, for text models.
    """

    scale: Float[Tensor, ""]
    bias: Float[Tensor, " d_model"]
    strength: Strength
    facts: Mapping[str, Any]

    @cached_property
    def identity(self) -> str:
        """Hash of all that it says."""
        return hashlib.sha256(self.content()).hexdigest()

    def content(self) -> bytes:
        """As a file holds it: safetensors, with the rest as JSON in its header."""
        header = {"strength": {"value": self.strength.value, "unit": self.strength.unit}, "facts": dict(self.facts)}
        tensors = {"scale": self.scale.detach().float().cpu(), "bias": self.bias.detach().float().cpu()}
        return save(tensors, metadata={"adapter": json.dumps(header)})

    @classmethod
    def read_from(cls, path: Path) -> "Adapter":
        """Read a file, which may be a stranger's.

        Args:
            path: of the file.

        Raises:
            UnusablePath: it is no adapter, or a damaged one.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = from_json((file.metadata() or {})["adapter"])
                scale, bias = (real(file.get_tensor(name)) for name in ("scale", "bias"))
            strength = Strength(float(header["strength"]["value"]), header["strength"]["unit"])
            if scale.dim() or bias.dim() != 1 or not (scale.isfinite() and bias.isfinite().all()):
                raise ValueError("numbers that are none, or too many of them")
            if strength.unit not in get_args(StrengthUnit) or not math.isfinite(strength.value):
                raise ValueError(f"a strength of {strength.value} {strength.unit}")
            return cls(scale, bias, strength, dict(header["facts"]))
        except (SafetensorError, *DAMAGE) as error:
            raise UnusablePath(
                f"{path} holds no adapter: {error}",
                expected="what seesay teach writes",
                remedy="seesay teach --adapter --anew",
            ) from error

    def check_fits(self, sae: SAE) -> None:
        """Check that it was taught on residuals as wide as an SAE's.

        Args:
            sae: whose features are to be steered.

        Raises:
            MismatchedSAE: it was not.
        """
        if sae.d_model != len(self.bias):
            raise MismatchedSAE(
                f"an adapter for residuals of width {len(self.bias)}", expected=f"{sae.d_model}, the SAE's"
            )
