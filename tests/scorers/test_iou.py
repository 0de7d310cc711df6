"""IoU against masks made by hand, and against sets of pixels that are counted one by one."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from seesay.images.blank import blank_image
from seesay.instruments.instrument import Picture
from seesay.scorers import iou
from seesay.scorers.config import PAPER, SCORES, Scoring
from seesay.scorers.gallery import HeldOut
from seesay.scorers.iou import IoU, overlap
from seesay.scorers.scorer import Item, Measured, Scorer
from seesay.world.concepts import Concept
from seesay.world.instruments import WorldSegmenter
from seesay.world.masks import PRESENT, object_mask, patch_shares
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import seeds
from tests.scorers.held_out import MadeHeldOut, exemplar, kept_image

Find = Callable[[Picture, str], np.ndarray]


class Scissors:
    """A segmenter of masks that are given to it; it notes what it is asked."""

    def __init__(self, find: Find, facts: Mapping[str, Any] | None = None) -> None:
        self._find = find
        self.facts = facts or {"segmenter": "scissors", "algorithm": 7}
        self.asked: list[list[tuple[Picture, str]]] = []

    def segment(self, pictures: Sequence[Picture], phrases: Sequence[str]) -> list[np.ndarray]:
        self.asked.append(list(zip(pictures, phrases, strict=True)))
        return [self._find(*pair) for pair in self.asked[-1]]


def no_mask(picture: Picture, _phrase: str) -> np.ndarray:
    return np.zeros((0, picture.image.height, picture.image.width), dtype=bool)


def noise(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return blank_image("noise", max(size), seed).crop((0, 0, *size))


def by_hand(masks: np.ndarray, active: np.ndarray, first_mask: bool) -> tuple[float, float, float, float]:
    """Count pixels one by one."""
    rows, columns = active.shape
    everywhere = [(row, column) for row in range(rows) for column in range(columns)]
    mask: set[tuple[int, int]] = set()
    for instance in list(masks)[: 1 if first_mask else len(masks)]:
        mask |= {place for place in everywhere if instance[place]}
    heat = {place for place in everywhere if active[place]}
    both = len(mask & heat)
    return (
        both / len(mask | heat) if mask | heat else 0.0,
        both / len(mask) if mask else 0.0,
        both / len(heat) if heat else 0.0,
        1.0 if mask else 0.0,
    )


SHAPES = st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 5))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape[1:])))


@given(PAIRS, st.booleans())
def test_the_overlap_is_that_of_sets_of_pixels(pair: tuple[np.ndarray, np.ndarray], first_mask: bool) -> None:
    masks, active = pair
    assert overlap(masks, active, first_mask=first_mask) == pytest.approx(by_hand(masks, active, first_mask))


def half(picture: Picture, phrase: str) -> np.ndarray:
    """The left or the upper half, two instances for `both`, nothing for other words."""
    height, width = picture.image.height, picture.image.width
    left, upper = np.zeros((2, height, width), dtype=bool)
    left[:, : width // 2], upper[: height // 2] = True, True
    found = {"left": [left], "upper": [upper], "both": [left, upper]}.get(phrase, [])
    return np.array(found, dtype=bool).reshape(-1, height, width)


LEFT, RIGHT, NOWHERE = [[2.0, 0], [1, 0]], [[0, 3.0], [0, 1]], [[0.0, 0], [0, 0]]


def held_out() -> MadeHeldOut:
    return MadeHeldOut(
        {
            3: {"top": [(noise(0), LEFT), (noise(1), RIGHT)]},
            5: {"top": [(noise(0), RIGHT)]},
            7: {"top": [(noise(2), NOWHERE)]},
            9: {"quantile": [(noise(3), LEFT)]},
        }
    )


def scored(*items: Item, held: HeldOut | None = None, find: Find = half, **scoring: Any) -> list[Measured]:
    return IoU(held or held_out(), Scissors(find), Scoring(**scoring)).score(items)


def numbers(measured: Measured) -> list[float]:
    assert measured.value is not None
    return [measured.value, *(measured.others[name] for name in SCORES["iou"].others)]


def test_the_mean_is_over_exemplars() -> None:
    """The left half is the whole of the first heatmap and none of the second."""
    (found,) = scored(Item(3, "left"))
    assert numbers(found) == [0.5, 0.5, 0.5, 1.0]
    assert found.reason == ""
    (found,) = scored(Item(3, "upper"))
    assert numbers(found) == pytest.approx([1 / 3, 1 / 2, 1 / 2, 1.0])


def test_the_mask_is_the_union_of_the_instances_or_the_first_alone() -> None:
    (union,), (first,) = scored(Item(5, "both")), scored(Item(5, "both"), first_mask=True)
    assert numbers(union) == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1.0])
    assert numbers(first) == [0.0, 0.0, 0.0, 1.0]


def test_nothing_found_counts_zero_and_is_told() -> None:
    (found,) = scored(Item(3, "nothing like it"))
    assert numbers(found) == [0.0, 0.0, 0.0, 0.0]
    assert found.reason == "it is found in no exemplar"
    (found,) = scored(
        Item(3, "left"), find=lambda picture, _: half(picture, "left") if seen(picture, 0) else no_mask(picture, "")
    )
    assert numbers(found) == [0.5, 0.5, 0.5, 0.5]


def seen(picture: Picture, seed: int) -> bool:
    return np.array_equal(np.asarray(picture.image), np.asarray(noise(seed)))


def test_a_heatmap_that_is_nowhere_active_counts_zero() -> None:
    assert numbers(scored(Item(7, "left"))[0]) == [0.0, 0.0, 0.0, 1.0]


def test_words_that_say_nothing_get_chance_without_a_look() -> None:
    segmenter = Scissors(half)
    found = IoU(held_out(), segmenter, Scoring()).score([Item(3, ""), Item(5, " \n")])
    assert [each.value for each in found] == [SCORES["iou"].chance] * 2
    assert {each.reason for each in found} == {"nothing was said"}
    assert all(numbers(each) == [0.0] * 4 for each in found)
    assert segmenter.asked == []


def test_a_feature_without_held_out_exemplars_has_no_score() -> None:
    for found in scored(Item(9, "left"), Item(1000, "left"), Item(9, "")):
        assert (found.value, found.reason) == (None, "no held-out exemplar")
    assert scored() == []


def test_only_so_many_exemplars_are_looked_at_the_best_first() -> None:
    held = MadeHeldOut({3: {"top": [(noise(0), LEFT), (noise(1), LEFT), (noise(2), RIGHT)]}})
    assert numbers(scored(Item(3, "left"), held=held, n_exemplars=2)[0]) == [1.0] * 4
    assert numbers(scored(Item(3, "left"), held=held)[0]) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1.0])


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(lambda grid: arrays(np.bool_, grid)),
    st.tuples(st.integers(5, 24), st.integers(5, 24)),
    st.tuples(st.integers(5, 24), st.integers(5, 24)),
    st.integers(0, 3),
)
def test_the_heatmap_is_spread_over_the_picture_wherever_the_grid_lies(
    active: np.ndarray, size: tuple[int, int], original: tuple[int, int], margin: int
) -> None:
    """Each pixel belongs to the patch that its centre lies on; those beside the grid to none."""
    picture = noise(5, size)
    left, top, right, bottom = box = (margin / 2, -margin / 4, original[0] - margin / 3, float(original[1]))
    image = kept_image(picture, active.shape, size=original, box=box)
    held = MadeHeldOut({})
    held.exemplars_of[1], held.pictures[image.image_id] = {"top": [exemplar(1, image, active)]}, picture
    wanted = np.zeros((size[1], size[0]), dtype=bool)
    for row in range(size[1]):
        for column in range(size[0]):
            x, y = (column + 0.5) * original[0] / size[0], (row + 0.5) * original[1] / size[1]
            cell = (y - top) / (bottom - top) * active.shape[0], (x - left) / (right - left) * active.shape[1]
            if min(abs(each - round(each)) for each in cell) < 1e-9:
                return  # a centre on a border: either patch would do
            if 0 <= cell[0] < active.shape[0] and 0 <= cell[1] < active.shape[1]:
                wanted[row, column] = active[int(cell[0]), int(cell[1])]
    (found,) = scored(Item(1, "it"), held=held, find=lambda _picture, _phrase: wanted[None])
    assert numbers(found) == [float(wanted.any())] * 4
    (found,) = scored(Item(1, "it"), held=held, find=lambda _picture, _phrase: ~wanted[None])
    assert found.value == 0.0


def many(n_features: int = 12) -> tuple[MadeHeldOut, list[Item], Find]:
    """Features that share images, with heatmaps and masks of chance."""
    rng = np.random.default_rng(3)
    pictures = [noise(seed, size) for seed, size in enumerate([(9, 7), (16, 16), (5, 11), (12, 4)])]
    made = {
        feature_id: {
            "top": [(pictures[place], rng.random((4, 4)) * (rng.random((4, 4)) < 0.4)) for place in rng.permutation(4)]
        }
        for feature_id in range(n_features)
    }
    masks: dict[tuple[bytes, str], np.ndarray] = {}

    def find(picture: Picture, phrase: str) -> np.ndarray:
        key = (picture.image.tobytes(), phrase)
        if key not in masks:
            chance = np.random.default_rng(list(phrase.encode()) + list(key[0][:8]))
            shape = (int(chance.integers(0, 4)), picture.image.height, picture.image.width)
            masks[key] = chance.random(shape) < 0.3
        return masks[key]

    texts = ["a", "b", "a", "c", "", "a b"]
    items = [Item(n % n_features, texts[n % len(texts)], n // n_features) for n in range(3 * n_features)]
    return MadeHeldOut(made), items, find


@pytest.mark.parametrize("first_mask", [False, True])
def test_scores_are_the_means_of_what_is_counted_by_hand(first_mask: bool) -> None:
    held, items, find = many()
    for item, found in zip(items, scored(*items, held=held, find=find, first_mask=first_mask), strict=True):
        if not item.text:
            continue
        counted = []
        for each in held.exemplars(item.feature_id, "top"):
            picture = held.picture(each.image)
            active = np.asarray(each.drawn("mask", Image.new("RGB", picture.size, "white"))).any(2)
            counted.append(by_hand(find(Picture(picture), item.text), active, first_mask))
        assert numbers(found) == pytest.approx(np.mean(counted, 0))


def test_scores_do_not_depend_on_which_items_stand_together(monkeypatch: pytest.MonkeyPatch) -> None:
    held, items, find = many()
    together = scored(*items, held=held, find=find)
    assert [scored(item, held=held, find=find)[0] for item in items] == together
    assert scored(*items[::-1], held=held, find=find)[::-1] == together
    monkeypatch.setattr(iou, "_PAIRS_AT_ONCE", 3)
    assert scored(*items, held=held, find=find) == together


def test_a_picture_with_a_phrase_is_segmented_once_whatever_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    held, items, find = many()
    segmenter = Scissors(find)
    IoU(held, segmenter, Scoring()).score(items)
    (asked,) = segmenter.asked
    assert len({(picture.image.tobytes(), phrase) for picture, phrase in asked}) == len(asked) == 4 * 4
    assert len({id(picture) for picture, _ in asked}) == 4, "one picture for all phrases"
    monkeypatch.setattr(iou, "_PAIRS_AT_ONCE", 5)
    IoU(held, segmenter, Scoring()).score(items)
    assert [len(each) for each in segmenter.asked] == [16, 5, 5, 5, 1]


def test_a_segmenter_is_told_where_a_picture_is_from() -> None:
    held = MadeHeldOut({3: {"top": [(noise(0), LEFT)]}}, source_ids=["images/17"])
    segmenter = Scissors(half)
    IoU(held, segmenter, Scoring()).score([Item(3, "left")])
    assert [[picture.source_id for picture, _ in asked] for asked in segmenter.asked] == [["images/17"]]


def test_facts_hold_all_that_changes_the_numbers() -> None:
    plain = IoU(held_out(), Scissors(half), Scoring())
    assert isinstance(plain, Scorer)
    assert json.loads(json.dumps(plain.facts)) == plain.facts
    assert plain.facts["segmenter"] == {"segmenter": "scissors", "algorithm": 7}
    others = [
        IoU(held_out(), Scissors(half), PAPER),
        IoU(held_out(), Scissors(half), replace(Scoring(), holding="shared")),
        IoU(held_out(), Scissors(half), Scoring(n_exemplars=9)),
        IoU(held_out(), Scissors(half), Scoring(first_mask=True)),
        IoU(held_out(), Scissors(half, {"segmenter": "knife"}), Scoring()),
    ]
    assert len({json.dumps(each.facts, sort_keys=True) for each in [plain, *others]}) == 6
    assert IoU(held_out(), Scissors(half), Scoring(n_images=3, seed=5)).facts == plain.facts


def test_in_the_world_the_right_word_covers_the_heatmap_and_another_does_not() -> None:
    """A feature that is active on the patches of one thing alone."""
    names = ["triangle", "heart", "star", "ring"]
    scenes = [(n, render(sample(seed))) for n, seed in enumerate(seeds("images", 0, 60))]
    held, right, wrong = MadeHeldOut({}), [], []
    for feature_id, name in enumerate(names):
        found = []
        for n, rendering in scenes:
            active = patch_shares(object_mask(rendering, [Concept("shape", name)])) >= PRESENT
            if active.any():
                image = kept_image(rendering.image, active.shape, f"images/{n}")
                held.pictures[image.image_id] = rendering.image
                found.append(exemplar(feature_id, image, active, rank=len(found)))
        assert found
        held.exemplars_of[feature_id] = {"top": found}
        right.append(Item(feature_id, f"a {name}"))
        wrong.append(Item(feature_id, f"a {names[feature_id - 1]}"))
    scorer = IoU(held, WorldSegmenter(), Scoring())
    for told, other in zip(scorer.score(right), scorer.score(wrong), strict=True):
        assert told.value is not None
        assert other.value is not None
        assert told.value > 0.4 > 0.1 > other.value
        assert told.others["found"] == 1.0
        assert told.others["recall"] > 0.5
