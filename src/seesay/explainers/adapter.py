"""Adapters: a scale and a bias by which a model hears directions as it hears what it was trained on.

How they are taught: [seesay.teaching.adapting][].
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from seesay.errors import MismatchedSAE
from seesay.explainers.taught_files import content_of, reading
from seesay.records import Strength
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
        return content_of("adapter", {"scale": self.scale, "bias": self.bias}, self.strength, self.facts)

    @classmethod
    def read_from(cls, path: Path) -> "Adapter":
        """Read a file, which may be a stranger's.

        Args:
            path: of the file.

        Raises:
            UnusablePath: it is no adapter, or a damaged one.
        """
        with reading(path, "adapter", "seesay teach --adapter --anew") as kept:
            scale, bias = kept.tensor("scale"), kept.tensor("bias")
            if scale.dim() or bias.dim() != 1 or not (scale.isfinite() and bias.isfinite().all()):
                raise ValueError("numbers that are none, or too many of them")
            return cls(scale, bias, kept.strength(), dict(kept.header["facts"]))

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
