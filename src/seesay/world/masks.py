"""Where in a drawn scene a concept holds: exact masks per pixel, and coverage per patch.

Objects are known from the rendering's owner map, colours are measured from the pixels, for things too: a frog is green
where it is green.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seesay.world.concepts import COLOURS, CONCEPTS, INDEX, Concept
from seesay.world.palette import colour_ids
from seesay.world.rendering import Rendering

PATCH_SIZE = 8
"""Side of one patch of the world's vision encoder, in pixels."""

PRESENT = 0.25
"""A concept is present in a patch if it covers at least this share of it."""

_FIRST_COLOUR = INDEX[Concept("colour", COLOURS[0])]
_OBJECT_KINDS = ("thing", "category", "shape", "fill")


def mask(rendering: Rendering, concept: Concept) -> NDArray[np.bool_]:
    """Pixels at which one concept holds, `[height width]`."""
    if concept.kind == "colour":
        return colour_ids(rendering.pixels) == COLOURS.index(concept.name)
    if concept.kind == "background":
        return (rendering.owner == 0) & (rendering.scene.background == concept.name)
    numbers = [n for n, item in enumerate(rendering.scene.items, start=1) if concept in item.concepts]
    return np.isin(rendering.owner, numbers)


def object_mask(rendering: Rendering, concepts: Sequence[Concept]) -> NDArray[np.bool_]:
    """Pixels of the objects that have *all* of some concepts, `[height width]`.

    A thing has a colour if at least a quarter of its visible pixels do; a shape has the colour it is painted in, gaps
    of its fill included. Without a concept that makes an object (colours or backgrounds alone), it is the intersection
    of the concepts' own masks.
    """
    if not any(concept.kind in _OBJECT_KINDS for concept in concepts):
        return np.logical_and.reduce([mask(rendering, concept) for concept in concepts])
    found = np.zeros_like(rendering.owner, dtype=bool)
    for number, item in enumerate(rendering.scene.items, start=1):
        body = rendering.owner == number
        if all(concept in item.concepts or _is_coloured(rendering, body, concept) for concept in concepts):
            found |= body
    return found


def _is_coloured(rendering: Rendering, body: NDArray[np.bool_], concept: Concept) -> bool:
    if concept.kind != "colour" or not body.any():
        return False
    return bool(mask(rendering, concept)[body].mean() >= PRESENT)


def coverage(rendering: Rendering) -> NDArray[np.float32]:
    """Share of every patch that every concept covers.

    Returns:
        Shape `[concept patch]`, concepts in the order of `CONCEPTS`, patches row by row. For each patch the colours
        sum to 1, and so do the things, the shapes and the background together.
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
            if concept.kind in _OBJECT_KINDS:
                covered[INDEX[concept]] += share
    colours = _share_per_patch(colour_ids(rendering.pixels), len(COLOURS))
    covered[_FIRST_COLOUR : _FIRST_COLOUR + len(COLOURS)] = colours
    return covered


def _share_per_patch(ids: NDArray[np.integer], n_ids: int) -> NDArray[np.float32]:
    """Share of each patch's pixels that have each id: `[height width]` to `[id patch]`."""
    height, width = ids.shape
    rows, columns = height // PATCH_SIZE, width // PATCH_SIZE
    patches = ids.reshape(rows, PATCH_SIZE, columns, PATCH_SIZE).swapaxes(1, 2).reshape(rows * columns, -1)
    cells = patches + np.arange(rows * columns)[:, None] * n_ids
    counts = np.bincount(cells.ravel(), minlength=rows * columns * n_ids).reshape(-1, n_ids)
    return (counts.T / PATCH_SIZE**2).astype(np.float32)
