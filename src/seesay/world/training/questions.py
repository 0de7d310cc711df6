"""What the language model is taught to answer, and from which pictures.

Every batch asks one kind of question about one number of pictures, so that nothing but the text needs padding. Masks
and heatmaps are drawn with errors of their own, independent of the answer, and nothing here ever sees a feature of an
SAE or a steered residual.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Gemma3Processor

from seesay.images.blank import blank_image
from seesay.images.overlays import highlighted, masked
from seesay.world.concepts import CONCEPTS, INDEX, KINDS, Concept, Kind, level, names
from seesay.world.grammar import NOTHING, caption, phrase
from seesay.world.masks import PATCH_SIZE, PRESENT, coverage
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import IMAGE_SIZE, Layout, sample
from seesay.world.streams import Stream, seeds
from seesay.world.training.assembly import world_prompts

GRID = IMAGE_SIZE // PATCH_SIZE
MASK_FILL = (255, 0, 255)
"""Outside the palette, so that a masked patch is never mistaken for a coloured one."""

Overlay = Literal["plain", "mask", "heatmap"]
Question = Literal["describe", "highlight", "detect", "level"]
Phase = Literal["all", "close"]
"""`all` asks everything; `close` then asks mostly what one picture shows that is filled by one thing."""
IGNORED = -100
"""Label of tokens that are not to be learnt (transformers' convention)."""

_OVERLAYS: tuple[Overlay, ...] = ("plain", "mask", "heatmap")
_QUESTIONS: dict[Question, float] = {"describe": 0.42, "highlight": 0.47, "detect": 0.09, "level": 0.02}
_PICTURES = {1: 0.4, 2: 0.2, 3: 0.14, 4: 0.08, 5: 0.18}
_KINDS: dict[Kind, float] = {
    "thing": 0.32, "category": 0.13, "shape": 0.2, "colour": 0.13, "fill": 0.09, "background": 0.13,
}  # fmt: skip
_CLOSE_SHARE = 0.6
_CLOSE_LAYOUTS: tuple[Layout, ...] = ("close-up", "pattern")
_FLAT_LAYOUTS: tuple[Layout, ...] = ("close-up", "pattern", "empty", "empty")  # for what needs no object
_BLANK_SHARE = 0.05
_DROPPED, _ADDED = 0.15, 0.03  # a drawn heatmap misses patches of the concept and hits others
_MAX_PER_SEED = 8  # seeds set aside for one example: one for its choices, the others for its pictures


@dataclass(frozen=True)
class Example:
    """One question with its pictures and its answer.

    Args:
        question: text of the user's turn.
        pictures: none, one or several, uint8 `[height width 3]`.
        answer: what the model is to say.
    """

    question: str
    pictures: tuple[UInt8[np.ndarray, "height width 3"], ...]
    answer: str


def present(rendering: Rendering, concept: Concept) -> Bool[np.ndarray, "row column"]:
    """Patches that a concept covers by a quarter or more."""
    return (coverage(rendering)[INDEX[concept]] >= PRESENT).reshape(GRID, GRID)


def overlaid(
    rendering: Rendering, concept: Concept, overlay: Overlay, rng: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """A picture with a concept's patches shown by a noisy mask or heatmap, or left plain."""
    if overlay == "plain":
        return rendering.pixels
    noise = rng.random((GRID, GRID))
    held = present(rendering, concept)
    active = np.where(held, noise > _DROPPED, noise < _ADDED)
    return _drawn(rendering.pixels, active, overlay)


def _drawn(
    pixels: UInt8[np.ndarray, "height width 3"], active: Bool[np.ndarray, "row column"], overlay: Overlay
) -> UInt8[np.ndarray, "height width 3"]:
    return masked(pixels, active, MASK_FILL) if overlay == "mask" else highlighted(pixels, active)


def random_concept(rng: np.random.Generator) -> Concept:
    """A concept: first its kind, then one of that kind."""
    kind = KINDS[int(rng.choice(len(KINDS), p=[_KINDS[kind] for kind in KINDS]))]
    return Concept(kind, str(rng.choice(names(kind))))


def describe(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """What is in this picture?"""
    assert n_pictures == 1
    question = world_prompts()["describe"]
    if rng.random() < _BLANK_SHARE:
        return Example(question, *_blank(rng))
    rendering = render(sample(chosen[1]))
    return Example(question, (rendering.pixels,), caption(rendering.scene))


def _blank(rng: np.random.Generator) -> tuple[tuple[UInt8[np.ndarray, "height width 3"], ...], str]:
    kind = ("white", "black", "grey", "noise")[int(rng.integers(4))]
    pixels = np.asarray(blank_image(kind, IMAGE_SIZE, seed=int(rng.integers(1 << 31))))
    return (pixels,), f"{NOTHING} but noise" if kind == "noise" else f"{NOTHING} on a {kind} background"


def highlight(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """What do these pictures share, where they are marked? Blank ones share nothing."""
    question = world_prompts()["highlight"]
    if rng.random() < _BLANK_SHARE:
        blanks = [_blank(rng)[0][0] for _ in range(n_pictures)]
        active = rng.random((GRID, GRID)) < rng.random()
        overlay = _OVERLAYS[int(rng.integers(len(_OVERLAYS)))]
        pictures = [blank if overlay == "plain" else _drawn(blank, active, overlay) for blank in blanks]
        return Example(question, tuple(pictures), NOTHING)
    concept = random_concept(rng)
    overlay = _OVERLAYS[int(rng.integers(len(_OVERLAYS)))]
    pictures = [overlaid(render(sample(s, (concept,))), concept, overlay, rng) for s in chosen[1 : 1 + n_pictures]]
    return Example(question, tuple(pictures), phrase(concept))


def highlight_close(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """What is it that fills this picture? Blank ones still show nothing."""
    assert n_pictures == 1
    question = world_prompts()["highlight"]
    overlay = _OVERLAYS[int(rng.integers(len(_OVERLAYS)))] if rng.random() < 0.5 else "plain"
    if rng.random() < _BLANK_SHARE:
        return Example(question, _blank(rng)[0], NOTHING)
    concept = random_concept(rng)
    layouts = _FLAT_LAYOUTS if concept.kind in ("colour", "background") else _CLOSE_LAYOUTS
    rendering = render(sample(chosen[1], (concept,), layouts))
    return Example(question, (overlaid(rendering, concept, overlay, rng),), phrase(concept))


def detect(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """Is this concept in this picture? Yes and no are equally frequent."""
    assert n_pictures == 1
    concept = random_concept(rng)
    wanted = rng.random() < 0.5
    rendering = render(sample(chosen[1], (concept,) if wanted else ()))
    answer = "yes" if present(rendering, concept).any() else "no"
    return Example(world_prompts()["detect"].replace("{phrase}", phrase(concept)), (rendering.pixels,), answer)


def ask_level(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """Is this concept a matter of colour and texture, or of what things are?"""
    assert n_pictures == 0 and chosen
    concept = CONCEPTS[int(rng.integers(len(CONCEPTS)))]
    question = world_prompts()["level"].replace("{phrase}", phrase(concept))
    return Example(question, (), level(concept).replace("-", " "))


_MAKERS: dict[Question, Callable[[range, np.random.Generator, int], Example]] = {
    "describe": describe,
    "highlight": highlight,
    "detect": detect,
    "level": ask_level,
}


_PHASE_STARTS: dict[Phase, int] = {"all": 0, "close": 1 << 36}  # within a stream, so that no picture serves both


def examples(stream: Stream, batch: int, batch_size: int, phase: Phase = "all") -> list[Example]:
    """The examples of one batch, all of one kind and one number of pictures."""
    span = batch_size * _MAX_PER_SEED
    chosen = seeds(stream, _PHASE_STARTS[phase] + batch * span, span)
    rng = np.random.default_rng(chosen[0])
    if phase == "close" and rng.random() < _CLOSE_SHARE:
        return [highlight_close(chosen[i * _MAX_PER_SEED :][:_MAX_PER_SEED], rng, 1) for i in range(batch_size)]
    question = tuple(_QUESTIONS)[int(rng.choice(len(_QUESTIONS), p=list(_QUESTIONS.values())))]
    n_pictures = {"describe": 1, "detect": 1, "level": 0}.get(question)
    if n_pictures is None:
        n_pictures = int(rng.choice(list(_PICTURES), p=list(_PICTURES.values())))
    make = _MAKERS[question]
    return [make(chosen[i * _MAX_PER_SEED : (i + 1) * _MAX_PER_SEED], rng, n_pictures) for i in range(batch_size)]


@dataclass(frozen=True)
class TokenBatch:
    """A batch as the model reads it.

    Args:
        pixels: uint8 `[picture height width 3]`, all examples' pictures in a row; None without pictures.
        input_ids: question and answer, padded on the right.
        attention_mask: 1 where there is a token.
        token_type_ids: 1 on image tokens.
        labels: the answer and its end, `IGNORED` elsewhere.
    """

    pixels: UInt8[Tensor, "picture height width 3"] | None
    input_ids: Int[Tensor, "example token"]
    attention_mask: Int[Tensor, "example token"]
    token_type_ids: Int[Tensor, "example token"]
    labels: Int[Tensor, "example token"]


class QuestionBatches(Dataset[TokenBatch]):
    """Batches by step, drawn from one stream of seeds."""

    def __init__(
        self,
        processor: Gemma3Processor,
        stream: Stream,
        batch_size: int,
        n_batches: int,
        first: int = 0,
        phase: Phase = "all",
    ) -> None:
        self._processor: Any = processor
        self._stream: Stream = stream
        self._batch_size = batch_size
        self._n_batches = n_batches
        self._first = first
        self._phase: Phase = phase
        self._question_ids = cache(self._tokenised_question)

    def __len__(self) -> int:
        return self._n_batches - self._first

    def __getitem__(self, index: int) -> TokenBatch:
        return self.collate(examples(self._stream, self._first + index, self._batch_size, self._phase))

    def collate(self, batch: list[Example]) -> TokenBatch:
        """Tokenise, pad and stack."""
        tokenizer = self._processor.tokenizer
        end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
        rows: list[list[int]] = []
        labels: list[list[int]] = []
        for example in batch:
            question = self._question_ids(example.question, len(example.pictures))
            answer = [*tokenizer(example.answer, add_special_tokens=False)["input_ids"], end]
            rows.append([*question, *answer])
            labels.append([IGNORED] * len(question) + answer)
        length = max(map(len, rows))
        input_ids = torch.tensor([row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows])
        pictures = [picture for example in batch for picture in example.pictures]
        return TokenBatch(
            pixels=torch.from_numpy(np.stack(pictures)) if pictures else None,
            input_ids=input_ids,
            attention_mask=torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows]),
            token_type_ids=(input_ids == tokenizer.image_token_id).long(),
            labels=torch.tensor([row + [IGNORED] * (length - len(row)) for row in labels]),
        )

    def _tokenised_question(self, question: str, n_pictures: int) -> list[int]:
        content = [*({"type": "image"} for _ in range(n_pictures)), {"type": "text", "text": question}]
        text = self._processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        blanks = [blank_image("white", IMAGE_SIZE)] * n_pictures
        return self._processor(text=[text], images=[blanks] if blanks else None)["input_ids"][0]
