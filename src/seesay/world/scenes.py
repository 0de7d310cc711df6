"""What a picture of the world holds, before it is drawn: drawn at random from a seed, or around a wanted concept.

A scene is a plain record. The same seed gives the same scene, always, on any machine.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from seesay.errors import UnknownPhrase
from seesay.world.concepts import CATEGORY_OF, COLOURS, FILLS, SCENERY, SHAPES, THINGS, Concept

IMAGE_SIZE = 64
"""Pixels per side."""

Layout = Literal["objects", "close-up", "pattern", "empty"]
_LAYOUTS: tuple[Layout, ...] = ("objects", "close-up", "pattern", "empty")
_LAYOUT_SHARES = (0.7, 0.12, 0.12, 0.06)
_SCENERY_SHARE = 0.2
_COUNT_SHARES = (0.42, 0.34, 0.24)  # of one, two and three objects
_SIZES = ((30.0, 56.0), (25.0, 42.0), (23.0, 33.0))  # smallest and largest object among so many, in pixels
_N_TRIES = 12  # places that are tried for an object; the one farthest from the others is taken
SMALL, LARGE = 28.0, 44.0
"""An object is small below the one size and large above the other, in pixels."""

BACKGROUNDS_BY_BRIGHTNESS = MappingProxyType({
    "dark": ("black", "blue", "purple", "brown", "night"),
    "bright": ("white", "yellow"),
})  # fmt: skip
"""Backgrounds of which a good part is dark or bright, whatever their shading."""


@dataclass(frozen=True)
class Item:
    """One object of a scene; a *thing* from the atlas, or a *shape* with a colour and a fill.

    Args:
        noun: name of the thing or the shape.
        colour: paint of a shape; None for things, whose colours are in their pictures.
        fill: fill of a shape; None for things.
        centre: x and y in pixels from the top left corner.
        size: side of the square that holds the object, in pixels.
        angle: rotation in radians.
    """

    noun: str
    colour: str | None
    fill: str | None
    centre: tuple[float, float]
    size: float
    angle: float

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """What can be said of the object whatever its pixels are, most telling last."""
        size = (Concept("size", name) for name, holds in self._sizes if holds)
        if self.colour is None or self.fill is None:
            return (*size, Concept("category", CATEGORY_OF[self.noun]), Concept("thing", self.noun))
        return (*size, Concept("colour", self.colour), Concept("fill", self.fill), Concept("shape", self.noun))

    @property
    def _sizes(self) -> tuple[tuple[str, bool], ...]:
        return (("small", self.size < SMALL), ("large", self.size > LARGE))


@dataclass(frozen=True)
class Scene:
    """A whole picture: its objects from back to front, and what is behind them.

    Args:
        seed: of everything random, the pixel noise included.
        layout: `objects` (one to three), `close-up` (one, larger than the frame), `pattern` (one, repeated all over),
            or `empty`.
        background: a colour or a scenery of the world.
        items: the objects; a pattern's copies are all here.
    """

    seed: int
    layout: Layout
    background: str
    items: tuple[Item, ...]


def sample(seed: int, containing: Sequence[Concept] = (), layouts: Sequence[Layout] = ()) -> Scene:
    """Draw a scene.

    Args:
        seed: same seed and concepts, same scene.
        containing: concepts that the scene must show; those that can belong to one object (`colour`, `fill` and
            `shape`) are given to the same one.
        layouts: the layouts to choose from, equally; empty leaves it to the usual shares. An empty scene that must
            contain a colour has it as its background.

    Raises:
        UnknownPhrase: if no one object can have all of them (two shapes, say, or a frog with stripes).
    """
    rng = np.random.default_rng(seed)
    wanted = _Wanted.of(containing)
    layout = _LAYOUTS[int(rng.choice(len(_LAYOUTS), p=_LAYOUT_SHARES))]
    if layouts:
        layout = layouts[int(rng.integers(len(layouts)))]
        if layout == "empty" and wanted.colour:
            wanted = _Wanted(background=wanted.colour)
    if layout not in wanted.possible_layouts:
        layout = "objects"
    first = _identity(rng, wanted)
    others = [_identity(rng, _Wanted()) for _ in _SIZES[1:]]
    count = 1 + int(rng.choice(len(_SIZES), p=_COUNT_SHARES)) if layout == "objects" else 1
    if wanted.size == "large":
        count = min(count, 2)
    identities = [first, *others][:count]
    background = wanted.background or _background(rng, wanted, taken={colour for _, colour, _ in identities})
    match layout:
        case "empty":
            items: tuple[Item, ...] = ()
        case "close-up":
            items = (_item(rng, first, size=rng.uniform(60, 100), centre=rng.uniform(16, 48, 2)),)
        case "pattern":
            items = _pattern(rng, first)
        case "objects":
            items = _objects(rng, identities, wanted.size)
    return Scene(seed=seed, layout=layout, background=background, items=items)


_Identity = tuple[str, str | None, str | None]  # noun, colour, fill


@dataclass(frozen=True)
class _Wanted:
    thing: str | None = None
    category: str | None = None
    shape: str | None = None
    colour: str | None = None
    fill: str | None = None
    background: str | None = None
    edge: str | None = None
    boundary: str | None = None
    brightness: str | None = None
    position: str | None = None
    size: str | None = None

    @classmethod
    def of(cls, concepts: Sequence[Concept]) -> "_Wanted":
        chosen: dict[str, str] = {}
        for concept in concepts:
            if chosen.setdefault(concept.kind, concept.name) != concept.name:
                raise UnknownPhrase(
                    f"one object cannot be {chosen[concept.kind]} and {concept.name}",
                    expected="at most one concept of each kind",
                    remedy="ask for one after the other",
                )
        wanted = cls(**chosen)
        of_thing = wanted.thing or wanted.category
        clash = wanted.shape or wanted.fill or wanted.colour
        if of_thing and clash:
            raise UnknownPhrase(f"a {of_thing} cannot be made {clash}", expected="colours and fills on shapes only")
        if wanted.thing and wanted.category and CATEGORY_OF[wanted.thing] != wanted.category:
            raise UnknownPhrase(f"a {wanted.thing} is no {wanted.category}")
        if wanted.background and wanted.brightness:
            raise UnknownPhrase(
                f"a {wanted.background} background is as dark or bright as it is", expected="one of both"
            )
        return wanted

    @property
    def possible_layouts(self) -> Collection[Layout]:
        """The layouts that can show it; `objects` always can."""
        if self.size == "small" or self.brightness:
            return ("objects",)
        if self.size == "large":
            return ("objects", "close-up")
        needs_object = (self.thing, self.category, self.shape, self.colour, self.fill, self.edge, self.boundary)
        return ("objects", "close-up", "pattern") if any(needs_object) else _LAYOUTS

    @property
    def of_shape(self) -> bool:
        return any((self.shape, self.colour, self.fill))


def _identity(rng: np.random.Generator, wanted: _Wanted) -> _Identity:
    draws = rng.random(4)
    if wanted.thing or wanted.category or (not wanted.of_shape and draws[0] < 0.5):
        category = wanted.category or _pick(tuple(THINGS), draws[1])
        return (wanted.thing or _pick(THINGS[category], draws[2]), None, None)
    return (
        wanted.shape or _pick(SHAPES, draws[1]),
        wanted.colour or _pick(COLOURS, draws[2]),
        wanted.fill or _pick(FILLS, draws[3]),
    )


def _pick(options: Sequence[str], draw: float) -> str:
    return options[int(draw * len(options))]


def _background(rng: np.random.Generator, wanted: _Wanted, taken: Collection[str | None]) -> str:
    """A background that every object can be told from: of none of their colours."""
    is_scenery, place = rng.random(2)
    if wanted.brightness:
        options: Sequence[str] = BACKGROUNDS_BY_BRIGHTNESS[wanted.brightness]
    else:
        options = SCENERY if is_scenery < _SCENERY_SHARE else COLOURS
    return _pick([name for name in options if name not in taken] or options, place)


def _item(rng: np.random.Generator, identity: _Identity, size: float, centre: np.ndarray) -> Item:
    noun, colour, fill = identity
    angle = float(rng.uniform(-0.35, 0.35))
    return Item(noun, colour, fill, (float(centre[0]), float(centre[1])), float(size), angle)


def _objects(rng: np.random.Generator, identities: Sequence[_Identity], first_size: str | None) -> tuple[Item, ...]:
    """Objects side by side as far as there is room, the first of them in front of all others."""
    smallest, largest = _SIZES[len(identities) - 1]
    placed: list[Item] = []
    for identity in identities:
        size = rng.uniform(smallest, largest)
        if first_size is not None:
            within = {"small": (_SIZES[-1][0], SMALL), "large": (LARGE, _SIZES[0][1])}
            size = rng.uniform(*within[first_size if not placed else "small"])
        tries = rng.uniform(size * 0.45, IMAGE_SIZE - size * 0.45, (_N_TRIES if placed else 1, 2))
        room = [min((math.dist(place, i.centre) - (i.size + size) / 2 for i in placed), default=0.0) for place in tries]
        placed.append(_item(rng, identity, size, tries[int(np.argmax(room))]))
    return tuple(reversed(placed))


def _pattern(rng: np.random.Generator, identity: _Identity) -> tuple[Item, ...]:
    pitch = float(rng.uniform(22, 33))
    offset_x, offset_y = rng.uniform(0, pitch, 2)
    rows = range(-1, math.ceil(IMAGE_SIZE / pitch) + 1)
    model = _item(rng, identity, size=pitch * float(rng.uniform(0.8, 1.0)), centre=np.zeros(2))
    noun, colour, fill = identity
    places = [(offset_x + column * pitch, offset_y + row * pitch) for row in rows for column in rows]
    reach = model.size / 2
    return tuple(
        Item(noun, colour, fill, (float(x), float(y)), model.size, model.angle)
        for x, y in places
        if -reach < x < IMAGE_SIZE + reach and -reach < y < IMAGE_SIZE + reach
    )
