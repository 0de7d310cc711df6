"""Language models, taught to answer the world's questions on a frozen encoder.

Several of different sizes learn side by side: each batch goes through the encoder once and then through every one of
them, so that they see the same pictures and questions in the same order, and none costs an encoder of its own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Gemma3Processor, SiglipVisionModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from seesay.training_log import TrainingLog
from seesay.vlm.model import VLM
from seesay.world.examination import caption_quality, detection_accuracy, naming_accuracy
from seesay.world.questions import SEEDS_PER_EXAMPLE, Curriculum, world_prompts
from seesay.world.streams import Stream
from seesay.world.training.assembly import build_model, build_processor, save
from seesay.world.training.config import SIZES, LanguageConfig, TextConfig
from seesay.world.training.encoder import pixel_values
from seesay.world.training.loop import fit, loaded
from seesay.world.training.tokens import QuestionBatches, TokenBatch

FIRST_SEED = 1 << 39
"""Where the language models' seeds begin in a stream: an encoder's own come before them."""

MAX_SEEDS = 1000
"""More would leave the stream; every seed beyond sees the examples of one before."""

_N_CAPTIONS = 128
_N_PER_KIND = 16
_N_DETECTIONS = 30
_LOGGED_KINDS = ("thing", "category", "shape", "colour", "fill")


def answer_losses(models: Mapping[str, Any], tower: nn.Module, batch: TokenBatch) -> dict[str, Tensor]:
    """Mean cross entropy over the answers' tokens, of each model on one pass through the encoder that they share."""
    seen: Tensor | None = None
    if batch.pixels is not None:
        with torch.no_grad():
            seen = tower(pixel_values=pixel_values(batch.pixels)).last_hidden_state
    losses: dict[str, Tensor] = {}
    for name, model in models.items():
        encoder_outputs: dict[str, Any] = {}
        if seen is not None:
            projected = model.model.multi_modal_projector(seen)
            encoder_outputs = {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=projected)}}
        losses[name] = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
            labels=batch.labels,
            use_cache=False,
            **encoder_outputs,
        ).loss
    return losses


def fingerprint(tower: nn.Module) -> str:
    """A hash of all weights, by which another encoder is told."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(tower.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


def train_language(
    config: LanguageConfig,
    curriculum: Curriculum,
    sizes: Mapping[str, TextConfig],
    tower: SiglipVisionModel,
    out: Path,
    label: str,
    *,
    stream: Stream,
    device: torch.device,
    checkpoint_seconds: float,
) -> None:
    """Train language models and their projectors, or pick up where a stopped training left them, and save whole VLMs.

    Args:
        config: steps and seed.
        curriculum: what is taught.
        sizes: the language models by name, such as `M`; each VLM goes to `out/vlm/<name>`.
        tower: the trained encoder, left as it is.
        out: the training's folder.
        label: of checkpoint and log.
        stream: whose pictures.
        device: where to compute.
        checkpoint_seconds: time between two checkpoints.
    """
    processor = build_processor()
    models = nn.ModuleDict()
    for name, size in sizes.items():
        torch.manual_seed(config.seed)
        models[name] = build_model(size, tower, processor)
    tower = tower.to(device).eval().requires_grad_(False)  # pyright: ignore[reportArgumentType] (annotated for strings)
    models.to(device)
    for model in models.values():
        model.set_attn_implementation("eager")  # pyright: ignore[reportCallIssue] (as the encoder, for speed)

    def loss_of(step: Sequence[TokenBatch]) -> Tensor:  # a loader hands tuples on as lists
        losses = [answer_losses(dict(models.items()), tower, batch.to(device)) for batch in step]
        return torch.stack([loss for of_part in losses for loss in of_part.values()]).sum() / len(step)

    # Other seeds see other examples; all sizes of one seed see the same.
    n_encoder_steps = FIRST_SEED // (curriculum.batch_size * SEEDS_PER_EXAMPLE)
    first = n_encoder_steps + config.seed % MAX_SEEDS * config.n_steps
    steps = range(first, first + config.n_steps)
    with TrainingLog(out, label) as log:
        fit(
            models,
            loss_of,
            lambda step: loaded(QuestionBatches(processor, curriculum, stream, steps[step:])),
            n_steps=config.n_steps,
            learning_rate=config.learning_rate,
            device=device,
            checkpoint=out / "checkpoints" / f"{label}.pt",
            made_by=repr((config, dict(sizes), curriculum, stream, fingerprint(tower))),
            checkpoint_seconds=checkpoint_seconds,
            log=log,
            evaluate=lambda: _monitored(models, processor),
            evaluate_every=max(1, config.n_steps // 4),
            clipped=list(models.values()),
        )
    for name, model in models.items():
        save(model, processor, out / "vlm" / name)  # pyright: ignore[reportArgumentType] (all are Gemma 3)


def untaught(tower: SiglipVisionModel, device: torch.device) -> VLM:
    """A VLM whose encoder is the trained one, rounded as it is shipped, and whose language model knows nothing yet.

    It is for what needs the encoder alone, and so need not wait for the language models.
    """
    processor = build_processor()
    model: Any = build_model(next(iter(SIZES.values())), tower, processor)
    return _vlm(model.bfloat16().float().eval().to(device), processor)


def _vlm(model: Any, processor: Any) -> VLM:
    return VLM(model, processor.image_processor, processor.tokenizer, world_prompts())


def _monitored(models: nn.ModuleDict, processor: Gemma3Processor) -> dict[str, float]:
    """What the models can do so far, on pictures of which nothing is reported later."""
    figures: dict[str, float] = {}
    for name, model in models.items():
        vlm = _vlm(model, processor)
        figures[f"{name}_caption_recall"], _ = caption_quality(vlm, _N_CAPTIONS, "monitoring")
        for kind in _LOGGED_KINDS:
            figures[f"{name}_{kind}"] = naming_accuracy(vlm, kind, _N_PER_KIND, "monitoring")
        figures[f"{name}_detection"] = detection_accuracy(vlm, _N_DETECTIONS, stream="monitoring")
    return figures
