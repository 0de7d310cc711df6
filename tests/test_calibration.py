import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.calibration import HALF, LEAST_KL, Point, agreement, best, curve, heard, similarity
from seesay.errors import InvalidStrength
from seesay.explainers.config import DEFAULT_GRIDS
from seesay.statistics import estimate

WORDS = st.lists(st.sampled_from(["a", "red", "cat", "on", "grass"]), max_size=5).map(" ".join)


def points(*scores: float, half_width: float = 0.0) -> list[Point]:
    return [
        Point(float(n + 1), score, (score - half_width, score + half_width), 1.0, (1.0, 1.0), 9)
        for n, score in enumerate(scores)
    ]


@given(WORDS, WORDS)
def test_similarity_is_symmetric_and_one_only_for_the_same_words(one: str, other: str) -> None:
    found = similarity(one, other)
    assert found == similarity(other, one)
    assert 0 <= found <= 1
    assert (found == 1) == (set(one.split()) == set(other.split()) != set())


def test_what_says_nothing_is_like_nothing() -> None:
    assert similarity("", "") == 0
    assert similarity(".", "a cat") == 0


def test_case_and_punctuation_are_no_words() -> None:
    assert similarity("A cat, on grass.", "a CAT on grass") == 1


LOUD = np.full((3, 4), 2.0)


def test_words_that_hold_and_are_the_features_own_agree() -> None:
    own = ["cat", "dog", "sea", "sun"]
    assert agreement([own, own, own], LOUD).tolist() == [[1.0] * 4] * 3


def test_words_that_all_features_get_do_not_agree() -> None:
    assert agreement([["nothing"] * 4] * 3, LOUD).tolist() == [[0.0] * 4] * 3


def test_words_that_change_with_the_strength_agree_no_more_than_others() -> None:
    found = agreement([["a", "b", "c", "d"], ["e", "f", "g", "h"], ["i", "j", "k", "l"]], LOUD)
    assert found.tolist() == [[0.0] * 4] * 3


def test_the_middle_strength_is_held_against_both_beside_it() -> None:
    own, new = ["cat", "dog", "sea", "sun"], ["one", "two", "three", "four"]
    assert agreement([own, own, new], LOUD)[:, 0].tolist() == [1.0, 0.5, 0.0]


def test_a_push_that_is_not_heard_counts_nothing() -> None:
    own = ["cat", "dog", "sea", "sun"]
    kl = np.array([[LEAST_KL / 2] * 4, [LEAST_KL] * 4, [np.nan] * 4])
    assert agreement([own, own, own], kl).tolist() == [[0.0] * 4, [1.0] * 4, [0.0] * 4]
    assert heard(kl).tolist() == [[0.0] * 4, [1.0] * 4, [0.0] * 4]


def test_one_feature_alone_and_one_strength_alone_can_be_scored() -> None:
    assert agreement([["cat"], ["cat"]], np.ones((2, 1))).tolist() == [[1.0], [1.0]]
    assert agreement([["cat", "dog"]], np.ones((1, 2))).tolist() == [[0.0, 0.0]]


def test_the_weakest_of_those_as_good_as_the_best_is_chosen() -> None:
    assert best(points(0.1, 0.5, 0.6, 0.55, half_width=0.11), "coefficient").value == 2.0
    assert best(points(0.1, 0.5, 0.6, 0.55), "coefficient").value == 3.0


@pytest.mark.parametrize("scores", [(0.0, 0.0), (-0.1, -0.2)])
def test_where_nothing_speaks_for_any_none_is_chosen(scores: tuple[float, ...]) -> None:
    with pytest.raises(InvalidStrength, match="none will do.*try stronger ones"):
        best(points(*scores), "residual_norm")
    with pytest.raises(InvalidStrength, match="one that scores 0.5"):
        best(points(0.1, 0.2, 0.4), "max_activation", enough=HALF)
    with pytest.raises(InvalidStrength, match="a score above 0.5; the best is 0.49"):
        best(points(0.48, 0.49), "residual_norm", chance=0.5)


def test_the_weakest_that_suffices_is_chosen_where_something_suffices() -> None:
    assert best(points(0.1, 0.5, 0.9), "max_activation", enough=HALF).value == 2.0


def test_a_curve_leaves_out_of_the_divergence_what_is_not_known() -> None:
    (point,) = curve([2.0], np.array([[0.0, 1.0]]), np.array([[np.nan, 3.0]]))
    assert (point.score, point.kl, point.kl_interval, point.n) == (0.5, 3.0, (3.0, 3.0), 2)
    assert point.as_json()["interval"] == list(map(lambda each: round(each, 4), point.interval))


def test_a_curve_has_the_mean_and_interval_of_each_strength() -> None:
    scores, kl = np.random.default_rng(0).random((2, 3, 40))
    for row, point in enumerate(curve([1.0, 2.0, 4.0], scores, kl, seed=5)):
        score, moved = estimate(scores[row], seed=5), estimate(kl[row], seed=5)
        assert (point.score, point.interval, point.n) == (score.mean, (score.low, score.high), 40)
        assert (point.kl, point.kl_interval) == (moved.mean, (moved.low, moved.high))
        assert point.interval[0] < scores[row].mean() < point.interval[1]


def test_near_duplicates_are_one_in_the_interval_of_a_curve() -> None:
    values = np.repeat(np.random.default_rng(0).random(20), 2)
    scores, kl, twins = values[None], np.ones((1, 40)), np.arange(40) // 2
    (apart,), (together,) = curve([1.0], scores, kl), curve([1.0], scores, kl, twins)
    expected = estimate(values, twins)
    assert (together.score, together.interval) == (expected.mean, (expected.low, expected.high))
    assert together.interval[0] < apart.interval[0] < apart.interval[1] < together.interval[1]


@pytest.mark.parametrize("unit", DEFAULT_GRIDS)
def test_every_grid_goes_up(unit: str) -> None:
    grid = DEFAULT_GRIDS[unit]
    assert list(grid) == sorted(set(grid))
    assert grid[0] > 0
