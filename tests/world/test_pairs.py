"""Pairs differ in the one attribute that they are made for, and in nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from seesay.errors import UnknownPhrase
from seesay.world.concepts import CONCEPTS, INDEX, Concept
from seesay.world.masks import ABSENT, PRESENT, coverage
from seesay.world.pairs import PAIRED, pairs
from seesay.world.scenes import Item

FIELDS = {
    "thing": "noun", "category": "noun", "shape": "noun", "colour": "colour", "fill": "fill", "size": "size",
}  # fmt: skip
STARTS = st.integers(0, 2**40)


@given(STARTS, st.sampled_from(PAIRED))
def test_one_picture_has_it_and_the_other_lacks_it(start: int, concept: Concept) -> None:
    [pair] = pairs(concept, range(start, start + 400), 1)
    assert not np.array_equal(pair.having.pixels, pair.lacking.pixels)
    assert coverage(pair.having)[INDEX[concept]].max() >= PRESENT
    assert coverage(pair.lacking)[INDEX[concept]].max() < ABSENT


@given(STARTS, st.sampled_from(PAIRED))
def test_nothing_else_differs(start: int, concept: Concept) -> None:
    [pair] = pairs(concept, range(start, start + 400), 1)
    one, other = pair.having.scene, pair.lacking.scene
    assert (one.seed, one.background == other.background) == (
        other.seed,
        concept.kind not in ("background", "brightness"),
    )
    if concept.kind in ("background", "brightness"):
        assert one.items == other.items
        assert other.background not in {item.colour for item in other.items}
    else:
        assert one.items[:-1] == other.items[:-1]
        assert changed(one.items[-1], other.items[-1]) == {FIELDS[concept.kind]}


def changed(one: Item, other: Item) -> set[str]:
    return {
        name
        for name in ("noun", "colour", "fill", "centre", "size", "angle")
        if getattr(one, name) != getattr(other, name)
    }


@given(STARTS)
def test_pixels_away_from_the_object_are_the_same(start: int) -> None:
    [pair] = pairs(Concept("shape", "star"), range(start, start + 400), 1)
    front = len(pair.having.scene.items)
    body = (pair.having.owner == front) | (pair.lacking.owner == front)
    away = ~binary_dilation(body, iterations=5)  # beyond the object's soft rim and thin tips
    assert (pair.having.pixels == pair.lacking.pixels)[away].all()


def test_the_same_seeds_give_the_same_pairs() -> None:
    one, other = (pairs(Concept("colour", "red"), range(60), 3) for _ in range(2))
    assert [pair.lacking.scene for pair in one] == [pair.lacking.scene for pair in other]


@pytest.mark.parametrize("name", ["edge:rising", "boundary:boundary", "position:top"])
def test_what_no_attribute_makes_is_refused(name: str) -> None:
    [concept] = [concept for concept in CONCEPTS if str(concept) == name]
    with pytest.raises(UnknownPhrase, match="alone"):
        pairs(concept, range(10), 1)
