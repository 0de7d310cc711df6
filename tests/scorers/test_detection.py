"""Detection: which images are shown, and what the judge's answers are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from seesay.exemplars.config import Kind
from seesay.images.blank import blank_image
from seesay.images.decoding import pixel_hash
from seesay.instruments.instrument import Judge, Question, Verdict
from seesay.scorers.activations import Activations
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.detection import Detection, Lineup, line_up
from seesay.scorers.scorer import Item, Scorer
from tests.explainers.galleries import vlm_of
from tests.families import SIDE
from tests.scorers.held_out import Made, MadeHeldOut
from tests.tiny import tiny_sae

LAYER, N_IMAGES = 1, 60
SCORING = Scoring(n_positives=8)
HEAT = np.ones((4, 4))


@cache
def activations() -> Activations:
    return Activations(vlm_of().encoder, tiny_sae(), LAYER)


@cache
def pictures() -> tuple[Image.Image, ...]:
    return tuple(blank_image("noise", SIDE, seed) for seed in range(N_IMAGES))


@cache
def dense() -> np.ndarray:
    """Every feature's activation of every picture, image by image."""
    return activations().of(list(pictures())).numpy()


@cache
def feature() -> int:
    """A feature that is active on about half of the pictures."""
    return int(np.abs((dense() > 0).sum(0) - N_IMAGES / 2).argmin())


def made(numbers: Sequence[int]) -> list[Made]:
    return [(pictures()[number], HEAT) for number in numbers]


def shelf(
    n_quantile: int = 12, n_inactive: int = 12, near: Mapping[int, Sequence[int]] | None = None, n_top: int = 3
) -> MadeHeldOut:
    """Real pictures with, and without, the feature; others' exemplars are of both kinds."""
    active, silent = ((dense()[:, feature()] > 0) == is_active for is_active in (True, False))
    with_it, without_it = np.flatnonzero(active).tolist(), np.flatnonzero(silent).tolist()
    kinds: dict[Kind, list[Made]] = {
        "top": made(with_it[:n_top]),
        "quantile": made(with_it[:n_quantile]),
        "inactive": made(without_it[:n_inactive]),
    }
    others = range(N_IMAGES)
    theirs = near if near is not None else {1: others[::2], 2: others[1::2], 3: others[::3]}
    return MadeHeldOut(
        {feature(): kinds, **{1000 + other: {"quantile": made(numbers)} for other, numbers in theirs.items()}},
        nearest={feature(): [(feature(), 1.0), *((1000 + other, 0.9 - other / 10) for other in theirs)]},
    )


