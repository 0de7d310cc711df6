"""Masks and coverage agree with each other and with the pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.world.concepts import COLOURS, CONCEPTS, INDEX, KINDS, Concept
from seesay.world.masks import PATCH_SIZE, coverage, mask, object_mask
from seesay.world.rendering import render
from seesay.world.scenes import Item, Scene, sample

SEEDS = st.integers(0, 2**50)


def rows(*kinds: str) -> list[int]:
    return [row for row, concept in enumerate(CONCEPTS) if concept.kind in kinds]


def per_patch(pixels: np.ndarray) -> np.ndarray:
    side = len(pixels) // PATCH_SIZE
    return pixels.reshape(side, PATCH_SIZE, side, PATCH_SIZE).mean((1, 3)).ravel()


@given(SEEDS)
def test_in_every_patch_the_colours_sum_to_one(seed: int) -> None:
    assert np.allclose(coverage(render(sample(seed)))[rows("colour")].sum(0), 1)


@given(SEEDS)
def test_in_every_patch_objects_and_background_sum_to_one(seed: int) -> None:
    assert np.allclose(coverage(render(sample(seed)))[rows("thing", "shape", "background")].sum(0), 1)


@given(SEEDS)
def test_in_every_patch_the_positions_sum_to_one(seed: int) -> None:
    assert np.allclose(coverage(render(sample(seed)))[rows("position")].sum(0), 1)


@given(SEEDS)
def test_a_thing_covers_what_its_category_covers_and_a_shape_what_its_fill_does(seed: int) -> None:
    covered = coverage(render(sample(seed)))
    assert np.allclose(covered[rows("thing")].sum(0), covered[rows("category")].sum(0))
    assert np.allclose(covered[rows("shape")].sum(0), covered[rows("fill")].sum(0))


@given(SEEDS)
def test_coverage_is_the_mean_of_the_mask_over_the_patch(seed: int) -> None:
    rendering = render(sample(seed))
    covered = coverage(rendering)
    for kind in KINDS:
        present = [row for row in rows(kind) if covered[row].any()] or rows(kind)[:1]
        for row in present:
            assert np.allclose(covered[row], per_patch(mask(rendering, CONCEPTS[row])))


def test_a_colour_is_measured_from_the_pixels_of_things_too() -> None:
    frog = Item("frog", None, None, centre=(32, 32), size=48, angle=0.0)
    rendering = render(Scene(seed=0, layout="objects", background="white", items=(frog,)))
    green = coverage(rendering)[INDEX[Concept("colour", "green")]]
    body = coverage(rendering)[INDEX[Concept("thing", "frog")]]
    assert green[body > 0.99].mean() > 0.5
    assert green[body == 0].max() == 0


def test_a_phrase_of_several_words_means_one_object_with_all_of_them() -> None:
    star = Item("star", "red", "striped", centre=(18, 18), size=30, angle=0.0)
    ring = Item("ring", "red", "solid", centre=(46, 46), size=30, angle=0.0)
    rendering = render(Scene(seed=0, layout="objects", background="blue", items=(star, ring)))
    red_star = object_mask(rendering, (Concept("colour", "red"), Concept("shape", "star")))
    assert np.array_equal(red_star, rendering.owner == 1)
    assert not object_mask(rendering, (Concept("fill", "striped"), Concept("shape", "ring"))).any()
    assert np.array_equal(object_mask(rendering, (Concept("fill", "solid"),)), rendering.owner == 2)


def test_a_thing_has_the_colours_of_its_pixels() -> None:
    frog = Item("frog", None, None, centre=(32, 32), size=40, angle=0.0)
    rendering = render(Scene(seed=0, layout="objects", background="red", items=(frog,)))
    assert object_mask(rendering, (Concept("colour", "green"), Concept("thing", "frog"))).any()
    assert not object_mask(rendering, (Concept("colour", "red"), Concept("thing", "frog"))).any()


def test_a_colour_alone_means_its_pixels_wherever_they_are() -> None:
    rendering = render(sample(5))
    for name in COLOURS:
        concept = Concept("colour", name)
        assert np.array_equal(object_mask(rendering, (concept,)), mask(rendering, concept))


FROG, RED_STAR = (
    Item("frog", None, None, centre=(16, 16), size=30, angle=0.0),
    Item("star", "red", "solid", centre=(46, 46), size=30, angle=0.0),
)


@pytest.mark.parametrize(
    ("concepts", "is_shown"),
    [
        ((Concept("thing", "frog"), Concept("position", "top left")), True),
        ((Concept("thing", "frog"), Concept("position", "bottom right")), False),
        ((Concept("colour", "red"), Concept("shape", "star"), Concept("edge", "rising")), True),
        ((Concept("thing", "frog"), Concept("boundary", "boundary")), True),
        ((Concept("thing", "frog"), Concept("background", "white")), False),
    ],
    ids=str,
)
def test_a_place_or_an_edge_leaves_of_an_object_what_lies_there(concepts: tuple[Concept, ...], is_shown: bool) -> None:
    rendering = render(Scene(seed=0, layout="objects", background="white", items=(FROG, RED_STAR)))
    found = object_mask(rendering, concepts)
    assert found.any() == is_shown
    assert not (found & ~object_mask(rendering, concepts[:-1])).any()
    assert not (found & ~mask(rendering, concepts[-1])).any()
