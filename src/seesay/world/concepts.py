"""What the embedded world contains: concepts by kind, the words for them, and the words' order on disk.

A concept's place in [CONCEPTS][seesay.world.concepts.CONCEPTS] is its row in every coverage map, so the lists here are
only ever appended to.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

Kind = Literal[
    "thing", "category", "shape", "colour", "fill", "background", "edge", "boundary", "brightness", "position", "size"
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, order=True)
class Concept:
    """One nameable element of a picture, such as `thing:frog` or `background:red`."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


THINGS = MappingProxyType({
    "animal": (
        "dog", "cat", "horse", "cow", "pig", "elephant", "frog", "turtle", "fish", "octopus", "butterfly", "penguin",
    ),
    "food": (
        "apple", "banana", "grapes", "strawberry", "carrot", "corn", "pizza", "burger", "donut", "cheese", "bread",
        "cherries",
    ),
    "vehicle": (
        "car", "bus", "fire engine", "tractor", "bicycle", "motorbike", "train", "plane", "helicopter", "rocket",
        "sailboat", "ship",
    ),
    "plant": (
        "pine tree", "oak tree", "palm tree", "cactus", "sunflower", "rose", "tulip", "maple leaf", "mushroom", "wheat",
        "clover", "blossom",
    ),
    "building": (
        "house", "castle", "church", "factory", "hospital", "bank", "tower", "tent", "mosque", "pagoda", "statue",
        "fountain",
    ),
    "person": (
        "police officer", "builder", "guard", "princess", "santa", "baby", "wizard", "vampire", "mermaid", "dancer",
        "runner", "clown",
    ),
    "object": (
        "key", "clock", "light bulb", "camera", "telephone", "guitar", "trumpet", "umbrella", "hammer", "scissors",
        "book", "gift",
    ),
    "sky": (
        "sun", "moon", "cloud", "rainbow", "lightning", "snowflake", "planet", "comet", "globe", "balloon", "kite",
        "tornado",
    ),
})  # fmt: skip
"""Things by category; each has one picture in the atlas."""

CATEGORY_OF = MappingProxyType({thing: category for category, things in THINGS.items() for thing in things})
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond", "crescent", "arrow")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
FILLS = ("solid", "striped", "dotted", "checkered")
SCENERY = ("meadow", "sea", "desert", "night")
EDGES = ("horizontal", "vertical", "rising", "falling")
BRIGHTNESSES = ("dark", "bright")
POSITIONS = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
SIZES = ("small", "large")

_NAMES: dict[Kind, tuple[str, ...]] = {
    "thing": tuple(CATEGORY_OF),
    "category": tuple(THINGS),
    "shape": SHAPES,
    "colour": COLOURS,
    "fill": FILLS,
    "background": COLOURS + SCENERY,
    "edge": EDGES,
    "boundary": ("boundary",),
    "brightness": BRIGHTNESSES,
    "position": POSITIONS,
    "size": SIZES,
}
CONCEPTS: tuple[Concept, ...] = tuple(Concept(kind, name) for kind in KINDS for name in _NAMES[kind])
"""All of them, kind by kind; a concept's place is its row wherever concepts are counted."""

INDEX = MappingProxyType({concept: row for row, concept in enumerate(CONCEPTS)})

LOW_LEVEL_KINDS: frozenset[Kind] = frozenset(KINDS) - {"thing", "category", "shape"}
"""Kinds that describe colour, texture, edges and layout; the others name what a thing is."""


def names(kind: Kind) -> tuple[str, ...]:
    """Names of one kind of concept, in the order of their rows."""
    return _NAMES[kind]


def level(concept: Concept) -> Literal["low-level", "high-level"]:
    """Whether a concept is seen in the pixels or only in what they make up (method.md, section 1, claim 1)."""
    return "low-level" if concept.kind in LOW_LEVEL_KINDS else "high-level"
