"""What a picture of the world holds, before it is drawn: drawn at random from a seed, or around a wanted concept.

A scene is a plain record. The same seed gives the same scene, always, on any machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seesay.errors import UnknownPhrase
from seesay.world.concepts import CATEGORY_OF, COLOURS, FILLS, SCENERY, SHAPES, THINGS, Concept

IMAGE_SIZE = 64
"""Pixels per side."""

Layout = Literal["objects", "close-up", "pattern", "empty"]
_LAYOUTS: tuple[Layout, ...] = ("objects", "close-up", "pattern", "empty")
_LAYOUT_SHARES = (0.74, 0.12, 0.12, 0.02)
_SCENERY_SHARE = 0.2
_MAX_OBJECTS = 3


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
        if self.colour is None or self.fill is None:
            return (Concept("category", CATEGORY_OF[self.noun]), Concept("thing", self.noun))
        return (Concept("colour", self.colour), Concept("fill", self.fill), Concept("shape", self.noun))


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
    if layout == "empty" and wanted.needs_object:
        layout = "objects"
    first = _identity(rng, wanted)
    background = wanted.background or _background(rng, taken=first[1])
    if layout == "empty":
        items: tuple[Item, ...] = ()
    elif layout == "close-up":
        items = (_place(rng, first, size=rng.uniform(60, 100), centre=rng.uniform(16, 48, 2)),)
    elif layout == "pattern":
        items = _pattern(rng, first)
    else:
        count = int(rng.integers(1, _MAX_OBJECTS + 1))
        others = [_identity(rng, _Wanted()) for _ in range(count - 1)]
        size = rng.uniform(26, 52, count) * (1.0, 0.85, 0.72)[count - 1]
        identities = [first, *others]
        # The wanted object is drawn last, so that nothing hides it; the rest may be hidden in part.
        items = tuple(
            _place(rng, identities[i], size=size[i], centre=rng.uniform(size[i] * 0.4, IMAGE_SIZE - size[i] * 0.4, 2))
            for i in reversed(range(count))
        )
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
        return wanted

    @property
    def needs_object(self) -> bool:
        return any((self.thing, self.category, self.shape, self.colour, self.fill))

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


def _background(rng: np.random.Generator, taken: str | None) -> str:
    """A background that the first object can be told from: never of its own colour."""
    is_scenery, place = rng.random(2)
    if is_scenery < _SCENERY_SHARE:
        return _pick(SCENERY, place)
    return _pick([colour for colour in COLOURS if colour != taken], place)


def _place(rng: np.random.Generator, identity: _Identity, size: float, centre: np.ndarray) -> Item:
    noun, colour, fill = identity
    angle = float(rng.uniform(-0.35, 0.35))
    return Item(noun, colour, fill, (float(centre[0]), float(centre[1])), float(size), angle)


def _pattern(rng: np.random.Generator, identity: _Identity) -> tuple[Item, ...]:
    pitch = float(rng.uniform(20, 34))
    offset_x, offset_y = rng.uniform(0, pitch, 2)
    rows = range(-1, math.ceil(IMAGE_SIZE / pitch) + 1)
    model = _place(rng, identity, size=pitch * float(rng.uniform(0.8, 1.0)), centre=np.zeros(2))
    noun, colour, fill = identity
    places = [(offset_x + column * pitch, offset_y + row * pitch) for row in rows for column in rows]
    reach = model.size / 2
    return tuple(
        Item(noun, colour, fill, (float(x), float(y)), model.size, model.angle)
        for x, y in places
        if -reach < x < IMAGE_SIZE + reach and -reach < y < IMAGE_SIZE + reach
    )
