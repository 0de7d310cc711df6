"""Scenes: the same seed the same scene, and what is wanted is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnknownPhrase
from seesay.world.concepts import CONCEPTS, Concept
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
    if concept.kind == "background":
        assert scene.background == concept.name
    else:
        assert any(concept in item.concepts for item in scene.items)


@given(SEEDS)
def test_one_object_is_given_all_that_is_wanted_of_it(seed: int) -> None:
    wanted = (Concept("colour", "red"), Concept("fill", "striped"), Concept("shape", "star"))
    assert any(set(wanted) <= set(item.concepts) for item in sample(seed, wanted).items)


@given(SEEDS)
def test_an_object_never_hides_in_a_background_of_its_own_colour(seed: int) -> None:
    scene = sample(seed)
    if scene.items:
        assert scene.items[-1].colour != scene.background


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
    ],
)
def test_what_no_object_can_be_is_refused(wanted: tuple[Concept, ...]) -> None:
    with pytest.raises(UnknownPhrase):
        sample(0, wanted)
