"""Training the embedded world's models, from nothing and resumably."""

import time
from collections.abc import Callable
from importlib.util import find_spec

from seesay.errors import MissingExtra
from seesay.world.training.config import Stage, TrainingConfig

LANGUAGE_MODEL = "M"
BLOCK = "middle"


def train(config: TrainingConfig) -> dict[str, float]:
    """Run the stages asked for, each from its last checkpoint.

    Returns:
        Seconds that each stage took this time.

    Raises:
        MissingExtra: if an SAE is asked for and sae-lens is not installed.
        UnusablePath: if a stage is asked for whose predecessor has not finished in `config.out`.
    """
    if "sae" in config.stages and find_spec("sae_lens") is None:
        raise MissingExtra(
            "training an SAE needs sae-lens, which is not installed",
            remedy="run make world, or pip install -e '.[train]' in a clone of seesay",
        )
    stages: dict[Stage, Callable[[TrainingConfig], None]] = {
        "encoder": _encoder,
        "language": _language,
        "sae": _sae,
        "strength": _strength,
    }
    seconds: dict[str, float] = {}
    for stage in config.stages:
        started = time.monotonic()
        stages[stage](config)
        seconds[stage] = round(time.monotonic() - started, 1)
    return seconds


def _encoder(config: TrainingConfig) -> None:
    from seesay.world.training.encoder import train_encoder

    train_encoder(config.encoder, config.out, config.checkpoint_seconds)


def _language(config: TrainingConfig) -> None:
    from seesay.world.training.encoder import finished_tower
    from seesay.world.training.language import train_language

    tower = finished_tower(config.encoder, config.out)
    train_language(config.language, tower, config.out, LANGUAGE_MODEL, config.checkpoint_seconds)


def _sae(config: TrainingConfig) -> None:
    from seesay.vlm import load_vlm
    from seesay.world.training.sae import train_sae

    vlm = load_vlm(config.out / "vlm" / LANGUAGE_MODEL, device="cpu", dtype="float32")
    train_sae(config.sae, vlm, f"world:{LANGUAGE_MODEL}", config.out, BLOCK)


def _strength(config: TrainingConfig) -> None:
    from seesay.sae import load_sae
    from seesay.vlm import load_vlm
    from seesay.world.training.strength import choose_strength

    folder = config.out / "sae" / BLOCK
    vlm = load_vlm(config.out / "vlm" / LANGUAGE_MODEL, device="cpu", dtype="float32")
    choose_strength(vlm, load_sae(folder), config.sae.layer, folder)