class Judging:
    """A judge that is told what to answer of which picture, whatever the words."""

    facts: Mapping[str, Any] = {"judge": "told"}
    mask_fill = (255, 0, 255)

    def __init__(self, yes: Mapping[str, float], answered: bool = True) -> None:
        self.yes, self.answered = yes, answered
        self.asked: list[tuple[Question, str, str]] = []

    def ask(self, question: Question, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[Verdict]:
        hashes = [pixel_hash(image) for image in images]
        self.asked += [(question, each, said) for each, said in zip(hashes, phrases, strict=True)]
        return [Verdict(self.yes.get(each, 0.0), self.answered) for each in hashes]


def scored(held_out: MadeHeldOut, judge: Judging, items: Sequence[Item], scoring: Scoring = SCORING) -> list[Any]:
    return Detection(held_out, activations(), judge, scoring).score(items)


def numbers_of(images: Sequence[Any]) -> list[int]:
    by_hash = {pixel_hash(picture): number for number, picture in enumerate(pictures())}
    return [by_hash[image.pixel_hash] for image in images]


def test_it_is_a_scorer_with_a_judge() -> None:
    assert isinstance(Judging({}), Judge)
    assert isinstance(Detection(shelf(), activations(), Judging({}), SCORING), Scorer)


def test_the_pictures_of_these_tests_are_of_both_kinds() -> None:
    is_active = dense()[:, feature()] > 0
    assert 20 < is_active.sum() < 40
    for numbers in (range(0, N_IMAGES, 2), range(1, N_IMAGES, 2), range(0, N_IMAGES, 3)):
        assert 0 < is_active[list(numbers)].sum() < len(numbers), "among what activates others most"


@pytest.mark.parametrize(("n_positives", "shares"), [(8, [2, 2, 2, 2]), (6, [1, 1, 2, 2]), (100, [3, 3, 3, 3])])
def test_positives_are_of_every_quantile_in_equal_shares(n_positives: int, shares: list[int]) -> None:
    held_out = shelf()
    quantile_of = {each.image.image_id: each.quantile for each in held_out.exemplars(feature(), "quantile")}
    found = line_up(held_out, activations(), Scoring(n_positives=n_positives), feature())
    quantiles = [quantile_of[image.image_id] for image in found.positives]
    assert [quantiles.count(quantile) for quantile in range(4)] == shares
    assert quantiles[:4] == [3, 2, 1, 0], "from the most active one"
    assert len(set(found.positives)) == len(found.positives)


def check(found: Lineup, held_out: MadeHeldOut) -> None:
    """What must hold of every choice."""
    own = {each.image.image_id for kind in get_args(Kind) for each in held_out.exemplars(feature(), kind)}
    near, at_random = found.negatives[: found.n_near], found.negatives[found.n_near :]
    for number in numbers_of(near):
        assert dense()[number, feature()] == 0.0
    assert not {image.image_id for image in near} & own
    inactive = {each.image.image_id for each in held_out.exemplars(feature(), "inactive")}
    assert {image.image_id for image in at_random} <= inactive
    assert len(set(found.negatives)) == len(found.negatives)


def test_half_of_the_negatives_are_near_misses() -> None:
    held_out = shelf()
    found = line_up(held_out, activations(), SCORING, feature())
    check(found, held_out)
    assert (len(found.positives), len(found.negatives), found.n_near) == (8, 8, 4)
    of_others = {each.image.image_id for other in (1001, 1002, 1003) for each in held_out.exemplars(other, "quantile")}
    assert {image.image_id for image in found.negatives[:4]} <= of_others


def test_near_misses_are_of_every_quantile_as_positives_are() -> None:
    silent = [n for n in range(N_IMAGES) if dense()[n, feature()] == 0]
    held_out = shelf(near={1: silent[-12:]}, n_inactive=0)
    quantile_of = {each.image.image_id: each.quantile for each in held_out.exemplars(1001, "quantile")}
    found = line_up(held_out, activations(), SCORING, feature())
    assert [quantile_of[image.image_id] for image in found.negatives] == [3, 2, 1, 0] * 2


def test_near_misses_come_from_each_near_feature_in_turn() -> None:
    silent = [n for n in range(N_IMAGES) if dense()[n, feature()] == 0]
    active = [n for n in range(N_IMAGES) if dense()[n, feature()] > 0]
    a, b, c, d, e = silent[-5:]
    held_out = shelf(near={1: [active[-1], a, d], 2: [a, b, active[-2]], 3: [c, active[-3], e]}, n_inactive=4)
    found = line_up(held_out, activations(), SCORING, feature())
    # the most active quantile: active, a, c; the next: a again, b, active; the next: d, active, e
    assert numbers_of(found.negatives[: found.n_near]) == [a, c, b, d]
    check(found, held_out)


@pytest.mark.parametrize(
    ("n_inactive", "near", "n_near", "n_negatives"),
    [
        (12, {}, 0, 8),  # at random instead
        (12, {1: [0, 1]}, None, 8),
        (1, None, 7, 8),  # near misses instead
        (0, None, 8, 8),
        (3, {}, 0, 3),  # fewer than positives
        (0, {}, 0, 0),
    ],
)
def test_where_there_is_too_little_of_one_half_the_other_one_fills_up(
    n_inactive: int, near: Any, n_near: int | None, n_negatives: int
) -> None:
    held_out = shelf(n_inactive=n_inactive, near=near)
    found = line_up(held_out, activations(), SCORING, feature())
    check(found, held_out)
    assert len(found.positives) == 8
    assert len(found.negatives) == n_negatives
    assert n_near is None or found.n_near == n_near


def test_the_choice_depends_on_the_seed_and_the_feature_alone() -> None:
    held_out = shelf()
    choices = [line_up(held_out, activations(), replace(SCORING, seed=seed), feature()) for seed in (0, 0, 1)]
    assert choices[0] == choices[1] != choices[2]
    elsewhere = Activations(vlm_of().encoder, tiny_sae(), LAYER, batch_size=3)
    assert line_up(shelf(), elsewhere, SCORING, feature()) == choices[0]


def truth() -> dict[str, float]:
    found = line_up(shelf(), activations(), SCORING, feature())
    return {image.pixel_hash: 0.9 for image in found.positives} | {image.pixel_hash: 0.2 for image in found.negatives}


@pytest.mark.parametrize(
    ("yes", "value", "auc"),
    [
        (truth, 1.0, 1.0),
        (lambda: {name: 1 - share for name, share in truth().items()}, 0.0, 0.0),
        (lambda: dict.fromkeys(truth(), 0.7), 0.5, 0.5),
        (lambda: dict.fromkeys(truth(), 0.5), 0.5, 0.5),
        (lambda: {name: share / 2 for name, share in truth().items()}, 0.5, 1.0),
    ],
)
def test_a_judge_that_knows_is_given_full_marks_and_one_that_guesses_none(yes: Any, value: float, auc: float) -> None:
    (found,) = scored(shelf(), Judging(yes()), [Item(feature(), "a frog")])
    assert found.value == pytest.approx(value)
    assert found.others == {"detection_auc": pytest.approx(auc), "unanswered": 0.0}
    assert found.reason == ""


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_inactive", [2, 12])
def test_scores_are_those_of_scikit_learn(seed: int, n_inactive: int) -> None:
    held_out = shelf(n_inactive=n_inactive, near={})
    rng = np.random.default_rng(seed)
    yes = {
        pixel_hash(picture): float(rng.integers(0, 5)) / 4 for picture in pictures()
    }  # with ties, and 0.5 among them
    (found,) = scored(held_out, Judging(yes), [Item(feature(), "a frog")])
    chosen = line_up(held_out, activations(), SCORING, feature())
    said = [yes[image.pixel_hash] for image in (*chosen.positives, *chosen.negatives)]
    is_positive = [True] * len(chosen.positives) + [False] * len(chosen.negatives)
    assert found.value == pytest.approx(balanced_accuracy_score(is_positive, [each > 0.5 for each in said]))
    assert found.others["detection_auc"] == pytest.approx(roc_auc_score(is_positive, said))


def test_answers_that_are_neither_yes_nor_no_are_counted() -> None:
    (found,) = scored(shelf(), Judging(truth(), answered=False), [Item(feature(), "a frog")])
    assert (found.value, found.others["unanswered"]) == (1.0, 1.0)


def test_the_judge_is_asked_once_whether_each_picture_shows_the_words() -> None:
    judge = Judging(truth())
    scored(shelf(), judge, [Item(feature(), "a frog"), Item(feature(), "a car", 1)])
    assert len(judge.asked) == 32
    assert {question for question, _hash, _said in judge.asked} == {"detect"}
    for words in ("a frog", "a car"):
        assert {name for _question, name, said in judge.asked if said == words} == set(truth())


def test_an_empty_text_is_worth_chance_and_the_judge_is_not_asked() -> None:
    judge = Judging(truth())
    for text in ("", " \n"):
        (found,) = scored(shelf(), judge, [Item(feature(), text)])
        assert (found.value, found.others) == (SCORES["detection"].chance, {"detection_auc": 0.5})
        assert found.reason == "nothing was said"
    assert judge.asked == []


@pytest.mark.parametrize("text", ["a frog", ""])
def test_a_feature_without_images_of_both_kinds_has_no_score(text: str) -> None:
    judge = Judging({})
    for held_out, reason in (
        (shelf(n_quantile=0), "no held-out exemplar"),
        (shelf(n_inactive=0, near={}), "no image without it"),
        (MadeHeldOut({}), "no held-out exemplar"),
    ):
        (found,) = scored(held_out, judge, [Item(feature(), text)])
        assert (found.value, found.others, found.reason) == (None, {}, reason)
    assert judge.asked == []


def test_what_is_measured_does_not_depend_on_what_stands_beside_it() -> None:
    items = [Item(feature(), "a frog"), Item(5, "a car"), Item(feature(), ""), Item(feature(), "a tree", 1)]
    judge = Judging(truth())
    together = scored(shelf(), judge, items)
    assert together == [each for item in items for each in scored(shelf(), judge, [item])]
    assert [each.value for each in together] == [1.0, None, 0.5, 1.0]
    assert scored(shelf(), judge, []) == []


def test_the_same_images_serve_all_words_and_are_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = shelf()
    detection = Detection(held_out, activations(), Judging(truth()), SCORING)
    (before,) = detection.score([Item(feature(), "a frog")])
    monkeypatch.setattr(held_out, "exemplars", None)
    assert detection.score([Item(feature(), "a car")]) == [before]


def test_other_settings_are_other_facts() -> None:
    def facts(scoring: Scoring) -> Any:
        return Detection(shelf(), activations(), Judging({}), scoring).facts

    known = facts(SCORING)
    assert known["judge"] == {"judge": "told"}
    assert facts(replace(SCORING, overlay="mask", n_images=3)) == known, "which it has no use for"
    for other in (replace(SCORING, seed=1), replace(SCORING, n_positives=9), replace(SCORING, holding="shared")):
        assert facts(other) != known
