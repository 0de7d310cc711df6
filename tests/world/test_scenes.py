"""Scenes: the same seed the same scene, and what is wanted is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnknownPhrase
from seesay.world.concepts import BRIGHTNESSES, CONCEPTS, Concept
from seesay.world.lowlevel import brightness_ids
from seesay.world.rendering import render
from seesay.world.scenes import IMAGE_SIZE, sample

SEEDS = st.integers(0, 2**50)


@given(SEEDS)
def test_the_same_seed_gives_the_same_scene(seed: int) -> None:
    assert sample(seed) == sample(seed)


def test_other_seeds_give_other_scenes() -> None:
    assert len({sample(seed) for seed in range(200)}) == 200


@given(SEEDS, st.sampled_from(CONCEPTS))
def test_a_wanted_concept_is_in_the_scene(seed: int, concept: Concept) -> None:
    scene = sample(seed, (concept,))
    match concept.kind:
        case "background":
            assert scene.background == concept.name
        case "brightness":
            shown = brightness_ids(render(scene).pixels) == 1 + BRIGHTNESSES.index(concept.name)
            assert shown.mean() > 0.05
        case "edge" | "boundary":
            assert scene.items
        case "position":  # every scene has it
            assert scene == sample(seed)
        case _:
            assert any(concept in item.concepts for item in scene.items)


@given(SEEDS)
def test_one_object_is_given_all_that_is_wanted_of_it(seed: int) -> None:
    wanted = (Concept("colour", "red"), Concept("fill", "striped"), Concept("shape", "star"))
    assert any(set(wanted) <= set(item.concepts) for item in sample(seed, wanted).items)


@given(SEEDS)
def test_an_object_never_hides_in_a_background_of_its_own_colour(seed: int) -> None:
    scene = sample(seed)
    assert scene.background not in {item.colour for item in scene.items}


@given(SEEDS)
def test_objects_stand_side_by_side_as_far_as_there_is_room(seed: int) -> None:
    scene = sample(seed, (), ("objects",))
    owned = np.bincount(render(scene).owner.ravel(), minlength=len(scene.items) + 1)[1:]
    assert (owned > 25).all()


@given(SEEDS)
def test_objects_of_an_open_scene_have_their_centre_in_the_picture(seed: int) -> None:
    scene = sample(seed)
    if scene.layout == "objects":
        assert all(0 <= c <= IMAGE_SIZE for item in scene.items for c in item.centre)


@pytest.mark.parametrize(
    "wanted",
    [
        (Concept("shape", "star"), Concept("shape", "ring")),
        (Concept("thing", "frog"), Concept("fill", "striped")),
        (Concept("thing", "frog"), Concept("category", "food")),
        (Concept("background", "white"), Concept("brightness", "dark")),
    ],
)
def test_what_no_object_can_be_is_refused(wanted: tuple[Concept, ...]) -> None:
    with pytest.raises(UnknownPhrase):
        sample(0, wanted)
