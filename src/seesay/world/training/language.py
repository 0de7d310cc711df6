"""The language model, taught to answer the world's questions on the frozen encoder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Gemma3ForConditionalGeneration, SiglipVisionModel

from seesay.vlm.model import VLM
from seesay.world.concepts import KINDS, Concept, Kind, names
from seesay.world.grammar import parse
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import seeds
from seesay.world.training.assembly import build_model, build_processor, save, world_prompts
from seesay.world.training.config import LanguageConfig
from seesay.world.training.encoder import pixel_values
from seesay.world.training.log import TrainingLog
from seesay.world.training.loop import fit
from seesay.world.training.questions import Example, Phase, QuestionBatches, TokenBatch, overlaid

_N_CAPTIONS = 192
_N_PER_KIND = 40
_N_SHOWN = 5
_N_AT_ONCE = 64


def answer_loss(model: Gemma3ForConditionalGeneration, batch: TokenBatch) -> Tensor:
    """Mean cross entropy over the answers' tokens."""
    return model(
        pixel_values=None if batch.pixels is None else pixel_values(batch.pixels),
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        labels=batch.labels,
    ).loss  # pyright: ignore[reportReturnType] (given, since labels are)


def answers(vlm: VLM, examples: list[Example]) -> list[str]:
    """What a model says to examples that ask one question of one number of pictures, in order."""
    n_pictures = len(examples[0].pictures)
    images = [Image.fromarray(picture) for example in examples for picture in example.pictures]
    tokens = vlm.encode(images, batch_size=_N_AT_ONCE).unflatten(0, (len(examples), n_pictures))
    return [answer.text for answer in vlm.say(examples[0].question, tokens, max_new_tokens=40)]


def caption_recall(vlm: VLM) -> float:
    """Share of the objects in held-out scenes whose thing or shape is named in the caption."""
    renderings = [render(sample(seed)) for seed in seeds("evaluation", 10_000, _N_CAPTIONS)]
    said = answers(vlm, [Example(world_prompts()["describe"], (r.pixels,), "") for r in renderings])
    found: list[bool] = []
    for rendering, text in zip(renderings, said, strict=True):
        named = set(parse(text))
        nouns = {item.concepts[-1] for item in rendering.scene.items}
        found += [noun in named for noun in nouns]
    return float(np.mean(found))


def naming_accuracy(vlm: VLM, kind: Kind) -> float:
    """Share of concepts of one kind that are named exactly from five masked pictures that share them."""
    rng = np.random.default_rng(KINDS.index(kind))
    concepts = [Concept(kind, str(rng.choice(names(kind)))) for _ in range(_N_PER_KIND)]
    examples: list[Example] = []
    for row, concept in enumerate(concepts):
        chosen = seeds("evaluation", 20_000 + (KINDS.index(kind) * _N_PER_KIND + row) * _N_SHOWN, _N_SHOWN)
        pictures = tuple(overlaid(render(sample(seed, (concept,))), concept, "mask", rng) for seed in chosen)
        examples.append(Example(world_prompts()["highlight"], pictures, ""))
    right = [parse(text)[:1] == (concept,) for text, concept in zip(answers(vlm, examples), concepts, strict=True)]
    return float(np.mean(right))


def train_language(
    config: LanguageConfig, tower: SiglipVisionModel, out: Path, name: str, checkpoint_seconds: float
) -> None:
    """Train a language model and its projector, or pick up where a stopped training left it, and save the whole VLM.

    Args:
        config: sizes, steps and seed.
        tower: the trained encoder, left as it is.
        out: the training's folder; the VLM goes to `out/vlm/<name>`.
        name: of the language model, such as `M`.
        checkpoint_seconds: time between two checkpoints.
    """
    torch.manual_seed(config.seed)
    processor = build_processor()
    model = build_model(config, tower, processor)
    vlm = VLM(model, processor, world_prompts())

    def evaluate() -> dict[str, float]:
        return {"caption_recall": caption_recall(vlm), **{kind: naming_accuracy(vlm, kind) for kind in KINDS}}

    phases: tuple[tuple[Phase, str, int, float], ...] = (
        ("all", f"language-{name}", config.n_examples, config.learning_rate),
        ("close", f"language-{name}-close", config.n_close_examples, config.close_learning_rate),
    )
    for phase, label, n_examples, learning_rate in phases:
        n_steps = n_examples // config.batch_size

        def batches(step: int, phase: Phase = phase, n_steps: int = n_steps) -> Iterator[TokenBatch]:
            data = QuestionBatches(processor, "language", config.batch_size, n_steps, step, phase)
            return iter(DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=8))

        with TrainingLog(out, label) as log:
            fit(
                model,
                lambda batch: answer_loss(model, batch),
                batches,
                n_steps=n_steps,
                learning_rate=learning_rate,
                checkpoint=out / "checkpoints" / f"{label}.pt",
                made_by=repr(config),
                checkpoint_seconds=checkpoint_seconds,
                log=log,
                evaluate=evaluate,
                evaluate_every=max(1, min(500, n_steps // 4)),
            )
    save(model, processor, out / "vlm" / name)
