"""The training itself: sae-lens' steps, our stream of patches, checkpoints by the clock."""

import math
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seesay.errors import InvalidTraining, MissingExtra, NotEnoughMemory
from seesay.files import make_readable
from seesay.images.sources import ImageSource
from seesay.interruption import gently_interrupted
from seesay.sae.formats import load_sae
from seesay.sae.training.architectures import training_sae
from seesay.sae.training.checkpoints import Checkpoints
from seesay.sae.training.config import SAETrainingConfig
from seesay.sae.training.patches import PatchStream
from seesay.sae.training.report import write_report
from seesay.training_log import TrainingLog
from seesay.vlm.batches import is_out_of_memory
from seesay.vlm.encoder import Encoder
from seesay.vlm.identity import digest, fingerprint

STAGE = "training"
_METRICS_EVERY = 25
_N_BATCHES_FOR_SCALE = 8
_N_BATCHES_JUDGED = 8


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        folder: holds the SAE, for `load_sae`, with its log and report.
        figures: variance explained and features per patch of the SAE as it was saved, on the next few batches; and
            the share of features that were not active on the last `dead_after` batches.
        went_on_from: the step from which this run went on, 0 for a beginning; None if the training was done before.
    """

    folder: Path
    figures: Mapping[str, float]
    went_on_from: int | None


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
    config: SAETrainingConfig, task: Task, out: Path, *, resume: bool = False, checkpoint_minutes: float = 2.0
) -> Trained:
    """Train a sparse autoencoder and save it in SAELens' format.

    The first Ctrl-C ends it after the step, with a checkpoint.

    Args:
        config: what to learn and how.
        task: from what.
        out: the folder for the SAE, its log and its checkpoints.
        resume: go on from the last checkpoint there, if there is one; a finished training is left as it is.
        checkpoint_minutes: time between two checkpoints; a kill loses no more than that.

    Raises:
        MissingExtra: sae-lens is not installed.
        UnusablePath: the folder holds something else, or this training and `resume` does not ask for it.
        LayerNotFound: no such block.
        UnreadableImages: too many of the images cannot be read.
        InvalidTraining: it diverges.
        NotEnoughMemory: features, a batch or the buffer do not fit.
    """
    task.encoder.check_layer(task.layer)
    trainer_class, trainer_config = _sae_lens()
    checkpoints = Checkpoints(out, _identity(config, task), resume=resume)
    figures = checkpoints.finished()
    if figures is not None:
        return Trained(out, figures, None)
    with TrainingLog(out, STAGE) as log, _enough_memory(config):
        torch.manual_seed(config.seed)
        device = str(task.encoder.device)
        sae = training_sae(config, task.encoder.d_model, task.layer, task.subject, task.source.name, device)
        cfg = trainer_config(**_schedule(config), device=device)
        trainer = trainer_class(cfg=cfg, sae=sae, data_provider=iter(()))
        stream = _stream(config, task)
        checkpoints.restore(trainer, stream)
        start = trainer.n_training_steps
        log.resumed(start)
        if config.scales_inputs and trainer.activation_scaler.scaling_factor is None:
            trainer.activation_scaler.scaling_factor = _scale(stream, task.encoder.d_model)
        _fit(config, trainer, stream, log, checkpoints, checkpoint_minutes)
        figures = _save(trainer, stream, checkpoints, out)
        log.evaluation(trainer.n_training_steps, figures)
        log_frequency = trainer.log_feature_sparsity.tolist()
    title = f"{config.architecture} SAE of {task.subject}, block {task.layer}, on {task.source.name}"
    checkpoints.remove()
    write_report(out / "report.html", title, config, figures, out / f"{STAGE}.jsonl", log_frequency)
    return Trained(out, figures, start)


def _fit(
    config: SAETrainingConfig,
    trainer: Any,
    stream: PatchStream,
    log: TrainingLog,
    checkpoints: Checkpoints,
    checkpoint_minutes: float,
) -> None:
    saved_at = time.monotonic()
    with gently_interrupted() as is_interrupted:
        while trainer.n_training_steps < config.n_steps:
            trainer.maybe_reset_sparsity()
            output = trainer.step(next(stream))
            trainer.n_training_steps += 1
            step, loss = trainer.n_training_steps, output.loss.item()
            if not math.isfinite(loss):
                raise InvalidTraining(
                    f"the loss is {loss} at step {step}",
                    expected="a finite number",
                    remedy="begin anew with a lower learning rate, in another folder",
                )
            log.step(step, config.n_steps, loss)
            if step % _METRICS_EVERY == 0 or step == config.n_steps:
                figures = _figures(trainer, output)
                log.figures(step, {"loss": loss, **figures}, _in_short(figures))
            if is_interrupted() or time.monotonic() - saved_at >= 60 * checkpoint_minutes:
                checkpoints.save(trainer, stream)
                saved_at = time.monotonic()
            if is_interrupted():
                log.say(f"kept at step {step} of {config.n_steps}: the same command with --resume goes on from there")
                raise KeyboardInterrupt


@contextmanager
def _enough_memory(config: SAETrainingConfig) -> Generator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise NotEnoughMemory(
            f"{config.n_features} features, batches of {config.batch_size} patches and {config.buffer_batches} of them "
            "in the buffer, and no memory left",
            expected="room for all of them",
            remedy="take fewer --features, a smaller --batch-size or --buffer",
        ) from error


def _stream(config: SAETrainingConfig, task: Task) -> PatchStream:
    return PatchStream(
        task.encoder,
        task.source,
        task.layer,
        batch_size=config.batch_size,
        buffer_batches=config.buffer_batches,
        seed=config.seed,
    )


def _scale(stream: PatchStream, d_model: int) -> float:
    """What makes the mean norm of patches sqrt(d_model)."""
    norms = torch.cat([next(stream).norm(dim=-1) for _ in range(_N_BATCHES_FOR_SCALE)])
    return math.sqrt(d_model) / norms.mean().item()


def _schedule(config: SAETrainingConfig) -> dict[str, Any]:
    return {
        "total_training_samples": config.n_steps * config.batch_size,
        "train_batch_size_samples": config.batch_size,
        "lr": config.learning_rate,
        "lr_end": config.learning_rate / 100,  # which no constant schedule reads, and sae-lens refuses to do without
        "lr_warm_up_steps": min(config.n_warm_up_steps, config.n_steps // 2),
        "lr_decay_steps": int(config.decay_share * config.n_steps),
        # A short training has dead features, too.
        "dead_feature_window": min(config.dead_after, max(1, config.n_steps // 4)),
        "feature_sampling_window": -(-config.n_steps // 5),
    }


@torch.no_grad()
def _figures(trainer: Any, output: Any) -> dict[str, float]:
    """Variance explained, features per patch and the share of dead features, over one batch."""
    return {
        "variance_explained": _variance_explained(output.sae_in, output.sae_out),
        "l0": float(output.feature_acts.bool().float().sum(-1).to_dense().mean()),
        "dead_share": float(trainer.dead_neurons.float().mean()),
    }


def _variance_explained(patches: Tensor, rebuilt: Tensor) -> float:
    error = (rebuilt - patches).square().sum()
    return 1 - float(error / (patches - patches.mean(0)).square().sum())


def _in_short(figures: Mapping[str, float]) -> str:
    return f"explained {figures['variance_explained']:.2f}  L0 {figures['l0']:.1f}  dead {figures['dead_share']:.1%}"


def _save(trainer: Any, stream: PatchStream, checkpoints: Checkpoints, out: Path) -> dict[str, float]:
    """Fold what the inputs were scaled by into the weights, save them for inference, and measure what was saved."""
    dead_share = float(trainer.dead_neurons.float().mean())
    if trainer.activation_scaler.scaling_factor is not None:
        trainer.sae.fold_activation_norm_scaling_factor(trainer.activation_scaler.scaling_factor)
    trainer.set_final_sae_metadata()
    aside = out / ".sae.partial"
    weights, config = trainer.sae.save_inference_model(aside)[:2]
    sae = load_sae(aside).to(stream.device)
    patches = torch.cat([next(stream) for _ in range(_N_BATCHES_JUDGED)])
    codes = sae.encode(patches)
    figures = {
        "variance_explained": _variance_explained(patches, sae.decode(codes)),
        "l0": float((codes.values != 0).sum() / len(patches)),
        "dead_share": dead_share,
    }
    checkpoints.note(figures)
    for path in (weights, config):  # one at a time is renamed; it is an SAE when the configuration is there
        make_readable(path)
        path.replace(out / path.name)
    shutil.rmtree(aside)
    return figures


def _identity(config: SAETrainingConfig, task: Task) -> dict[str, Any]:
    """What must not change between a training's beginning and its end."""
    return {
        **asdict(config),
        "layer": task.layer,
        "dtype": str(task.encoder.dtype),
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
