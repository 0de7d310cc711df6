"""What the world's models are taught to answer, from which pictures, and what they are examined with.

Every part of a step asks one kind of question about one number of pictures, so that nothing but the text needs padding.
Masks and heatmaps are drawn with errors of their own, independent of the answer, and nothing here ever sees a feature
of an SAE or a steered residual.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from itertools import islice
from types import MappingProxyType
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float, UInt8

from seesay.images.blank import blank_image
from seesay.images.options import EmptyImage
from seesay.images.overlays import highlighted, masked
from seesay.vlm.prompts import Prompts, read_prompts
from seesay.world.concepts import CONCEPTS, INDEX, Concept, Kind, level, names
from seesay.world.grammar import NOTHING, caption, phrase
from seesay.world.masks import PATCH_SIZE, PRESENT, YesOrNo, answer_of, coverage, mask, patch_shares
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import IMAGE_SIZE, Layout, sample

GRID = IMAGE_SIZE // PATCH_SIZE
MASK_FILL = (255, 0, 255)
"""Outside the palette, so that a masked patch is never mistaken for a coloured one."""

Overlay = Literal["plain", "mask", "heatmap"]
Question = Literal["describe", "highlight", "detect", "fuzz", "level"]
SEEDS_PER_EXAMPLE = 16
"""Seeds set aside for one example, for its pictures; a part's first one is for all its choices."""

_OVERLAYS: dict[Overlay, float] = {"plain": 0.2, "mask": 0.4, "heatmap": 0.4}
_KINDS: dict[Kind, float] = {
    "thing": 0.2, "category": 0.15, "shape": 0.17, "colour": 0.16, "fill": 0.1, "background": 0.08,
    "edge": 0.04, "boundary": 0.02, "brightness": 0.03, "position": 0.03, "size": 0.02,
}  # fmt: skip
_N_TURNS = 5  # questions about one picture where the answer is a word: encoding the picture costs more than they do
_CLOSE_SHARE = 0.4  # of single highlighted pictures, those that the concept fills
_CLOSE_LAYOUTS: tuple[Layout, ...] = ("close-up", "pattern")
_FLAT_LAYOUTS: tuple[Layout, ...] = ("close-up", "pattern", "empty", "empty")  # for what needs no object
_BLANK_SHARE = 0.05
_NEVER_IN_BLANKS: tuple[Kind, ...] = ("thing", "category", "shape", "fill")
_DROPPED, _ADDED = 0.15, 0.03  # a drawn heatmap misses patches of the concept and hits others

Pixels = UInt8[np.ndarray, "height width 3"]
Turn = tuple[str, str]
"""A question and its answer."""

Option = TypeVar("Option")


