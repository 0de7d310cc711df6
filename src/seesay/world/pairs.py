"""Pictures in pairs that differ in one attribute: what a counterfactual test of an explanation's words stands on.

Everything else is shared to the pixel: the noise, the paint's jitter, and the size, place and angle of every object
(unless its size is what differs). Two backgrounds are each shaded in their own way.
"""

from dataclasses import dataclass, replace

import numpy as np

from seesay.errors import UnknownPhrase
from seesay.world.concepts import CATEGORY_OF, CONCEPTS, INDEX, THINGS, Concept, names
from seesay.world.grammar import phrase
from seesay.world.masks import answer_of, coverage
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import BACKGROUNDS_BY_BRIGHTNESS, LARGE, SMALL, Item, Scene, sample

PAIRED = tuple(concept for concept in CONCEPTS if concept.kind not in ("edge", "boundary", "position"))
"""The concepts that a pair can differ in. Edges and boundaries come and go with whole objects, and every picture has
every position."""

_SMALL, _LARGE = SMALL - 2, LARGE + 6


@dataclass(frozen=True)
class Pair:
    """Two pictures that differ in whether a concept holds.

    Args:
        concept: what differs.
        having: the picture that shows it.
        lacking: the same picture without it.
    """

    concept: Concept
    having: Rendering
    lacking: Rendering


def pairs(concept: Concept, chosen: range, n_pairs: int) -> list[Pair]:
    """Make pairs from some seeds.

    Seeds whose scene shows the concept elsewhere, too (another red object, say), make no pair.

    Args:
        concept: what is to differ; a thing becomes another of its category, a category another one.
        chosen: the seeds to try, in order.
        n_pairs: how many pairs.

    Returns:
        At most `n_pairs` pairs; fewer if the seeds do not yield more.

    Raises:
        UnknownPhrase: for edges, boundaries and positions, which no single attribute of a scene makes.
    """
    if concept not in PAIRED:
        raise UnknownPhrase(f"no scene differs from another in {phrase(concept)} alone", expected="another concept")
    found: list[Pair] = []
    for seed in chosen:
        having, lacking = _scenes(concept, seed)
        pair = Pair(concept, render(having), render(lacking))
        if _differ(pair):
            found.append(pair)
        if len(found) == n_pairs:
            break
    return found


def _differ(pair: Pair) -> bool:
    shown, hidden = (float(coverage(rendering)[INDEX[pair.concept]].max()) for rendering in (pair.having, pair.lacking))
    return (answer_of(shown), answer_of(hidden)) == ("yes", "no")


def _scenes(concept: Concept, seed: int) -> tuple[Scene, Scene]:
    """A scene with the concept and the same scene without it; the object that differs is the one in front."""
    rng = np.random.default_rng((seed, 3))
    scene = sample(seed, (concept,), ("objects",))
    others = [name for name in names(concept.kind) if name != concept.name]
    taken = {scene.background, *(item.colour for item in scene.items)}
    *behind, front = scene.items

    def instead(item: Item) -> Scene:
        return replace(scene, items=(*behind, item))

    match concept.kind:
        case "thing":
            relatives = [name for name in THINGS[CATEGORY_OF[concept.name]] if name != concept.name]
            return scene, instead(replace(front, noun=_one_of(rng, relatives)))
        case "category":
            return scene, instead(replace(front, noun=_one_of(rng, THINGS[_one_of(rng, others)])))
        case "shape":
            return scene, instead(replace(front, noun=_one_of(rng, others)))
        case "colour":
            return scene, instead(replace(front, colour=_one_of(rng, [name for name in others if name not in taken])))
        case "fill":
            return scene, instead(replace(front, fill=_one_of(rng, others)))
        case "background":
            return scene, replace(scene, background=_one_of(rng, [name for name in others if name not in taken]))
        case "brightness":
            [other] = others
            options = [name for name in BACKGROUNDS_BY_BRIGHTNESS[other] if name not in taken]
            return scene, replace(scene, background=_one_of(rng, options or [scene.background]))
        case "size":
            sizes = {"small": _SMALL, "large": _LARGE}
            [other] = others
            return instead(replace(front, size=sizes[concept.name])), instead(replace(front, size=sizes[other]))
        case "edge" | "boundary" | "position":
            raise AssertionError("refused before")


def _one_of(rng: np.random.Generator, options: list[str] | tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
