"""The training itself: sae-lens' steps, our stream of patches, checkpoints by the clock."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from seesay.errors import MissingExtra
from seesay.images.sources import ImageSource
from seesay.sae.training.architectures import training_sae
from seesay.sae.training.checkpoints import Checkpoints
from seesay.sae.training.config import SAETrainingConfig
from seesay.sae.training.patches import PatchStream
from seesay.sae.training.report import write_report
from seesay.training_log import TrainingLog
from seesay.vlm.encoder import Encoder
from seesay.vlm.identity import digest, fingerprint

STAGE = "training"
_METRICS_EVERY = 25
_N_LAST = 10
_N_BATCHES_FOR_SCALE = 8


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        folder: holds the SAE, for `load_sae`, with its log and report.
        figures: variance explained, features per patch and the share of dead features, on the last batches.
    """

    folder: Path
    figures: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained on what.

    Args:
        encoder: whose residual stream is to be split.
        layer: after which block, 0-based.
        source: the images.
        subject: name of the encoder's model, for the record.
    """

    encoder: Encoder
    layer: int
    source: ImageSource
    subject: str


def train_sae(
    config: SAETrainingConfig, task: Task, out: Path, *, resume: bool = False, checkpoint_minutes: float = 5.0
) -> Trained:
    """Train a sparse autoencoder and save it in SAELens' format.

    Args:
        config: what to learn and how.
        task: from what.
        out: the folder for the SAE, its log and its checkpoints.
        resume: go on from the last checkpoint there, if there is one; a finished training is left as it is.
        checkpoint_minutes: time between two checkpoints; a kill loses no more than that.

    Raises:
        MissingExtra: sae-lens is not installed.
        UnusablePath: the folder holds another training or SAE, or this one and `resume` does not ask for it.
        LayerNotFound: no such block.
        UnreadableImages: too many of the images cannot be read.
    """
    task.encoder.check_layer(task.layer)
    trainer_class, trainer_config = _sae_lens()
    checkpoints = Checkpoints(out, _identity(config, task), resume=resume)
    figures = checkpoints.finished()
    if figures is not None:
        return Trained(out, figures)
    newest = checkpoints.newest()
    with TrainingLog(out, STAGE) as log:
        torch.manual_seed(config.seed)
        sae = training_sae(config, task.encoder.d_model, task.layer, task.subject, task.source.name)
        trainer = trainer_class(cfg=trainer_config(**_schedule(config)), sae=sae, data_provider=iter(()))
        stream = _stream(config, task)
        if newest is not None:
            checkpoints.restore(newest, trainer, stream)
        log.resumed(trainer.n_training_steps)
        if config.scale_inputs and trainer.activation_scaler.scaling_factor is None:
            trainer.activation_scaler.estimate_scaling_factor(task.encoder.d_model, stream, _N_BATCHES_FOR_SCALE)
        figures = _fit(config, trainer, stream, log, checkpoints, checkpoint_minutes)
        log.evaluation(trainer.n_training_steps, figures)
        log_frequency = trainer.log_feature_sparsity.tolist()
        _save(trainer, out)
    title = f"{config.architecture} SAE of {task.subject}, block {task.layer}, on {task.source.name}"
    write_report(out / "report.html", title, out / f"{STAGE}.jsonl", log_frequency)
    checkpoints.finish(figures)
    return Trained(out, figures)


def _fit(
    config: SAETrainingConfig,
    trainer: Any,
    stream: PatchStream,
    log: TrainingLog,
    checkpoints: Checkpoints,
    checkpoint_minutes: float,
) -> dict[str, float]:
    saved_at = time.monotonic()
    last: deque[dict[str, float]] = deque(maxlen=_N_LAST)
    while trainer.n_training_steps < config.n_steps:
        trainer.maybe_reset_sparsity()
        output = trainer.step(next(stream))
        trainer.n_training_steps += 1
        log.step(trainer.n_training_steps, config.n_steps, output.loss.item())
        if trainer.n_training_steps % _METRICS_EVERY == 0 or trainer.n_training_steps > config.n_steps - _N_LAST:
            last.append(_figures(trainer, output))
            log.figures(trainer.n_training_steps, last[-1], _in_short(last[-1]))
        if time.monotonic() - saved_at >= 60 * checkpoint_minutes:
            checkpoints.save(trainer, stream)
            saved_at = time.monotonic()
    return {name: sum(each[name] for each in last) / len(last) for name in last[-1]} if last else {}


def _stream(config: SAETrainingConfig, task: Task) -> PatchStream:
    return PatchStream(
        task.encoder,
        task.source,
        task.layer,
        batch_size=config.batch_size,
        buffer_batches=config.buffer_batches,
        seed=config.seed,
    )


def _schedule(config: SAETrainingConfig) -> dict[str, Any]:
    return {
        "total_training_samples": config.n_steps * config.batch_size,
        "train_batch_size_samples": config.batch_size,
        "lr": config.learning_rate,
        "lr_end": config.learning_rate / 100,
        "lr_warm_up_steps": min(config.n_warm_up_steps, config.n_steps // 2),
        "lr_decay_steps": int(config.decay_share * config.n_steps),
        "dead_feature_window": config.dead_after,
        "feature_sampling_window": max(1, config.n_steps // 5),
    }


@torch.no_grad()
def _figures(trainer: Any, output: Any) -> dict[str, float]:
    """Variance explained, features per patch and the share of dead features, over one batch."""
    error = (output.sae_out - output.sae_in).square().sum()
    total = (output.sae_in - output.sae_in.mean(0)).square().sum()
    return {
        "loss": output.loss.item(),
        "variance_explained": 1 - float(error / total),
        "l0": float(output.feature_acts.bool().float().sum(-1).to_dense().mean()),
        "dead_share": float(trainer.dead_neurons.float().mean()),
    }


def _in_short(figures: Mapping[str, float]) -> str:
    return f"explained {figures['variance_explained']:.2f}  L0 {figures['l0']:.1f}  dead {figures['dead_share']:.1%}"


def _save(trainer: Any, out: Path) -> None:
    """Fold what the inputs were scaled by into the weights, and save them for inference."""
    if trainer.activation_scaler.scaling_factor is not None:
        trainer.sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
    trainer.set_final_sae_metadata()
    aside = out / ".sae.partial"  # a file at a time is renamed: weights before their configuration
    for path in trainer.sae.save_inference_model(aside):
        path.replace(out / path.name)
    aside.rmdir()


def _identity(config: SAETrainingConfig, task: Task) -> dict[str, Any]:
    """What must not change between a training's beginning and its end."""
    return {
        **asdict(config),
        "layer": task.layer,
        "images": task.source.fingerprint,
        "encoder": digest(fingerprint(task.encoder, task.layer)),
    }


def _sae_lens() -> tuple[Any, Any]:
    """sae-lens' trainer and its configuration; imports transformer-lens, too, which takes five seconds."""
    if find_spec("sae_lens") is None:
        raise MissingExtra("training an SAE needs sae-lens", remedy="pip install 'seesay[train]'")
    from sae_lens import SAETrainer
    from sae_lens.config import SAETrainerConfig

    return SAETrainer, SAETrainerConfig
