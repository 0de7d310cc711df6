"""How sure words are: whether what is learnt is what was put in, and whether probabilities are what they say."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import InvalidSetting
from seesay.statistics import calibration_error
from seesay.trust import TrustModel, fit, with_methods

NAMES = ("agreement", "detection", "noise")
WEIGHTS, BIAS = np.array([1.5, -0.8, 0.0]), 0.4
MEANS, DEVIATIONS = np.array([0.3, 100.0, -2.0]), np.array([0.1, 20.0, 1.0])


def drawn(n: int, seed: int, missing: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals, what is right by a known model, and the features, of which each has two explanations."""
    rng = np.random.default_rng(seed)
    standard = rng.normal(size=(n, len(NAMES)))
    standard[rng.random(standard.shape) < missing] = 0.0
    odds = standard @ WEIGHTS + BIAS
    is_right = rng.random(n) < 1 / (1 + np.exp(-odds))
    signals = MEANS + DEVIATIONS * standard
    return np.where(standard == 0, np.nan, signals), is_right, np.arange(n) // 2


def slowly(model: TrustModel, row: np.ndarray) -> float:
    """One probability, by the book."""
    odds = model.bias
    for value, centre, scale, weight in zip(row, model.centres, model.scales, model.weights, strict=True):
        if not math.isnan(value):
            odds += weight * (value - centre) / scale
    return 1 / (1 + math.exp(-odds))


def test_a_model_that_is_known_is_found_again() -> None:
    model = fit(NAMES, *drawn(6000, seed=0))
    np.testing.assert_allclose(model.weights, WEIGHTS, atol=0.12)
    assert model.bias == pytest.approx(BIAS, abs=0.12)
    np.testing.assert_allclose(model.centres, MEANS, atol=3 * DEVIATIONS.max() / math.sqrt(6000))
    np.testing.assert_allclose(model.scales, DEVIATIONS, rtol=0.05)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_probabilities_are_calibrated_on_explanations_that_nothing_was_learnt_from(missing: float) -> None:
    model = fit(NAMES, *drawn(2000, 1, missing))
    signals, is_right, _ = drawn(4000, 2, missing)
    probabilities = model.probabilities(signals)
    assert calibration_error(probabilities, is_right) < 0.04
    assert calibration_error(np.full(len(is_right), 0.9), is_right) > 0.2, "which would show if they were not"
    sure = probabilities > 0.9
    assert sure.sum() > 200
    assert is_right[sure].mean() > 0.88


def test_signals_that_say_nothing_give_the_share_that_is_right() -> None:
    rng = np.random.default_rng(3)
    is_right = rng.random(500) < 0.3
    model = fit(["noise"], rng.normal(size=(500, 1)), is_right, np.arange(500))
    np.testing.assert_allclose(model.probabilities(rng.normal(size=(50, 1))), is_right.mean(), atol=0.05)


def test_what_is_missing_stands_for_the_mean() -> None:
    model = fit(NAMES, *drawn(400, 4, missing=0.2))
    means = np.array([model.centres])
    holes = np.array([[np.nan, means[0, 1], means[0, 2]], [np.nan] * 3])
    whole = np.concatenate([means, means])
    np.testing.assert_array_equal(model.probabilities(holes), model.probabilities(whole))
    np.testing.assert_allclose(model.probabilities(whole), 1 / (1 + math.exp(-model.bias)))


def test_centres_are_the_means_of_what_is_there() -> None:
    signals, is_right, groups = drawn(400, 5, missing=0.4)
    model = fit(NAMES, signals, is_right, groups)
    np.testing.assert_allclose(model.centres, np.nanmean(signals, axis=0))
    np.testing.assert_allclose(model.scales, np.nanstd(signals, axis=0))


def test_probabilities_are_those_of_the_book() -> None:
    model = fit(NAMES, *drawn(300, 6, missing=0.1))
    signals, _, _ = drawn(50, 7, missing=0.3)
    np.testing.assert_allclose(model.probabilities(signals), [slowly(model, row) for row in signals], rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -3.3])
def test_a_signal_that_never_varies_says_nothing_wherever_it_goes_later(value: float) -> None:
    signals, is_right, groups = drawn(400, 8)
    signals[:, 2] = value
    model = fit(NAMES, signals, is_right, groups)
    other = signals.copy()
    other[:, 2] = value * 3 + 5
    np.testing.assert_allclose(model.probabilities(other), model.probabilities(signals), atol=1e-6)


def test_a_signal_that_nothing_is_known_of_says_nothing() -> None:
    signals, is_right, groups = drawn(400, 9)
    signals[:, 1] = np.nan
    model = fit(NAMES, signals, is_right, groups)
    assert (model.centres[1], model.scales[1]) == (0.0, 1.0)
    other = signals.copy()
    other[:, 1] = 1e9
    np.testing.assert_allclose(model.probabilities(other), model.probabilities(signals), atol=1e-6)


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2))
def test_signals_without_measure_give_probabilities_all_the_same(values: list[float]) -> None:
    model = TrustModel(("a", "b"), (0.0, 1.0), (1.0, 0.5), (1e3, -1.0), 0.25)
    (found,) = model.probabilities(np.array([values]))
    assert 0 <= found <= 1


