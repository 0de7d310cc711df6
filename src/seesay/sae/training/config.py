"""What training a sparse autoencoder takes. Free of torch, so that the command line starts at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from seesay.errors import InvalidTraining, check_choice

Architecture = Literal["topk", "batchtopk", "matryoshka", "jumprelu"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)


@dataclass(frozen=True)
class SAETrainingConfig:
    """One training; what is not given is as in the paper.

    Args:
        architecture: what turns pre-activations into codes.
        n_features: how many features to learn.
        k: how many features a patch activates: exactly (`topk`), on average over a batch (`batchtopk`, `matryoshka`),
            or as a target that the loss pulls towards (`jumprelu`).
        n_steps: how many batches to learn from.
        batch_size: patches a batch.
        learning_rate: of Adam.
        n_warm_up_steps: over which it rises to that.
        decay_share: the last share of the steps, over which it falls to nothing.
        aux_coefficient: weight of the loss by which dead features learn what the others miss.
        dead_after: a feature that has not been active for so many steps is dead.
        buffer_batches: how many batches of patches are in memory, to draw the next one from.
        scale_inputs: scale the residual stream to a mean norm of sqrt(d_model) while training; the scale is folded into
            the weights when they are saved. A `jumprelu` always does: how far its threshold moves and what its sparsity
            costs are in these units.
        seed: of weights and shuffles.

    Source: arXiv 2603.22593, set-up: TopK, k = 25, 8192 features, rate 3e-4, batch 8192, warm-up 1000, decay from 80 %,
    auxiliary loss 1/32.
    """

    architecture: Architecture = "topk"
    n_features: int = 8192
    k: int = 25
    n_steps: int = 20_000
    batch_size: int = 8192
    learning_rate: float = 3e-4
    n_warm_up_steps: int = 1000
    decay_share: float = 0.2
    aux_coefficient: float = 1 / 32
    dead_after: int = 1000
    buffer_batches: int = 16
    scale_inputs: bool = True
    seed: int = 0

    @property
    def scales_inputs(self) -> bool:
        """Whether the residual stream is scaled while training."""
        return self.scale_inputs or self.architecture == "jumprelu"

    def __post_init__(self) -> None:
        check_choice(self.architecture, ARCHITECTURES, "architecture")
        for name, holds, expected in (
            ("n_features", self.n_features >= 1, "at least 1"),
            ("k", 1 <= self.k <= self.n_features, f"1 to {self.n_features}, the number of features"),
            ("n_steps", self.n_steps >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 2, "at least 2 patches"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "a finite number above 0"),
            ("buffer_batches", self.buffer_batches >= 1, "at least 1"),
        ):
            if not holds:
                raise InvalidTraining(f"{name} {getattr(self, name)}", expected=expected)


PRESETS: Mapping[str, SAETrainingConfig] = MappingProxyType(
    {
        "paper": SAETrainingConfig(),
        "world": SAETrainingConfig(
            n_features=1536,
            k=24,
            n_steps=1800,
            batch_size=1024,
            learning_rate=1e-3,
            n_warm_up_steps=90,
            aux_coefficient=1.0,
            dead_after=40,
            buffer_batches=128,
            scale_inputs=False,
        ),
    }
)
"""The paper's setting for models of a million images, and one for the embedded world's small encoder."""
