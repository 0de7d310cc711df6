"""What the world's models can do, measured on pictures that none of them was trained on.

Every measure draws its own range of a stream, so that the same figures come out again: `evaluation` for what is
reported, `monitoring` for what a training writes into its log.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm import VLM
from seesay.world.concepts import CONCEPTS, INDEX, KINDS, Concept, Kind, level, names
from seesay.world.grammar import NOTHING, parse, phrase
from seesay.world.masks import answer_of, coverage
from seesay.world.questions import (
    BLANKS,
    Overlay,
    Pixels,
    ask,
    drawn,
    fuzz,
    noisy,
    overlaid,
    present,
    random_concept,
    showing,
)
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import IMAGE_SIZE, sample
from seesay.world.streams import Stream, seeds

N_SHOWN = 5
_AT_ONCE = 64
_N_CHOICES = 64
_DECODING = Decoding(max_new_tokens=40)
_ONE_WORD = Decoding(max_new_tokens=4)
_SPARE = 3  # seeds set aside for one picture that must show a concept
_CAPTIONS, _NAMING, _DETECTION, _PHRASES, _FUZZING = (n << 20 for n in range(1, 6))  # where each measure's seeds begin


def answers(vlm: VLM, question: str, pictures: Sequence[Sequence[Pixels]]) -> list[str]:
    """What a model says to one question about each row of pictures, in order; rows are equally long."""
    images = [Image.fromarray(picture) for row in pictures for picture in row]
    said: list[str] = []
    n_pictures = len(pictures[0])
    for start in range(0, len(pictures), _AT_ONCE):
        rows = images[start * n_pictures : (start + _AT_ONCE) * n_pictures]
        tokens = vlm.encode(rows, batch_size=_AT_ONCE)
        turns = [tokens[first : first + n_pictures] for first in range(0, len(tokens), n_pictures)]
        said += [answer.text for answer in vlm.say(question, turns, _DECODING)]
    return said


def caption_quality(vlm: VLM, n_scenes: int, stream: Stream = "evaluation") -> tuple[float, float]:
    """Recall and precision of the nouns in captions of held-out scenes.

    Returns:
        Share of the things and shapes in the scenes that their captions name, and share of those named that are there;
        two frogs in a picture count once.
    """
    renderings = [render(sample(seed)) for seed in seeds(stream, _CAPTIONS, n_scenes)]
    said = answers(vlm, ask("describe"), [(rendering.pixels,) for rendering in renderings])
    n_found, n_there, n_named = 0, 0, 0
    for rendering, text in zip(renderings, said, strict=True):
        there = {item.concepts[-1] for item in rendering.scene.items}
        named = {concept for concept in parse(text) if concept.kind in ("thing", "shape")}
        n_found += len(there & named)
        n_there += len(there)
        n_named += len(named)
    return n_found / n_there, n_found / max(n_named, 1)


def naming_accuracy(
    vlm: VLM,
    kind: Kind,
    n_concepts: int,
    stream: Stream = "evaluation",
    *,
    overlay: Overlay = "mask",
    n_shown: int = N_SHOWN,
) -> float:
    """Share of concepts of one kind that are named exactly, and first, from pictures that share them.

    Args:
        vlm: who is asked.
        kind: of concept.
        n_concepts: how many, drawn at random.
        stream: whose pictures.
        overlay: how the concept is marked.
        n_shown: pictures of each; fewer than five share much else besides.
    """
    column = KINDS.index(kind)
    rng = np.random.default_rng(column)
    concepts = [Concept(kind, str(rng.choice(names(kind)))) for _ in range(n_concepts)]
    span = N_SHOWN * _SPARE
    start = _NAMING + column * (1 << 16)
    rows: list[list[Pixels]] = []
    for number, concept in enumerate(concepts):
        shown = showing(concept, seeds(stream, start + number * span, span), n_shown)
        rows.append([overlaid(rendering, concept, overlay, rng) for rendering in shown])
    said = answers(vlm, ask("highlight"), rows)
    return float(np.mean([parse(text)[:1] == (concept,) for text, concept in zip(said, concepts, strict=True)]))


def blank_accuracy(vlm: VLM) -> float:
    """Share of what is said of the empty pictures, described and asked for their highlight, that is as it was fixed."""
    pictures = [(np.asarray(blank_image(kind, IMAGE_SIZE, seed=1)),) for kind in BLANKS]
    said = answers(vlm, ask("describe"), pictures) + answers(vlm, ask("highlight"), pictures)
    expected = [*BLANKS.values(), *[NOTHING] * len(BLANKS)]
    return float(np.mean([text == answer for text, answer in zip(said, expected, strict=True)]))


def detection_accuracy(vlm: VLM, n_concepts: int, n_each: int = 2, stream: Stream = "evaluation") -> float:
    """Balanced accuracy of yes and no to `is <phrase> in this picture`, averaged over concepts.

    Positions are left out, since every picture has all of them.

    Args:
        vlm: who is asked.
        n_concepts: how many, drawn at random; all of them if there are not more.
        n_each: pictures with the concept and, of those near at hand, pictures without it.
        stream: whose pictures.
    """
    asked = [row for row, concept in enumerate(CONCEPTS) if concept.kind != "position"]
    balanced: list[float] = []
    span = 20 * n_each  # some colours and edges are nearly everywhere
    for row in np.random.default_rng(0).permutation(asked)[:n_concepts].tolist():
        concept = CONCEPTS[row]
        start = _DETECTION + row * 2 * span
        shown = showing(concept, seeds(stream, start, span), n_each)
        absent = without(concept, seeds(stream, start + span, span), n_each)
        said = answers(vlm, ask("detect", concept), [(rendering.pixels,) for rendering in (*shown, *absent)])
        balanced.append(_balanced(said[:n_each], said[n_each:]))
    return float(np.mean(balanced))


def _balanced(to_yes: Sequence[str], to_no: Sequence[str]) -> float:
    """Balanced accuracy of what was said where yes was right, and where no was."""
    assert to_yes and to_no, "a concept is everywhere, or nowhere"
    return (to_yes.count("yes") / len(to_yes) + to_no.count("no") / len(to_no)) / 2


def fuzzing_accuracy(vlm: VLM, n_pictures: int, stream: Stream = "evaluation") -> float:
    """Balanced accuracy of yes and no to `is <phrase> highlighted`, the wrong phrases being true of another part.

    Args:
        vlm: who is asked.
        n_pictures: how many; each is asked about once where yes is right, and once where no is if any phrase is.
        stream: whose pictures.
    """
    rng = np.random.default_rng(2)
    said: dict[str, list[str]] = {"yes": [], "no": []}
    for seed in seeds(stream, _FUZZING, n_pictures):
        example = fuzz(range(seed - 1, seed + 1), rng, 1)
        for answer in ("yes", "no"):
            question = next((question for question, known in example.turns if known == answer), None)
            if question is not None:
                said[answer] += answers(vlm, question, [example.pictures])
    return _balanced(said["yes"], said["no"])


def without(concept: Concept, chosen: range, n_pictures: int) -> list[Rendering]:
    """The first pictures of some seeds that do not show a concept anywhere, at most so many."""
    found: list[Rendering] = []
    for seed in chosen:
        rendering = render(sample(seed))
        if answer_of(float(coverage(rendering)[INDEX[concept]].max())) == "no":
            found.append(rendering)
        if len(found) == n_pictures:
            break
    return found


def level_accuracy(vlm: VLM) -> float:
    """Share of all concepts that are rightly called low-level or high-level: learnt by heart, no picture is shown."""
    said = [vlm.say(ask("level", concept), [[]], _ONE_WORD)[0].text for concept in CONCEPTS]
    return float(
        np.mean([text == level(concept).replace("-", " ") for text, concept in zip(said, CONCEPTS, strict=True)])
    )


@torch.no_grad()
def phrase_accuracy(clip: Any, processor: Any, n_pictures: int, stream: Stream = "evaluation") -> float:
    """Share of masked pictures for which the scorer prefers the right phrase to 63 that fit nothing it is shown.

    Args:
        clip: a `CLIPModel`.
        processor: its processor.
        n_pictures: how many; each shows one concept through a noisy mask.
        stream: whose pictures.
    """
    texts = processor.tokenizer([phrase(concept) for concept in CONCEPTS], padding=True, return_tensors="pt")
    words = _unit(clip.get_text_features(texts["input_ids"].to(clip.device), texts["attention_mask"].to(clip.device)))
    rng = np.random.default_rng(1)
    pictures: list[Pixels] = []
    choices: list[list[int]] = []
    for number in range(n_pictures):
        concept = random_concept(rng)
        [rendering] = showing(concept, seeds(stream, _PHRASES + number * _SPARE, _SPARE), 1)
        active = noisy(present(rendering, concept), rng)
        best = (coverage(rendering) * active.ravel()).max(1)
        wrong = rng.permutation([row for row, cover in enumerate(best) if answer_of(float(cover)) == "no"])
        choices.append([INDEX[concept], *wrong[: _N_CHOICES - 1].tolist()])
        pictures.append(drawn(rendering.pixels, active, "mask"))
    right: list[bool] = []
    for start in range(0, n_pictures, _AT_ONCE):
        images = [Image.fromarray(picture) for picture in pictures[start : start + _AT_ONCE]]
        pixels = processor.image_processor(images, return_tensors="pt")["pixel_values"].to(clip.device, clip.dtype)
        similar = _unit(clip.get_image_features(pixels)) @ words.T
        for row, offered in zip(similar, choices[start : start + _AT_ONCE], strict=True):
            right.append(int(row[offered].argmax()) == 0)
    return float(np.mean(right))


def _unit(output: Any) -> Tensor:
    return functional.normalize(output.pooler_output.float(), dim=-1)
