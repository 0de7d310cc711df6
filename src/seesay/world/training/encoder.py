"""The vision encoder, taught by dense supervision: what holds at every patch, by kind of concept.

Captions alone teach an encoder this small far too slowly (world.md). The linear heads are thrown away.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import SiglipVisionConfig, SiglipVisionModel

from seesay.errors import UnusablePath
from seesay.training_log import TrainingLog
from seesay.world.concepts import INDEX, KINDS, Concept, names
from seesay.world.masks import PATCH_SIZE, PRESENT, coverage
from seesay.world.rendering import render
from seesay.world.scenes import IMAGE_SIZE, sample
from seesay.world.streams import Stream
from seesay.world.training.config import EncoderConfig
from seesay.world.training.loop import SeededBatches, fit, load_checkpoint, loaded

_NONE_WEIGHT = 0.15  # most patches hold no object; unweighted, "none" would be all that is learnt at first
_SHAPE_WEIGHT = 2.0  # an outline takes many patches to see: shapes are learnt last
_N_HELD_OUT = 1024


def vision_config(config: EncoderConfig) -> SiglipVisionConfig:
    """The tower as transformers describes it."""
    return SiglipVisionConfig(
        hidden_size=config.d_model,
        intermediate_size=4 * config.d_model,
        num_hidden_layers=config.n_blocks,
        num_attention_heads=config.n_heads,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        vision_use_head=False,
    )


def pixel_values(pixels: Tensor) -> Float[Tensor, "image channel height width"]:
    """What the processor makes of a picture: channels first, -1 to 1. `pixels` is uint8 `[image height width 3]`."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


class PatchReader(nn.Module):
    """The tower with one linear head per kind of concept; class 0 of each head is "none"."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.tower = SiglipVisionModel(vision_config(config))
        # For so few patches a fused kernel costs more than it saves: a quarter of the step in bfloat16 on a CPU.
        self.tower.set_attn_implementation("eager")
        self.heads = nn.ModuleDict({kind: nn.Linear(config.d_model, 1 + len(names(kind))) for kind in KINDS})

    def forward(self, pixels: Tensor) -> dict[str, Float[Tensor, "image patch class"]]:
        """Logits of every kind; `pixels` is uint8 `[image height width 3]`."""
        seen = self.tower(pixel_values=pixel_values(pixels)).last_hidden_state
        return {kind: head(seen).float() for kind, head in self.heads.items()}


@dataclass(frozen=True)
class PatchBatch:
    """Pictures and what holds at their patches: uint8 `[image height width 3]`, class ids `[image patch kind]`."""

    pixels: Tensor
    labels: Int[Tensor, "image patch kind"]


def patch_labels(covered: Float[np.ndarray, "concept patch"]) -> Int[np.ndarray, "patch kind"]:
    """For every patch and kind, 1 + the concept that covers most of it, or 0 if none covers a quarter."""
    labels = np.zeros((covered.shape[1], len(KINDS)), dtype=np.int64)
    for column, kind in enumerate(KINDS):
        first = INDEX[Concept(kind, names(kind)[0])]
        shares = covered[first : first + len(names(kind))]
        labels[:, column] = np.where(shares.max(0) >= PRESENT, 1 + shares.argmax(0), 0)
    return labels


class PatchBatches(SeededBatches[PatchBatch]):
    """Labelled batches by step, drawn from one stream of seeds."""

    def __getitem__(self, index: int) -> PatchBatch:
        chosen = self.seeds(index)
        renderings = [render(sample(seed)) for seed in chosen]
        labels = np.stack([patch_labels(coverage(rendering)) for rendering in renderings])
        pixels = np.stack([rendering.pixels for rendering in renderings])
        return PatchBatch(torch.from_numpy(pixels), torch.from_numpy(labels))


def patch_loss(logits: dict[str, Tensor], labels: Int[Tensor, "image patch kind"]) -> Float[Tensor, ""]:
    """Cross entropy summed over kinds, patches without the kind weighing less and shapes twice."""
    total = torch.zeros((), device=labels.device)
    for column, kind in enumerate(KINDS):
        weight = torch.ones(logits[kind].shape[-1], device=labels.device)
        weight[0] = _NONE_WEIGHT
        loss = functional.cross_entropy(logits[kind].flatten(0, 1), labels[..., column].flatten(), weight)
        total = total + (_SHAPE_WEIGHT if kind == "shape" else 1.0) * loss
    return total


def patch_accuracy(reader: PatchReader, held_out: PatchBatch) -> dict[str, float]:
    """Share of patches named rightly, by kind, among those that have one."""
    logits = {kind: [] for kind in KINDS}
    device = next(reader.parameters()).device
    for pixels in held_out.pixels.split(256):
        for kind, values in reader(pixels.to(device)).items():
            logits[kind].append(values.argmax(-1).cpu())
    figures: dict[str, float] = {}
    for column, kind in enumerate(KINDS):
        truth = held_out.labels[..., column]
        right = torch.cat(logits[kind]) == truth
        figures[kind] = float(right[truth > 0].float().mean())
    return figures


def finished_tower(config: EncoderConfig, out: Path, name: str) -> SiglipVisionModel:
    """The tower of a training that ran to its end, without the heads.

    Raises:
        UnusablePath: if there is none in `out`.
    """
    reader = PatchReader(config)
    n_steps = config.n_images // config.batch_size
    if load_checkpoint(_checkpoint(out, name), repr(config), reader) != n_steps:
        raise UnusablePath(f"{out} holds no finished {name}", remedy="run the stage that trains it there first")
    return reader.tower


def _checkpoint(out: Path, name: str) -> Path:
    return out / "checkpoints" / f"{name}.pt"


def train_encoder(
    config: EncoderConfig, out: Path, name: str, *, stream: Stream, device: torch.device, checkpoint_seconds: float
) -> None:
    """Train a tower, or pick up where a stopped training left it.

    Args:
        config: sizes, steps and seed.
        out: the training's folder; the checkpoint goes to `out/checkpoints/<name>.pt`.
        name: of checkpoint and log.
        stream: whose pictures.
        device: where to compute.
        checkpoint_seconds: time between two checkpoints.
    """
    torch.manual_seed(config.seed)
    reader = PatchReader(config).to(device)
    n_steps = config.n_images // config.batch_size
    held_out = PatchBatches("monitoring", _N_HELD_OUT, range(1))[0]

    with TrainingLog(out, name) as log:
        fit(
            reader,
            lambda batch: patch_loss(reader(batch.pixels.to(device)), batch.labels.to(device)),
            lambda step: loaded(PatchBatches(stream, config.batch_size, range(step, n_steps))),
            n_steps=n_steps,
            learning_rate=config.learning_rate,
            device=device,
            checkpoint=_checkpoint(out, name),
            made_by=repr(config),
            checkpoint_seconds=checkpoint_seconds,
            log=log,
            evaluate=lambda: patch_accuracy(reader, held_out),
            evaluate_every=max(1, min(500, n_steps // 4)),
        )
