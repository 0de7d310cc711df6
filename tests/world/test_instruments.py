"""What the world measures with: masks that are exact, pictures that show what is said, and models that know both."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seesay.errors import UnreadableImage
from seesay.images.decoding import pixel_hash
from seesay.instruments.instrument import Embedder, Judge, Picture, Segmenter, Synthesiser
from seesay.store.thumbnails import Thumbnails
from seesay.world import instruments
from seesay.world.concepts import CONCEPTS, Concept
from seesay.world.grammar import parse, parse_groups, phrase
from seesay.world.instruments import WorldSegmenter, WorldSynthesiser, embedder, judge
from seesay.world.masks import mask, object_mask
from seesay.world.pictures import Pictures
from seesay.world.questions import MASK_FILL
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import sample
from seesay.world.streams import RANGES, seeds
from seesay.world.synthesis import synthesise


def scene(number: int) -> Rendering:
    return render(sample(RANGES["images"][number]))


def picture(number: int) -> Picture:
    entry = Pictures(1, number).entry(0)
    return Picture(entry.read(), entry.id)


def segmented(number: int, words: str) -> np.ndarray:
    [masks] = WorldSegmenter().segment([picture(number)], [words])
    return masks


def test_they_are_the_instruments_that_scores_ask_for() -> None:
    assert isinstance(WorldSegmenter(), Segmenter)
    assert isinstance(WorldSynthesiser(), Synthesiser)


@pytest.mark.parametrize("concept", CONCEPTS, ids=str)
def test_a_mask_covers_what_the_scenes_record_says_and_nothing_else(concept: Concept) -> None:
    for number in range(6):
        held = mask(scene(number), concept)
        masks = segmented(number, phrase(concept))
        assert masks.shape == (int(held.any()), 64, 64)
        assert not held.any() or np.array_equal(masks[0], held)


def test_a_mask_of_one_object_is_where_its_number_stands_in_the_record() -> None:
    number = next(n for n in range(200) if len({item.noun for item in scene(n).scene.items}) == 3)
    rendering = scene(number)
    for place, item in enumerate(rendering.scene.items, start=1):
        [found] = segmented(number, f"a {item.noun}")
        assert np.array_equal(found, rendering.owner == place)


def test_each_noun_phrase_is_an_instance_in_the_order_of_the_words() -> None:
    number = next(n for n in range(200) if len({item.noun for item in scene(n).scene.items}) == 2)
    rendering = scene(number)
    first, second = (item.noun for item in rendering.scene.items)
    words = f"a {second} and a {first} on a {rendering.scene.background} background, and a {second}"
    masks = segmented(number, words)
    assert [each.any() for each in masks] == [True] * 3
    assert np.array_equal(masks[0], rendering.owner == 2)
    assert np.array_equal(masks[1], rendering.owner == 1)
    assert np.array_equal(masks[2], rendering.owner == 0)


def test_what_is_said_of_one_object_must_all_hold_for_it() -> None:
    number, item = next(
        (n, items[0])
        for n in range(200)
        if len(items := scene(n).scene.items) == 1 and items[0].colour and items[0].fill
    )
    other = "solid" if item.fill != "solid" else "striped"
    assert len(segmented(number, f"a {item.colour} {item.fill} {item.noun}")) == 1
    assert len(segmented(number, f"a {item.colour} {other} {item.noun}")) == 0


@pytest.mark.parametrize("words", ["", "  ", "a unicorn", "nothing", "a frog" * 3000, "\x00"])
def test_words_that_name_nothing_that_is_there_find_nothing(words: str) -> None:
    number = next(n for n in range(50) if not scene(n).scene.items)
    assert segmented(number, words).shape == (0, 64, 64)


def test_pictures_do_not_depend_on_what_is_segmented_beside_them() -> None:
    words = ["a red star", "a blue background", "an animal", "the top left"]
    together = WorldSegmenter().segment([picture(n) for n in range(4)], words)
    for number, (said, masks) in enumerate(zip(words, together, strict=True)):
        assert np.array_equal(masks, segmented(number, said))


def test_a_runs_thumbnails_are_the_pictures_themselves(tmp_path: Path) -> None:
    kept, own = Thumbnails(tmp_path), picture(5)
    kept.write(pixel_hash(own.image), own.image)
    read = Picture(kept.read(pixel_hash(own.image)), own.source_id)
    [masks] = WorldSegmenter().segment([read], ["the top"])
    assert len(masks) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("images/6", "'images/6' is not the world's picture of that name"),
        ("", "no picture of the world is named ''"),
        ("cat.png", "no picture of the world is named 'cat.png'"),
        ("other/5", "no picture of the world is named 'other/5'"),
        ("images/-5", "no picture of the world is named"),
        (f"images/{1 << 40}", "no picture of the world is named"),
        ("images/٥", "no picture of the world is named"),
        ("images/5\n", "no picture of the world is named"),
    ],
)
def test_a_picture_of_another_name_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        WorldSegmenter().segment([Picture(picture(5).image, name)], ["a frog"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_that_was_changed_is_refused() -> None:
    for changed in (picture(5).image.resize((32, 32)), Image.new("RGB", (64, 64)), picture(5).image.convert("L")):
        with pytest.raises(UnreadableImage, match="not the world's picture"):
            WorldSegmenter().segment([Picture(changed, "images/5")], ["a frog"])


def test_a_scene_is_drawn_once_for_many_phrases(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def noting(seed: int) -> object:
        drawn.append(seed)
        return sample(seed)

    shown = picture(5)
    monkeypatch.setattr(instruments, "sample", noting)
    segmenter = WorldSegmenter()
    segmenter.segment([shown] * 3, ["a frog", "a star", "the top"])
    segmenter.segment([shown], ["a cat"])
    assert drawn == list(seeds("images", 5, 1))


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([phrase(concept) for concept in CONCEPTS] + ["and", "on", "of", "unicorn"]), max_size=8),
    st.integers(0, (1 << 63) - 1),
)
def test_whatever_is_said_makes_a_picture_of_it_or_none(words: list[str], number: int) -> None:
    text = " ".join(words)
    [made] = WorldSynthesiser().synthesise([text], [number])
    assert made is None or (made.mode, made.size) == ("RGB", (64, 64))
    assert made is None or parse(text)


def test_a_synthesised_picture_shows_the_phrase_and_does_not_depend_on_what_is_made_beside_it() -> None:
    texts = ["a red star", "", "a frog and a cat", "a unicorn", "a red star"]
    made = WorldSynthesiser().synthesise(texts, [1, 2, 3, 4, 5])
    assert [each is None for each in made] == [False, True, False, True, False]
    for text, number, image in zip(texts, (1, 2, 3, 4, 5), made, strict=True):
        if image is not None:
            rendering = synthesise(text, number)
            assert np.array_equal(np.asarray(image), rendering.pixels)
            assert all(object_mask(rendering, group).any() for group in parse_groups(text))
            assert WorldSynthesiser().synthesise([text], [number])[0] == image
    assert made[0] != made[4]


def test_facts_are_plain_and_tell_how_pictures_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(WorldSynthesiser().facts)
    assert before == dict(WorldSynthesiser().facts)

    def otherwise(text: str, number: int) -> Rendering:
        return synthesise(text, number + 1)

    instruments._fingerprint.cache_clear()
    monkeypatch.setattr(instruments, "synthesise", otherwise)
    after = dict(WorldSynthesiser().facts)
    instruments._fingerprint.cache_clear()
    assert before.keys() == after.keys()
    assert before != after
    assert WorldSegmenter().facts == {"segmenter": "world", "algorithm": 1}


def test_the_worlds_embedder_knows_its_words() -> None:
    own = embedder(device="cpu")
    assert isinstance(own, Embedder)
    assert own.mask_fill == MASK_FILL
    words = ["a frog", "a star", "a castle", "a red background"]
    images = [synthesise(text, number).image for text in words for number in range(8)]
    seen = own.embed_images(images).unflatten(0, (len(words), -1)).mean(1)
    assert torch.equal((seen @ own.embed_texts(words).T).argmax(1), torch.arange(len(words)))


def test_the_worlds_judge_sees_whether_words_fit() -> None:
    own = judge(device="cpu")
    assert isinstance(own, Judge)
    assert own.mask_fill == MASK_FILL
    words = ["a frog", "a star", "a castle", "a red background"]
    images = [synthesise(text, number).image for text in words for number in range(4)]
    right = own.ask("detect", images, [text for text in words for _ in range(4)])
    wrong = own.ask("detect", images, [text for text in words[1:] + words[:1] for _ in range(4)])
    assert np.mean([verdict.yes for verdict in right]) > 0.7
    assert np.mean([verdict.yes for verdict in wrong]) < 0.2
    assert all(verdict.answered for verdict in right + wrong)
