"""Sparse autoencoders of the encoder's blocks, trained on the world's pictures as any others are."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import torch

from seesay.sae import load_sae, save_sae
from seesay.sae.identity import digest
from seesay.sae.quality import measure
from seesay.sae.training import PRESETS
from seesay.sae.training.training import Task
from seesay.sae.training.training import train_sae as train
from seesay.training_log import TrainingLog
from seesay.vlm.encoder import Encoder
from seesay.world.pictures import Pictures
from seesay.world.training.config import SAEConfig

_N_HELD_OUT = 1000


def train_sae(
    config: SAEConfig, encoder: Encoder, layer: int, subject: str, out: Path, name: str, checkpoint_seconds: float
) -> None:
    """Train an SAE and write it to `out/sae/<name>` in SAELens' format, bfloat16.

    A training that was stopped goes on from its last checkpoint; one that is done is left as it is.

    Args:
        config: what to learn, and from how many pictures.
        encoder: what it is for.
        layer: the block whose residual stream it splits, 0-based.
        subject: the model's name, for the record.
        out: the training's folder.
        name: of the SAE, such as `middle`.
        checkpoint_seconds: time between two checkpoints.
    """
    own = {name: value for name, value in asdict(config).items() if name != "n_images"}
    recipe = replace(PRESETS["world"], **own)
    with TrainingLog(out, f"sae-{name}") as log:
        log.resumed(0)
        pictures = Pictures(config.n_images, stream="sae")
        task, folder = Task(encoder, layer, pictures, subject), out / "sae" / name
        minutes = checkpoint_seconds / 60
        trained = train(recipe, task, out / "sae-training" / name, resume=True, checkpoint_minutes=minutes)
        sae = load_sae(trained.folder).to(dtype=torch.bfloat16)
        if not folder.exists() or digest(sae) != digest(load_sae(folder).to(dtype=torch.bfloat16)):
            shutil.rmtree(folder, ignore_errors=True)  # with the strengths that were chosen for an earlier one
            save_sae(sae, folder)
        held_out = Pictures(_N_HELD_OUT, stream="monitoring")
        quality = asdict(measure(load_sae(folder).to(encoder.device), encoder, layer, held_out))
        figures = ("variance_explained", "l0", "dead_share")
        log.evaluation(config.n_steps, {figure: quality[figure] for figure in figures})
