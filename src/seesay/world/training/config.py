"""What training the world takes: sizes, steps, seeds. Free of torch, so that the command line starts at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Stage = Literal["encoder", "language", "sae", "strength"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class EncoderConfig:
    """The vision encoder: a SigLIP tower taught what holds at every patch, then frozen."""

    d_model: int = 128
    n_blocks: int = 6
    n_heads: int = 4
    n_images: int = 132_000
    batch_size: int = 48
    learning_rate: float = 2.5e-3
    seed: int = 0


@dataclass(frozen=True)
class LanguageConfig:
    """The Gemma 3 language model on the frozen encoder."""

    d_model: int = 128
    n_blocks: int = 4
    n_heads: int = 2
    head_dim: int = 64
    n_examples: int = 108_000
    n_close_examples: int = 48_000
    batch_size: int = 48
    learning_rate: float = 2e-3
    close_learning_rate: float = 1e-3
    seed: int = 1


@dataclass(frozen=True)
class SAEConfig:
    """A TopK sparse autoencoder on the residual stream after one block (0-based)."""

    layer: int = 3
    n_features: int = 512
    k: int = 6
    n_images: int = 12_000
    batch_size: int = 1024
    n_steps: int = 2500
    learning_rate: float = 1e-3
    seed: int = 2


@dataclass(frozen=True)
class TrainingConfig:
    """All of the world's training.

    Args:
        out: folder for checkpoints, logs and the finished models.
        stages: which to run, in order; later ones stand on the earlier ones' results in `out`.
        checkpoint_seconds: time between two checkpoints.
    """

    out: Path
    stages: tuple[Stage, ...] = STAGES
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    sae: SAEConfig = field(default_factory=SAEConfig)
    checkpoint_seconds: float = 120
