"""Where in a drawn scene a concept holds: exact masks per pixel, and coverage per patch.

Objects are known from the rendering's owner map, colours are measured from the pixels, for things too: a frog is green
where it is green.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seesay.world.concepts import BRIGHTNESSES, COLOURS, CONCEPTS, EDGES, INDEX, POSITIONS, Concept, Kind, names
from seesay.world.lowlevel import boundary_mask, brightness_ids, edge_ids, position_ids
from seesay.world.palette import colour_ids
from seesay.world.rendering import Rendering

PATCH_SIZE = 8
"""Side of one patch of the world's vision encoder, in pixels."""

PRESENT = 0.25
"""A concept is present in a patch if it covers at least this share of it."""

ABSENT = 0.05
"""A concept is absent from a picture that shows it on less than this share of every patch. Between this and
`PRESENT` nobody can say, and nobody is asked."""

OBJECT_KINDS: frozenset[Kind] = frozenset({"thing", "category", "shape", "fill", "size"})
"""Kinds that are said of whole objects. A colour is, too, but is measured from the pixels."""

YesOrNo = Literal["yes", "no"]


def answer_of(cover: float) -> YesOrNo | None:
    """Whether a concept that covers this share of its best patch is there; None if nobody can say."""
    if cover >= PRESENT:
        return "yes"
    return "no" if cover < ABSENT else None


def mask(rendering: Rendering, concept: Concept) -> NDArray[np.bool_]:
    """Pixels at which one concept holds, `[height width]`."""
    match concept.kind:
        case "colour":
            return colour_ids(rendering.pixels) == COLOURS.index(concept.name)
        case "background":
            return (rendering.owner == 0) & (rendering.scene.background == concept.name)
        case "edge":
            return edge_ids(rendering.pixels) == 1 + EDGES.index(concept.name)
        case "boundary":
            return boundary_mask(rendering.owner)
        case "brightness":
            return brightness_ids(rendering.pixels) == 1 + BRIGHTNESSES.index(concept.name)
        case "position":
            return position_ids() == POSITIONS.index(concept.name)
        case "thing" | "category" | "shape" | "fill" | "size":
            numbers = [n for n, item in enumerate(rendering.scene.items, start=1) if concept in item.concepts]
            return np.isin(rendering.owner, numbers)


def patch_shares(held: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of every patch that a mask covers: `[height width]` to `[row column]`."""
    rows, columns = (side // PATCH_SIZE for side in held.shape)
    return held.reshape(rows, PATCH_SIZE, columns, PATCH_SIZE).mean((1, 3))


def object_mask(rendering: Rendering, concepts: Sequence[Concept]) -> NDArray[np.bool_]:
    """Pixels of the objects that have *all* of some concepts, `[height width]`.

    A thing has a colour if at least a quarter of its visible pixels do; a shape has the colour it is painted in, gaps
    of its fill included. What is not said of objects (positions, edges, brightness ...) leaves of them what lies in its
    own mask. Without a concept that makes an object, it is the intersection of the concepts' own masks.
    """
    if not any(concept.kind in OBJECT_KINDS for concept in concepts):
        return np.logical_and.reduce([mask(rendering, concept) for concept in concepts])
    of_objects = [concept for concept in concepts if concept.kind in OBJECT_KINDS or concept.kind == "colour"]
    found = np.zeros_like(rendering.owner, dtype=bool)
    for number, item in enumerate(rendering.scene.items, start=1):
        body = rendering.owner == number
        if all(concept in item.concepts or _is_coloured(rendering, body, concept) for concept in of_objects):
            found |= body
    return np.logical_and.reduce([found, *(mask(rendering, c) for c in concepts if c not in of_objects)])


def _is_coloured(rendering: Rendering, body: NDArray[np.bool_], concept: Concept) -> bool:
    if concept.kind != "colour" or not body.any():
        return False
    return bool(mask(rendering, concept)[body].mean() >= PRESENT)


def coverage(rendering: Rendering) -> NDArray[np.float32]:
    """Share of every patch that every concept covers.

    Returns:
        Shape `[concept patch]`, concepts in the order of `CONCEPTS`, patches row by row. For each patch the colours
        sum to 1, and so do the positions, and the things, the shapes and the background together.
    """
    scene = rendering.scene
    identities = list(dict.fromkeys(item.concepts for item in scene.items))
    identity_of_owner = np.array([0, *(1 + identities.index(item.concepts) for item in scene.items)])
    identity_ids = identity_of_owner[rendering.owner]
    shares = _share_per_patch(identity_ids, len(identities) + 1)
    covered = np.zeros((len(CONCEPTS), shares.shape[1]), dtype=np.float32)
    covered[INDEX[Concept("background", scene.background)]] = shares[0]
    for share, concepts in zip(shares[1:], identities, strict=True):
        for concept in concepts:
            if concept.kind in OBJECT_KINDS:
                covered[INDEX[concept]] += share
    measured: tuple[tuple[Kind, NDArray[np.integer], int], ...] = (  # ids below the offset stand for none
        ("colour", colour_ids(rendering.pixels), 0),
        ("edge", edge_ids(rendering.pixels), 1),
        ("boundary", boundary_mask(rendering.owner).astype(np.uint8), 1),
        ("brightness", brightness_ids(rendering.pixels), 1),
        ("position", position_ids(), 0),
    )
    for kind, ids, offset in measured:
        first, count = INDEX[Concept(kind, names(kind)[0])], len(names(kind))
        covered[first : first + count] = _share_per_patch(ids, offset + count)[offset:]
    return covered


def _share_per_patch(ids: NDArray[np.integer], n_ids: int) -> NDArray[np.float32]:
    """Share of each patch's pixels that have each id: `[height width]` to `[id patch]`."""
    height, width = ids.shape
    rows, columns = height // PATCH_SIZE, width // PATCH_SIZE
    patches = ids.reshape(rows, PATCH_SIZE, columns, PATCH_SIZE).swapaxes(1, 2).reshape(rows * columns, -1)
    cells = patches + np.arange(rows * columns)[:, None] * n_ids
    counts = np.bincount(cells.ravel(), minlength=rows * columns * n_ids).reshape(-1, n_ids)
    return (counts.T / PATCH_SIZE**2).astype(np.float32)