@dataclass(frozen=True)
class Example:
    """One conversation about some pictures.

    Args:
        pictures: none, one or several, uint8 `[height width 3]`; they come with the first question.
        turns: questions with their answers, no question twice; a later one is read after the earlier answers.
    """

    pictures: tuple[Pixels, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Part:
    """A part of every step: in each, one kind of question about one number of pictures.

    Args:
        questions: the kinds to draw from, with their shares.
        n_examples: in every step.
        n_pictures: the numbers of pictures to draw from, with their shares; questions that need none get none.
    """

    questions: tuple[tuple[Question, float], ...]
    n_examples: int
    n_pictures: tuple[tuple[int, float], ...] = ((1, 1.0),)


@dataclass(frozen=True)
class Curriculum:
    """What every step of a training asks. All kinds of questions take part in each, lest one is forgotten over another.

    Args:
        parts: in every step, each of them draws one kind of question.
    """

    parts: tuple[Part, ...]

    @property
    def batch_size(self) -> int:
        """Examples in every step."""
        return sum(part.n_examples for part in self.parts)


EXPLAINER = Curriculum((
    Part((("describe", 1.0),), 18),
    Part((("highlight", 1.0),), 8),
    # What several pictures share is learnt last, and only by seeing many such rows.
    Part((("highlight", 1.0),), 22, ((2, 0.3), (3, 0.25), (4, 0.1), (5, 0.35))),
    Part((("detect", 0.75), ("fuzz", 0.2), ("level", 0.05)), 16),
))  # fmt: skip
"""What the language models that explain are taught."""

JUDGE = Curriculum((
    Part((("describe", 1.0),), 12),
    Part((("highlight", 1.0),), 8),
    Part((("detect", 0.62), ("fuzz", 0.35), ("level", 0.03)), 28),
))  # fmt: skip
"""What the judge is taught: whether words fit, and by describing what they mean."""


@cache
def world_prompts() -> Prompts:
    """The questions in words."""
    with as_file(files("seesay.world") / "prompts") as folder:
        return read_prompts(folder)


def ask(question: Question, concept: Concept | None = None) -> str:
    """A question in words, about a concept if it is about one."""
    text = world_prompts()[question]
    return text if concept is None else text.replace("{phrase}", phrase(concept))


def present(rendering: Rendering, concept: Concept) -> Bool[np.ndarray, "row column"]:
    """Patches that a concept covers by a quarter or more."""
    return patch_shares(mask(rendering, concept)) >= PRESENT


def overlaid(rendering: Rendering, concept: Concept, overlay: Overlay, rng: np.random.Generator) -> Pixels:
    """A picture with a concept's patches shown by a noisy mask or heatmap, or left plain."""
    return drawn(rendering.pixels, noisy(present(rendering, concept), rng), overlay)


def noisy(held: Bool[np.ndarray, "row column"], rng: np.random.Generator) -> Bool[np.ndarray, "row column"]:
    """Patches with some of them missed and some others added, as a feature's own activations would."""
    noise = rng.random((GRID, GRID))
    return np.where(held, noise > _DROPPED, noise < _ADDED)


def drawn(pixels: Pixels, active: Bool[np.ndarray, "row column"], overlay: Overlay) -> Pixels:
    """A picture with some patches shown."""
    match overlay:
        case "plain":
            return pixels
        case "mask":
            return masked(pixels, active, MASK_FILL)
        case "heatmap":
            return highlighted(pixels, active)


def random_concept(rng: np.random.Generator) -> Concept:
    """A concept: first its kind, then one of that kind."""
    return CONCEPTS[_one_of(range(len(CONCEPTS)), rng)]


def showing(concept: Concept, chosen: range, n_pictures: int, layouts: Sequence[Layout] = ()) -> list[Rendering]:
    """The first pictures of some seeds that show a concept in at least one patch."""
    renderings = (render(sample(seed, (concept,), layouts)) for seed in chosen)
    found = list(islice((rendering for rendering in renderings if present(rendering, concept).any()), n_pictures))
    assert len(found) == n_pictures, f"{len(found)} of {len(chosen)} pictures show {concept}"
    return found


def describe(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """What is in this picture?"""
    assert n_pictures == 1
    if rng.random() < _BLANK_SHARE:
        pixels, answer = _blank(rng)
        return Example((pixels,), ((ask("describe"), answer),))
    rendering = render(sample(chosen[1]))
    return Example((rendering.pixels,), ((ask("describe"), caption(rendering.scene)),))


BLANKS: Mapping[EmptyImage, str] = MappingProxyType({
    "white": f"{NOTHING} on a white background",
    "black": f"{NOTHING} on a black background",
    "grey": f"{NOTHING} on a grey background",
    "noise": f"{NOTHING} but noise",
})  # fmt: skip
"""The empty pictures and what is to be said of them."""


def _blank(rng: np.random.Generator) -> tuple[Pixels, str]:
    kind = tuple(BLANKS)[int(rng.integers(len(BLANKS)))]
    return np.asarray(blank_image(kind, IMAGE_SIZE, seed=int(rng.integers(1 << 31)))), BLANKS[kind]


def highlight(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """What do these pictures share, where they are marked? Blank ones share nothing."""
    overlay = _drawn_from(tuple(_OVERLAYS.items()), rng)
    if rng.random() < _BLANK_SHARE:
        active = rng.random((GRID, GRID)) < rng.random()
        blanks = tuple(drawn(_blank(rng)[0], active, overlay) for _ in range(n_pictures))
        return Example(blanks, ((ask("highlight"), NOTHING),))
    concept = random_concept(rng)
    layouts: tuple[Layout, ...] = ()
    if n_pictures == 1 and rng.random() < _CLOSE_SHARE:
        layouts = _FLAT_LAYOUTS if concept.kind in ("colour", "background", "position") else _CLOSE_LAYOUTS
    renderings = showing(concept, chosen[1:], n_pictures, layouts)
    pictures = tuple(overlaid(rendering, concept, overlay, rng) for rendering in renderings)
    return Example(pictures, ((ask("highlight"), phrase(concept)),))


def detect(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """Are these concepts in this picture? Yes and no are equally frequent."""
    assert n_pictures == 1
    if rng.random() < _BLANK_SHARE:
        kinds: list[Kind] = [_NEVER_IN_BLANKS[int(rng.integers(len(_NEVER_IN_BLANKS)))] for _ in range(_N_TURNS)]
        turns = tuple((ask("detect", Concept(kind, str(rng.choice(names(kind))))), "no") for kind in kinds)
        return Example((_blank(rng)[0],), turns)
    rendering = render(sample(chosen[1]))
    best = coverage(rendering).max(1).tolist()
    # Every picture has every position: there is nothing to be detected.
    answers: list[YesOrNo | None] = [
        None if concept.kind == "position" else answer_of(cover) for concept, cover in zip(CONCEPTS, best, strict=True)
    ]
    return Example((rendering.pixels,), _yes_or_no("detect", answers, rng))


def fuzz(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """Are these concepts what is marked in this picture? Asked about are what is marked and what is elsewhere in it."""
    assert n_pictures == 1
    rendering = render(sample(chosen[1]))
    covered = coverage(rendering)
    marked = CONCEPTS[_one_of(np.flatnonzero(covered.max(1) >= PRESENT).tolist(), rng)]
    active = noisy(present(rendering, marked), rng)
    overlay: Overlay = "mask" if rng.random() < 0.5 else "heatmap"
    turns = _yes_or_no("fuzz", marked_or_not(covered, marked), rng)
    return Example((drawn(rendering.pixels, active, overlay),), turns)


def marked_or_not(covered: Float[np.ndarray, "concept patch"], marked: Concept) -> list[YesOrNo | None]:
    """Which concepts are what is marked in a picture.

    Yes: at least 0.8 of what there is of it lies in the patches where the marked concept is present. No: it is in the
    picture, but at most 0.1 of it lies there. None: it is not in the picture, or lies partly there.
    """
    inside = covered[INDEX[marked]] >= PRESENT
    there = covered.max(1) >= PRESENT
    share = covered[:, inside].sum(1) / np.maximum(covered.sum(1), 1e-6)
    answers: list[YesOrNo | None] = []
    for is_there, part in zip(there.tolist(), share.tolist(), strict=True):
        answers.append(None if not is_there else "yes" if part >= 0.8 else "no" if part <= 0.1 else None)
    answers[INDEX[marked]] = "yes"
    return answers


def _yes_or_no(question: Question, answers: Sequence[YesOrNo | None], rng: np.random.Generator) -> tuple[Turn, ...]:
    """Questions about concepts whose answers are known, none twice, until yes or no has run out."""
    turns: list[Turn] = []
    left = {answer: [row for row, known in enumerate(answers) if known == answer] for answer in ("yes", "no")}
    while len(turns) < _N_TURNS and (all(left.values()) or not turns):
        answer = "yes" if rng.random() < 0.5 else "no"
        if not left[answer]:
            answer = "no" if answer == "yes" else "yes"
        row = _one_of(left[answer], rng)
        left[answer].remove(row)
        turns.append((ask(question, CONCEPTS[row]), answer))
    return tuple(turns)


def _one_of(rows: Sequence[int], rng: np.random.Generator) -> int:
    """One of some concepts: first its kind, as often as everywhere, then one of that kind."""
    by_kind: dict[Kind, list[int]] = {}
    for row in rows:
        by_kind.setdefault(CONCEPTS[row].kind, []).append(row)
    shares = np.array([_KINDS[kind] for kind in by_kind])
    kind = tuple(by_kind)[int(rng.choice(len(by_kind), p=shares / shares.sum()))]
    return int(rng.choice(by_kind[kind]))


def ask_level(chosen: range, rng: np.random.Generator, n_pictures: int) -> Example:
    """Is this concept a matter of colour and texture, or of what things are?"""
    assert n_pictures == 0 and chosen
    concept = CONCEPTS[int(rng.integers(len(CONCEPTS)))]
    return Example((), ((ask("level", concept), level(concept).replace("-", " ")),))


_MAKERS: dict[Question, Callable[[range, np.random.Generator, int], Example]] = {
    "describe": describe,
    "highlight": highlight,
    "detect": detect,
    "fuzz": fuzz,
    "level": ask_level,
}


def examples(part: Part, chosen: range) -> list[Example]:
    """One part of a step: examples of one kind and one number of pictures.

    Args:
        part: what is asked.
        chosen: the part's seeds, `SEEDS_PER_EXAMPLE` for each example.
    """
    rng = np.random.default_rng(chosen[0])
    question = _drawn_from(part.questions, rng)
    n_pictures = 0 if question == "level" else _drawn_from(part.n_pictures, rng)
    make = _MAKERS[question]
    own = [chosen[start : start + SEEDS_PER_EXAMPLE] for start in range(0, len(chosen), SEEDS_PER_EXAMPLE)]
    return [make(seeds_of_one, rng, n_pictures) for seeds_of_one in own]


def _drawn_from(shares: Sequence[tuple[Option, float]], rng: np.random.Generator) -> Option:
    options, weights = zip(*shares, strict=True)
    return options[int(rng.choice(len(options), p=weights))]
