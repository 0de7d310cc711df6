"""One resumable training loop for the encoder and the language models."""

import math
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from seesay.errors import UnusablePath
from seesay.training_log import TrainingLog
from seesay.world.streams import Stream, seeds
from seesay.world.training.muon import Muon, has_bfloat16

Batch = TypeVar("Batch")

_WARM_UP = 0.02
_FLOOR = 0.03
_CONTEXT = 40  # characters shown around where two configurations begin to differ


def learning_rate_factor(progress: float) -> float:
    """Linear warm-up, then a cosine down to 3 %, over a training from 0 to 1."""
    if progress < _WARM_UP:
        return max(progress, 1e-3) / _WARM_UP
    return _FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) / 2


def mixed_precision(device: torch.device) -> torch.autocast:
    """Bfloat16 for the products of matrices, where the device computes in it; elsewhere nothing changes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


def optimisers(model: nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for everything else.

    Embeddings, heads, norms and biases are not what Muon is made for.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            inside = parameter.ndim == 2 and "layers." in name
            (matrices if inside else others).append(parameter)
    return [
        Muon(matrices, learning_rate),
        torch.optim.AdamW(others, learning_rate, weight_decay=0.01, betas=(0.9, 0.98)),
    ]


class SeededBatches(Dataset[Batch]):
    """Batches by step, drawn from one stream of seeds.

    Args:
        stream: whose seeds.
        batch_size: pictures per batch.
        steps: which batches of the stream.
    """

    def __init__(self, stream: Stream, batch_size: int, steps: range) -> None:
        self._stream: Stream = stream
        self._batch_size = batch_size
        self._steps = steps

    def __len__(self) -> int:
        return len(self._steps)

    def seeds(self, index: int) -> range:
        """The seeds of one batch.

        Args:
            index: of the batch among these.
        """
        return seeds(self._stream, self._steps[index] * self._batch_size, self._batch_size)


def loaded(batches: Dataset[Batch]) -> Iterator[Batch]:
    """Batches in order, made by a process of their own while the model learns from the last one."""
    return iter(DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=8))


def fit(
    model: nn.Module,
    loss_of: Callable[[Any], Tensor],
    batches: Callable[[int], Iterator[Any]],
    *,
    n_steps: int,
    learning_rate: float,
    device: torch.device,
    checkpoint: Path,
    made_by: str,
    checkpoint_seconds: float,
    log: TrainingLog,
    evaluate: Callable[[], dict[str, float]],
    evaluate_every: int,
    clipped: Sequence[nn.Module] = (),
) -> None:
    """Train to the end, from the last checkpoint if there is one.

    Args:
        model: what is trained; only parameters that require a gradient are.
        loss_of: loss of one batch.
        batches: `batches(step)` yields the batches from that step on, so that a resumed training sees what an unbroken
            one would.
        n_steps: steps in all.
        learning_rate: at its peak.
        device: where the model is.
        checkpoint: the file to write and to resume from.
        made_by: the configuration in words; a checkpoint made by another one is refused.
        checkpoint_seconds: time between two checkpoints.
        log: where losses and evaluations go.
        evaluate: measured on held-out scenes.
        evaluate_every: in steps.
        clipped: parts whose gradients are clipped each by itself; none means the model as a whole.

    Raises:
        UnusablePath: if the checkpoint is damaged or was made by another configuration.
    """
    optims = optimisers(model, learning_rate)
    step = load_checkpoint(checkpoint, made_by, model, optims)
    log.resumed(step)
    if step >= n_steps:
        return
    saved = time.monotonic()
    model.train()
    for batch in batches(step):
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = learning_rate * learning_rate_factor(step / n_steps)
        with mixed_precision(device):
            loss = loss_of(batch)
        assert loss.isfinite(), f"the loss of step {step} is not finite"
        loss.backward()
        for part in clipped or (model,):
            nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        for optim in optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        step += 1
        log.step(step, n_steps, float(loss.detach()))
        if step % evaluate_every == 0 or step == n_steps:
            model.eval()
            with torch.inference_mode():
                log.evaluation(step, evaluate())
            model.train()
        if time.monotonic() - saved > checkpoint_seconds or step == n_steps:
            _save(checkpoint, made_by, model, optims, step)
            saved = time.monotonic()
        if step == n_steps:
            break
    model.eval()


def load_checkpoint(
    checkpoint: Path, made_by: str, model: nn.Module, optims: Sequence[torch.optim.Optimizer] = ()
) -> int:
    """Load a checkpoint's weights, and the optimisers' state if they are given.

    Returns:
        The step it was written at; 0 if there is no checkpoint.

    Raises:
        UnusablePath: if the checkpoint is damaged or was made by another configuration.
    """
    if not checkpoint.exists():
        return 0
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        maker = str(state["made_by"])
        if maker == made_by:
            model.load_state_dict(state["model"])
            for optim, saved in zip(optims, state["optimisers"], strict=False):
                optim.load_state_dict(saved)
            return int(state["step"])
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise UnusablePath(f"{checkpoint} is damaged", remedy="remove it to start this stage again") from error
    same = max(0, len(os.path.commonprefix([maker, made_by])) - _CONTEXT)
    raise UnusablePath(
        f"{checkpoint} was made by another configuration: ...{maker[same : same + 2 * _CONTEXT]}...",
        expected=f"...{made_by[same : same + 2 * _CONTEXT]}...",
        remedy="give another --out, or remove it",
    )


def _save(checkpoint: Path, made_by: str, model: nn.Module, optims: list[torch.optim.Optimizer], step: int) -> None:
    """Write aside, then rename: a kill leaves the old checkpoint or the new one, never half of one."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    aside = checkpoint.with_suffix(".partial")
    states = [optim.state_dict() for optim in optims]
    state = {"made_by": made_by, "model": model.state_dict(), "optimisers": states, "step": step}
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(checkpoint)
