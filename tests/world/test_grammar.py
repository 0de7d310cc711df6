"""Words to concepts and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnknownPhrase
from seesay.world.concepts import CONCEPTS, Concept
from seesay.world.grammar import caption, parse, parse_groups, parse_strictly, phrase, vocabulary
from seesay.world.scenes import sample

SEEDS = st.integers(0, 2**50)


@pytest.mark.parametrize("concept", CONCEPTS, ids=str)
def test_a_concept_survives_being_said(concept: Concept) -> None:
    assert parse(phrase(concept)) == (concept,)


@given(SEEDS)
def test_a_scene_survives_being_described(seed: int) -> None:
    scene = sample(seed)
    background = (Concept("background", scene.background),)
    items = scene.items[:1] if scene.layout == "pattern" else sorted(scene.items, key=lambda item: item.centre[0])
    told = {"colour", "fill", "shape", "thing"}
    said = [tuple(concept for concept in item.concepts if concept.kind in told) for item in items]
    assert parse_groups(caption(scene)) == (*said, background)


@given(SEEDS)
def test_every_word_of_a_caption_is_in_the_vocabulary(seed: int) -> None:
    assert set(caption(sample(seed)).split()) <= set(vocabulary())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a carrot", ["thing:carrot"]),
        ("A Fire Engine!", ["thing:fire engine"]),
        ("a tree", []),
        ("the colour of a rose", ["thing:rose"]),
        ("a red background", ["background:red"]),
        ("red on a red background", ["colour:red", "background:red"]),
        ("nothing", []),
        ("", []),
        ("starry scarred cartwheel", []),
        ("a sky object", ["category:sky"]),
        ("a small object and an object", ["size:small", "category:object"]),
        ("an object boundary", ["boundary:boundary"]),
        ("a rising edge at the top left", ["edge:rising", "position:top left"]),
        ("the left", ["position:left"]),
        ("a dark area", ["brightness:dark"]),
        ("dark", []),
        ("**a frog.** and a *cat*", ["thing:frog", "thing:cat"]),
    ],
)
def test_phrases_are_parsed_whole(text: str, names: list[str]) -> None:
    assert [str(concept) for concept in parse(text)] == names


@given(st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    assert set(parse(text)) <= set(CONCEPTS)


def test_a_phrase_that_names_nothing_is_refused_where_something_is_needed() -> None:
    with pytest.raises(UnknownPhrase, match="a unicorn"):
        parse_strictly("a unicorn")
