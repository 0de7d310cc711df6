"""Training the embedded world's models, from nothing and resumably."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seesay.errors import MissingExtra, UnusablePath
from seesay.files import write_json
from seesay.training_log import seconds_logged
from seesay.world.training.config import BLOCKS, SIZES, TRAINING_FILE, Stage, TrainingConfig

__all__ = ["SUBJECT", "train"]

SUBJECT = "M"
"""The language model that the SAEs' records name; all of them share the encoder that the SAEs are for."""

_JUDGE = "judge"
_LOGS: dict[Stage, tuple[str, ...]] = {
    "encoder": ("encoder",),
    "language": ("language",),
    "scorer": ("scorer",),
    "judge": ("judge-encoder", "judge"),
    "sae": tuple(f"sae-training/{name}/training" for name in BLOCKS),  # which knows of earlier runs
    "strength": tuple(f"strength-{name}" for name in BLOCKS),
}


def train(config: TrainingConfig) -> dict[str, float]:
    """Run the stages asked for, each from its last checkpoint.

    Returns:
        Seconds that each stage took since it last began from nothing; further seeds of the language models not counted.

    Raises:
        MissingExtra: if an SAE is asked for and sae-lens is not installed.
        UnusablePath: if a stage is asked for whose predecessor has not finished in `config.out`.
        UnavailableDevice: a device that this machine does not have.
    """
    if "sae" in config.stages and find_spec("sae_lens") is None:
        raise MissingExtra(
            "training an SAE needs sae-lens, which is not installed",
            remedy="run make world, or pip install -e '.[train]' in a clone of seesay",
        )
    stages: dict[Stage, Callable[[TrainingConfig], None]] = {
        "encoder": _encoder,
        "language": _language,
        "scorer": _scorer,
        "judge": _judge,
        "sae": _sae,
        "strength": _strength,
    }
    seconds: dict[str, float] = {}
    for stage in config.stages:
        _note(config.out, stage, None)  # what stands there is of other models as soon as this begins
        stages[stage](config)
        seconds[stage] = round(sum(seconds_logged(config.out, label) for label in _LOGS[stage]), 1)
        _note(config.out, stage, seconds[stage])
    return seconds


def _note(folder: Path, stage: Stage, seconds: float | None) -> None:
    """Renew a stage's seconds among those noted before; None forgets them."""
    file = folder / TRAINING_FILE
    noted: Any = {}
    if file.exists():
        try:
            noted = json.loads(file.read_text("utf-8"))
        except ValueError:
            noted = None
        if not isinstance(noted, dict):
            raise UnusablePath(f"{file} is damaged", remedy="remove it")
    kept = {name: value for name, value in noted.items() if name != stage}
    if kept or seconds is not None:
        write_json(file, kept if seconds is None else kept | {stage: seconds})


def _encoder(config: TrainingConfig) -> None:
    from seesay.vlm.loading import resolve_device
    from seesay.world.training.encoder import train_encoder

    train_encoder(
        config.encoder,
        config.out,
        "encoder",
        stream="encoder",
        device=resolve_device(config.device),
        checkpoint_seconds=config.checkpoint_seconds,
    )


def _language(config: TrainingConfig) -> None:
    from seesay.vlm.loading import resolve_device
    from seesay.world.questions import EXPLAINER
    from seesay.world.training.encoder import finished_tower
    from seesay.world.training.language import train_language

    for number in range(config.n_seeds):
        suffix = f"-{number}" if number else ""
        train_language(
            replace(config.language, seed=config.language.seed + number),
            EXPLAINER,
            {f"{name}{suffix}": size for name, size in SIZES.items()},
            finished_tower(config.encoder, config.out, "encoder"),
            config.out,
            f"language{suffix}",
            stream="language",
            device=resolve_device(config.device),
            checkpoint_seconds=config.checkpoint_seconds,
        )


def _scorer(config: TrainingConfig) -> None:
    from seesay.vlm.loading import resolve_device
    from seesay.world.training.scorer import train_scorer

    train_scorer(
        config.scorer,
        config.out,
        device=resolve_device(config.device),
        checkpoint_seconds=config.checkpoint_seconds,
    )


def _judge(config: TrainingConfig) -> None:
    from seesay.vlm.loading import resolve_device
    from seesay.world.questions import JUDGE
    from seesay.world.training.encoder import finished_tower, train_encoder
    from seesay.world.training.language import train_language

    device = resolve_device(config.device)
    eyes, label = config.judge.encoder, f"{_JUDGE}-encoder"
    train_encoder(eyes, config.out, label, stream="judge", device=device, checkpoint_seconds=config.checkpoint_seconds)
    train_language(
        config.judge.language,
        JUDGE,
        {_JUDGE: config.judge.text},
        finished_tower(eyes, config.out, label),
        config.out,
        _JUDGE,
        stream="judge",
        device=device,
        checkpoint_seconds=config.checkpoint_seconds,
    )


def _sae(config: TrainingConfig) -> None:
    from seesay.vlm.loading import resolve_device
    from seesay.world.training.encoder import finished_tower
    from seesay.world.training.language import untaught
    from seesay.world.training.sae import train_sae

    vlm = untaught(finished_tower(config.encoder, config.out, "encoder"), resolve_device(config.device))
    for name, layer in BLOCKS.items():
        subject = f"world:{SUBJECT}"
        train_sae(config.sae, vlm.encoder, layer, subject, config.out, name, config.checkpoint_seconds)


def _strength(config: TrainingConfig) -> None:
    from seesay.vlm import load_vlm
    from seesay.world.training.strength import choose_strengths

    vlms = {name: load_vlm(config.out / "vlm" / name, device=config.device, dtype="float32") for name in SIZES}
    for name, layer in BLOCKS.items():
        choose_strengths(vlms, config.out, name, layer)
