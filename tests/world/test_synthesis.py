"""A picture made from a phrase shows what the phrase says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnknownPhrase
from seesay.world.concepts import CONCEPTS, Concept
from seesay.world.grammar import parse_strictly, phrase
from seesay.world.masks import mask, object_mask
from seesay.world.streams import RANGES
from seesay.world.synthesis import synthesise

NUMBERS = st.integers(0, 10_000)


@given(NUMBERS, st.sampled_from(CONCEPTS))
def test_a_picture_of_a_concept_shows_it(number: int, concept: Concept) -> None:
    rendering = synthesise(phrase(concept), number)
    assert object_mask(rendering, (concept,)).any()


@given(NUMBERS)
def test_a_picture_of_two_objects_shows_both_on_their_background(number: int) -> None:
    rendering = synthesise("a red striped star and a cat on a blue background", number)
    nouns = {item.noun for item in rendering.scene.items}
    assert nouns == {"star", "cat"}
    assert rendering.scene.background == "blue"
    assert {concept for item in rendering.scene.items for concept in item.concepts} >= set(
        parse_strictly("a red striped star")[0]
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a frog at the top left", ["thing:frog", "position:top left"]),
        ("a frog in a dark area", ["thing:frog", "brightness:dark"]),
        ("a red star with a rising edge", ["colour:red", "shape:star", "edge:rising"]),
        ("a frog and a large object", ["thing:frog", "size:large"]),
        ("a small object on a red background", ["size:small", "background:red"]),
        ("a frog red background", ["thing:frog", "background:red"]),
    ],
)
@pytest.mark.parametrize("number", range(5))
def test_all_that_a_phrase_names_is_shown(text: str, wanted: list[str], number: int) -> None:
    rendering = synthesise(text, number)
    for concept in CONCEPTS:
        if str(concept) in wanted:
            assert mask(rendering, concept).sum() >= 16


@pytest.mark.parametrize("text", ["a frog at the top left", "a green frog", "a red fire engine at the right"])
@pytest.mark.parametrize("number", range(5))
def test_an_object_is_where_it_is_said_to_be_and_of_the_colour(text: str, number: int) -> None:
    [group] = parse_strictly(text)
    assert object_mask(synthesise(text, number), group).sum() >= 16


def test_numbers_give_different_pictures_and_the_same_number_the_same() -> None:
    one, again, other = (synthesise("a frog", number).pixels for number in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_synthesised_pictures_have_seeds_of_their_own() -> None:
    assert synthesise("a frog", 7).scene.seed in RANGES["synthesis"]


@pytest.mark.parametrize("text", ["", "a unicorn", "a striped frog", "a purple frog"])
def test_what_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(UnknownPhrase):
        synthesise(text, 0)