def test_nothing_is_drawn_and_the_order_of_explanations_hardly_matters() -> None:
    signals, is_right, groups = drawn(300, 10)
    model, other = fit(NAMES, signals, is_right, groups), fit(NAMES, signals, is_right, groups)
    assert model == other
    order = np.random.default_rng(0).permutation(len(groups))
    shuffled = fit(NAMES, signals[order], is_right[order], groups[order])
    np.testing.assert_allclose(shuffled.probabilities(signals), model.probabilities(signals), atol=0.05)


def test_a_feature_is_never_parted_between_learning_and_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn import model_selection

    given: list[Any] = []
    search = model_selection.GridSearchCV

    def watching(*arguments: Any, cv: Any, **options: Any) -> Any:
        given.extend(cv)
        return search(*arguments, cv=cv, **options)

    monkeypatch.setattr(model_selection, "GridSearchCV", watching)
    signals, is_right, groups = drawn(200, 11)
    fit(NAMES, signals, is_right, groups)
    assert len(given) == 5
    for learnt_on, judged_on in given:
        assert not set(groups[learnt_on]) & set(groups[judged_on])
        assert len(set(learnt_on) | set(judged_on)) == len(groups)
    assert sorted(row for _, judged_on in given for row in judged_on) == list(range(len(groups)))


def test_noise_that_marks_features_is_not_believed() -> None:
    """Were a feature's explanations parted between folds, each would be judged by its twins, and noise look sure."""
    rng = np.random.default_rng(12)
    n_features, n_signals = 80, 30
    groups = np.repeat(np.arange(n_features), 5)
    marks, is_right = rng.normal(size=(n_features, n_signals)), rng.random(n_features) < 0.5
    names = [str(each) for each in range(n_signals)]
    fresh = rng.normal(size=(500, n_signals))

    def sureness(groups_told: np.ndarray) -> float:
        model = fit(names, marks[groups], is_right[groups], groups_told)
        return float(np.abs(model.probabilities(fresh) - 0.5).mean())

    parted = sureness(np.arange(len(groups)))
    assert parted > 0.35
    assert sureness(groups) < 0.15


def few(n_right: int, n_wrong: int, n_features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = n_right + n_wrong
    rng = np.random.default_rng(13)
    return rng.normal(size=(n, 1)), np.arange(n) < n_right, np.arange(n) % n_features


@pytest.mark.parametrize(("n_right", "n_wrong", "n_features"), [(9, 90, 40), (90, 9, 40), (0, 99, 40), (50, 50, 9)])
def test_too_little_to_learn_from_is_said_in_one_line(n_right: int, n_wrong: int, n_features: int) -> None:
    with pytest.raises(InvalidSetting, match=f"{n_right} right and {n_wrong} wrong.*explain and score more") as caught:
        fit(["a"], *few(n_right, n_wrong, n_features))
    assert "\n" not in str(caught.value)


def test_just_enough_is_learnt_from() -> None:
    model = fit(["a"], *few(10, 10, 10))
    assert np.isfinite(model.probabilities(np.zeros((1, 1)))).all()


def test_where_all_that_is_right_is_of_one_feature_nothing_can_be_learnt() -> None:
    n_each = 12
    groups = np.repeat(np.arange(12), n_each)
    signals = np.random.default_rng(14).normal(size=(len(groups), 1))
    with pytest.raises(InvalidSetting, match="features or more"):
        fit(["a"], signals, groups == 3, groups)


def test_no_explanations_at_all_are_too_few() -> None:
    with pytest.raises(InvalidSetting, match="0 right and 0 wrong"):
        fit(["a"], np.zeros((0, 1)), np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64))


def test_plain_data_is_all_that_it_takes_to_apply_a_model() -> None:
    model = fit(NAMES, *drawn(300, 15))
    facts = json.loads(json.dumps(model.as_json(), allow_nan=False))
    columns = [facts["signals"][name] for name in NAMES]
    again = TrustModel(
        NAMES,
        tuple(each["centre"] for each in columns),
        tuple(each["scale"] for each in columns),
        tuple(each["weight"] for each in columns),
        facts["bias"],
    )
    assert again == model


def test_signals_stand_side_by_side_with_one_for_each_method() -> None:
    rows = [{"iou": 0.5, "clip": 0.25}, {}, {"iou": 1.0}]
    names, signals = with_methods(rows, ["topk", "steering", "topk"])
    assert names == ["clip", "iou", "method: steering", "method: topk"]
    np.testing.assert_array_equal(signals, [[0.25, 0.5, 0, 1], [np.nan, np.nan, 1, 0], [np.nan, 1.0, 0, 1]])


def test_without_signals_there_are_still_methods() -> None:
    names, signals = with_methods([{}, {}], ["topk", "topk"])
    assert names == ["method: topk"]
    np.testing.assert_array_equal(signals, [[1.0], [1.0]])
