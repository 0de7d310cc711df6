"""What training the world takes: sizes, steps, seeds. Free of torch, so that the command line starts at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

Stage = Literal["encoder", "language", "scorer", "judge", "sae", "strength"]
STAGES: tuple[Stage, ...] = get_args(Stage)
TRAINING_FILE = "training.json"
"""Seconds that each stage took, beside the models that it made."""


@dataclass(frozen=True)
class EncoderConfig:
    """The vision encoder: a SigLIP tower taught what holds at every patch, then frozen."""

    d_model: int = 128
    n_blocks: int = 6
    n_heads: int = 4
    n_images: int = 288_000
    batch_size: int = 64
    learning_rate: float = 2.5e-3
    seed: int = 0


@dataclass(frozen=True)
class TextConfig:
    """The sizes of one Gemma 3 language model."""

    d_model: int
    n_blocks: int
    n_heads: int
    head_dim: int = 64


SIZES: Mapping[str, TextConfig] = MappingProxyType(
    {
        "S": TextConfig(d_model=64, n_blocks=2, n_heads=1),
        "M": TextConfig(d_model=96, n_blocks=3, n_heads=2),
        "L": TextConfig(d_model=128, n_blocks=4, n_heads=2),
    }
)
"""The language models that explain, on one frozen encoder."""


@dataclass(frozen=True)
class LanguageConfig:
    """The training of language models side by side."""

    n_steps: int = 2600
    learning_rate: float = 2e-3
    seed: int = 0


@dataclass(frozen=True)
class JudgeConfig:
    """The judge: an encoder and a language model of its own."""

    encoder: EncoderConfig = EncoderConfig(d_model=96, n_blocks=5, n_heads=3, n_images=96_000, seed=100)
    text: TextConfig = TextConfig(d_model=96, n_blocks=3, n_heads=2)
    language: LanguageConfig = LanguageConfig(n_steps=2400, seed=100)


@dataclass(frozen=True)
class ScorerConfig:
    """The CLIP-like scorer: an image and a text encoder of its own, trained together."""

    d_model: int = 96
    n_blocks: int = 5
    n_heads: int = 3
    n_text_blocks: int = 2
    n_images: int = 176_000
    batch_size: int = 64
    learning_rate: float = 2.5e-3
    seed: int = 200


BLOCKS: Mapping[str, int] = MappingProxyType({"early": 1, "middle": 3, "late": 5})
"""The encoder's blocks whose residual stream is split into features, 0-based."""


@dataclass(frozen=True)
class SAEConfig:
    """TopK sparse autoencoders of the residual stream after some blocks; the rest is train-sae's preset `world`."""

    n_features: int = 1536
    k: int = 24
    n_images: int = 12_000
    batch_size: int = 1024
    n_steps: int = 1800
    buffer_batches: int = 128
    seed: int = 300


@dataclass(frozen=True)
class TrainingConfig:
    """All of the world's training.

    Args:
        out: folder for checkpoints, logs and the finished models.
        stages: which to run, in order; later ones stand on the earlier ones' results in `out`.
        n_seeds: language models of each size, the first of which is the one that the later stages use.
        device: torch's name of where to compute.
        checkpoint_seconds: time between two checkpoints.
    """

    out: Path
    stages: tuple[Stage, ...] = STAGES
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    sae: SAEConfig = field(default_factory=SAEConfig)
    n_seeds: int = 1
    device: str = "cpu"
    checkpoint_seconds: float = 120


def seeded(config: TrainingConfig, seed: int) -> TrainingConfig:
    """The same training from other seeds: every part's own seed, `seed` further on."""
    judge = replace(
        config.judge,
        encoder=replace(config.judge.encoder, seed=config.judge.encoder.seed + seed),
        language=replace(config.judge.language, seed=config.judge.language.seed + seed),
    )
    return replace(
        config,
        encoder=replace(config.encoder, seed=config.encoder.seed + seed),
        language=replace(config.language, seed=config.language.seed + seed),
        judge=judge,
        scorer=replace(config.scorer, seed=config.scorer.seed + seed),
        sae=replace(config.sae, seed=config.sae.seed + seed),
    )
