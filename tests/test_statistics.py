"""Each definition is held against scikit-learn, scipy or a loop over all pairs."""

import math
import warnings
from itertools import combinations
from random import Random

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, false_discovery_control, permutation_test, spearmanr, wilcoxon
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from seesay.statistics import (
    Bin,
    Estimate,
    balanced_accuracy,
    calibration_error,
    clusters_of,
    clusters_within,
    contrast,
    coverage_accuracy,
    estimate,
    holm,
    mad,
    ordinal_alpha,
    paired,
    pooled_auc,
    rank_correlation,
    reliability,
    roc_auc,
)
from seesay.statistics.agreement import alphas_of, pairs_of
from seesay.statistics.estimates import N_RESAMPLES, TAILS

NUMBERS = st.floats(-10, 10, width=32)
TIED = st.integers(0, 4).map(lambda count: count / 4)
FEW = st.lists(NUMBERS | TIED, min_size=1, max_size=30).map(lambda values: np.array(values, dtype=np.float64))
PAIRS = st.tuples(NUMBERS | TIED, NUMBERS | TIED)
SCORES = st.lists(PAIRS, min_size=1, max_size=30).map(np.array)
MANY_SCORES = st.lists(PAIRS, min_size=14, max_size=30).map(np.array)
P_VALUES = st.lists(st.floats(0, 1) | TIED, max_size=12)
TRUSTS = st.lists(st.tuples(st.floats(0, 1) | TIED, st.booleans()), min_size=1, max_size=60)

few_examples = settings(max_examples=40)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def split_up(trusts: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    probabilities, outcomes = zip(*trusts, strict=True)
    return np.array(probabilities, dtype=np.float64), np.array(outcomes, dtype=bool)


def test_features_of_different_dictionaries_are_never_one_cluster() -> None:
    near = {"a": {1: [(2, 0.9)], 3: []}, "b": {1: [(2, 0.1)]}}
    found = clusters_within(["a", "b", "a", "b", "c", "a"], [1, 1, 2, 2, 1, 3], near)
    assert found[0] == found[2]
    assert len(set(found.tolist())) == 5


# Estimates


def test_a_contrast_is_the_difference_of_two_means_and_its_interval_that_of_resampled_clusters() -> None:
    values, clusters = random(30), np.arange(30) // 2
    is_first = np.arange(30) % 3 == 0
    found = contrast(values, is_first, clusters, seed=3)
    rng = np.random.default_rng(3)
    drawn: list[float] = []
    for row in rng.integers(0, 15, (N_RESAMPLES, 15)):
        members = np.concatenate([np.flatnonzero(clusters == cluster) for cluster in row])
        if 0 < is_first[members].sum() < len(members):
            drawn.append(values[members][is_first[members]].mean() - values[members][~is_first[members]].mean())
    assert found.mean == pytest.approx(values[is_first].mean() - values[~is_first].mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, TAILS)))
    assert found.n == 30


@few_examples
@given(FEW)
def test_a_contrast_of_groups_turned_around_is_its_negative(values: np.ndarray) -> None:
    assume(len(values) > 1)
    is_first = np.arange(len(values)) % 2 == 0
    one, other = contrast(values, is_first), contrast(values, ~is_first)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low), abs=1e-6)


@pytest.mark.parametrize("n", [2, 9, 300])
def test_without_clusters_the_interval_is_that_of_scipy(n: int) -> None:
    values = random(n) ** 3
    rng = np.random.default_rng(7)
    theirs = bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=rng).confidence_interval
    found = estimate(values, seed=7)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (found.mean, found.n) == (pytest.approx(values.mean()), n)


def test_the_interval_does_not_depend_on_how_many_resamples_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = random(50)
    expected = estimate(values)
    monkeypatch.setattr("seesay.statistics.estimates._N_DRAWS_AT_ONCE", 350)
    assert estimate(values) == expected


def test_a_resample_of_clusters_is_all_that_is_in_those_drawn() -> None:
    values, clusters = random(12), np.array([4, 4, 9, -1, 9, 4, 7, 7, -1, 4, 30, 4])
    members = [values[clusters == label] for label in sorted(set(clusters.tolist()))]
    draws = np.random.default_rng(3).integers(0, len(members), (2000, len(members)))
    means = [np.concatenate([members[place] for place in row]).mean() for row in draws]
    found = estimate(values, clusters, seed=3)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))
    assert (found.mean, found.n) == (pytest.approx(values.mean()), 12)


def test_clusters_of_one_each_are_no_clusters() -> None:
    assert estimate(random(40), np.arange(40)) == estimate(random(40))


def test_features_that_stand_there_four_times_tell_no_more_than_once() -> None:
    once = estimate(random(30))
    fourfold = estimate(np.repeat(random(30), 4), np.repeat(np.arange(30), 4))
    assert (fourfold.low, fourfold.high) == pytest.approx((once.low, once.high))
    for_granted = estimate(np.repeat(random(30), 4))
    assert for_granted.high - for_granted.low < 0.7 * (once.high - once.low)


def test_95_of_100_intervals_hold_the_true_mean_only_if_duplicates_are_known_as_such() -> None:
    rng, sizes = np.random.default_rng(0), np.tile([1, 2, 6], 14)[:40]
    clusters = np.repeat(np.arange(40), sizes)
    held = {"clusters": 0, "features": 0}
    for seed in range(200):
        values = np.repeat(rng.normal(size=40), sizes) + 0.1 * rng.normal(size=len(clusters))
        for name, known in (("clusters", clusters), ("features", None)):
            found = estimate(values, known, seed=seed)
            held[name] += found.low <= 0 <= found.high
    assert held["clusters"] >= 176
    assert held["features"] <= 150


def test_the_order_of_features_does_not_matter_but_for_chance() -> None:
    values, order = random(200), np.random.default_rng(1).permutation(200)
    one, other = estimate(values), estimate(values[order])
    assert other.mean == pytest.approx(one.mean)
    assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.005)


@few_examples
@given(FEW, st.integers(0, 3))
def test_an_interval_lies_within_the_values_and_is_the_same_for_the_same_seed(values: np.ndarray, seed: int) -> None:
    clusters = np.arange(len(values)) // 2
    for found in (estimate(values, seed=seed), estimate(values, clusters, seed=seed)):
        assert values.min() - 1e-9 <= found.low <= found.high <= values.max() + 1e-9
    assert estimate(values, clusters, seed=seed) == estimate(values, clusters, seed=seed)


def test_an_interval_narrows_with_more_features() -> None:
    few, many = estimate(np.arange(8.0)), estimate(np.tile(np.arange(8.0), 50))
    assert few.low < many.low < many.mean == few.mean < many.high < few.high


def test_what_does_not_vary_has_an_interval_without_width() -> None:
    assert estimate(np.full(7, 0.1)) == Estimate(0.1, 0.1, 0.1, 7)
    assert estimate(np.full(7, 0.1), np.array([0, 0, 1, 1, 1, 2, 2])) == Estimate(0.1, 0.1, 0.1, 7)
    assert estimate(np.array([3.0])) == Estimate(3.0, 3.0, 3.0, 1)
    assert estimate(np.array([3.0]), np.array([5])) == Estimate(3.0, 3.0, 3.0, 1)
    assert estimate(np.array([1.0, 2.0]), np.array([0, 0])) == Estimate(1.5, 1.5, 1.5, 2)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.nan], [math.inf, 0.0]])
def test_nothing_and_what_is_no_number_have_no_mean(values: list[float]) -> None:
    with pytest.raises(AssertionError, match="mean of nothing"):
        estimate(np.array(values, dtype=np.float64))


# Clusters


def connected(feature_ids: list[int], linked: set[frozenset[int]]) -> set[frozenset[int]]:
    """Clusters by joining whatever two groups are linked, until none are."""
    groups = {frozenset([each]) for each in feature_ids}
    while True:
        for one, other in combinations(groups, 2):
            if any(frozenset((a, b)) in linked for a in one for b in other):
                groups = groups - {one, other} | {one | other}
                break
        else:
            return groups


@few_examples
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=10),
    st.dictionaries(st.integers(0, 12), st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0.4, 0.5, 0.6])))),
)
def test_clusters_are_what_is_linked(feature_ids: list[int], nearest: dict[int, list[tuple[int, float]]]) -> None:
    linked = {frozenset((one, other)) for one, near in nearest.items() for other, cosine in near if cosine > 0.5}
    labels = clusters_of(feature_ids, nearest).tolist()
    groups = {frozenset(f for f, own in zip(feature_ids, labels, strict=True) if own == label) for label in set(labels)}
    assert groups == connected(feature_ids, linked)
    assert set(labels) == set(range(len(groups)))


def test_a_link_needs_only_one_side_and_leads_on() -> None:
    assert clusters_of([5, 3, 8, 1], {3: [(5, 0.9)], 8: [(3, 0.51), (1, 0.5)]}).tolist() == [0, 0, 0, 1]


def test_a_link_through_a_feature_not_asked_for_does_not_count() -> None:
    nearest = {1: [(2, 0.9)], 2: [(1, 0.9), (3, 0.9)], 3: [(2, 0.9)], 99: [(1, 0.9), (3, 0.9)]}
    assert len(set(clusters_of([1, 3], nearest).tolist())) == 2
    assert len(set(clusters_of([1, 2, 3], nearest).tolist())) == 1


def test_a_threshold_and_a_cosine_that_is_no_number_link_nothing() -> None:
    nearest = {1: [(2, 0.7), (3, math.nan), (4, -1.0)]}
    assert clusters_of([1, 2, 3, 4], nearest).tolist() == [0, 0, 1, 2]
    assert clusters_of([1, 2, 3, 4], nearest, threshold=0.7).tolist() == [0, 1, 2, 3]
    assert clusters_of([1, 2], {}).tolist() == [0, 1]
    assert clusters_of([], nearest).tolist() == []


# Comparisons


def rank_biserial(differences: np.ndarray) -> float:
    """Share of rank for less share of rank against; a rank counts the differences that are smaller, ties half."""
    differing = [float(each) for each in differences if each]
    ranks = [sum((abs(o) < abs(d)) + (abs(o) == abs(d)) / 2 for o in differing) + 0.5 for d in differing]
    return sum(math.copysign(rank, d) for rank, d in zip(ranks, differing, strict=True)) / sum(ranks)


@few_examples
@given(MANY_SCORES)
def test_a_comparison_is_scipys_test_and_the_share_of_ranks(scores: np.ndarray) -> None:
    first, second = scores.T
    differences = np.round(first - second, 6)
    assume(differences.any())
    found = paired(first, second)
    assert found.p_value == pytest.approx(wilcoxon(differences).pvalue)
    assert found.effect == pytest.approx(rank_biserial(differences))
    assert (found.difference, found.n) == (estimate(first - second), len(first))


@pytest.mark.parametrize("n", [2, 3, 5, 7, 9, 10])
def test_a_comparison_of_few_features_is_scipys_over_all_signs(n: int) -> None:
    for seed in range(3):
        first, second = np.random.default_rng(seed).integers(0, 4, (2, n)) / 4 + [[0.25], [0.0]]
        found, differences = paired(first, second), first - second
        assert found.p_value == pytest.approx(wilcoxon(differences).pvalue if differences.any() else 1.0)
    first, second = random(2, n)
    assert paired(first, second).p_value == pytest.approx(wilcoxon(first - second).pvalue)


def test_a_comparison_of_plain_numbers_is_scipys_test_of_both() -> None:
    first, second = random(2, 80)
    assert paired(first, second + 0.1).p_value == pytest.approx(wilcoxon(first, second + 0.1).pvalue)


@few_examples
@given(SCORES)
def test_the_other_way_round_all_but_the_p_value_turns_over(scores: np.ndarray) -> None:
    first, second = scores.T
    clusters = np.arange(len(first)) // 3
    one, other = paired(first, second, clusters), paired(second, first, clusters)
    assert other.effect == pytest.approx(-one.effect)
    assert other.p_value == pytest.approx(one.p_value)
    assert (-other.difference.high, -other.difference.mean, -other.difference.low) == pytest.approx(
        (one.difference.low, one.difference.mean, one.difference.high), abs=1e-9
    )


@few_examples
@given(SCORES, st.randoms(use_true_random=False))
def test_test_and_effect_do_not_depend_on_the_order_of_features(scores: np.ndarray, chance: Random) -> None:
    order = list(range(len(scores)))
    chance.shuffle(order)
    one, other = paired(*scores.T), paired(*scores[order].T)
    assert (other.effect, other.p_value) == pytest.approx((one.effect, one.p_value))
    assert other.difference.mean == pytest.approx(one.difference.mean, abs=1e-12)


def test_methods_that_never_differ_have_no_effect() -> None:
    found = paired(random(9), random(9))
    assert (found.effect, found.p_value, found.n) == (0.0, 1.0, 9)
    assert found.difference == Estimate(0.0, 0.0, 0.0, 9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_noise_of_a_batch_is_no_difference(dtype: type) -> None:
    values = random(100).astype(dtype)
    noisy = np.nextafter(values, dtype(2)).astype(np.float64)
    assert paired(values.astype(np.float64), noisy).p_value == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_steps_between_shares_are_ties_whatever_their_last_digits(dtype: type) -> None:
    counts = np.random.default_rng(0).integers(0, 21, (2, 200))
    first, second = (counts / 20).astype(dtype).astype(np.float64)
    assert len(set((first - second).tolist())) > len(set((counts[0] - counts[1]).tolist()))
    found, exact = paired(first, second), (counts[0] - counts[1]).astype(np.float64)
    assert found.effect == pytest.approx(rank_biserial(exact))
    assert found.p_value == pytest.approx(wilcoxon(exact).pvalue)


def test_a_method_that_is_always_better_has_the_whole_effect() -> None:
    for n in (1, 5, 60):
        found = paired(random(n) + 2, random(n, seed=1))
        assert found.effect == 1.0
        assert found.p_value == pytest.approx(2.0 ** (1 - n) if n < 50 else 0.0, abs=1e-6)
    assert paired(np.array([1.0, 0.0, 0.0]), np.zeros(3)).effect == 1.0


def test_clusters_widen_the_interval_of_a_difference_and_leave_the_rest() -> None:
    first, second = np.repeat(random(2, 30), 4, axis=1)
    known, unknown = paired(first, second, np.repeat(np.arange(30), 4)), paired(first, second)
    assert (known.effect, known.p_value) == (unknown.effect, unknown.p_value)
    assert known.difference.low < unknown.difference.low < unknown.difference.high < known.difference.high


def test_scores_that_are_no_numbers_and_of_other_features_are_not_compared() -> None:
    with pytest.raises(AssertionError):
        paired(np.array([math.nan]), np.array([0.0]))
    with pytest.raises(AssertionError):
        paired(np.array([]), np.array([]))


# Holm


def holm_by_definition(p_values: list[float]) -> list[float]:
    """The largest, over all p values no larger, of that p value times how many are no smaller than it."""
    return [
        min(1.0, max(other * sum(third >= other for third in p_values) for other in p_values if other <= own))
        for own in p_values
    ]


@given(P_VALUES)
def test_holm_is_its_definition(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(holm_by_definition(p_values))


@given(P_VALUES)
def test_holm_keeps_the_order_and_lies_between_benjamini_hochberg_and_bonferroni(p_values: list[float]) -> None:
    found = holm(p_values)
    for (one, adjusted), (other, its) in combinations(zip(p_values, found, strict=True), 2):
        assert (one <= other) <= (adjusted <= its), "what is smaller stays so"
        assert (one == other) <= (adjusted == its)
    assert all(own <= new <= min(1.0, own * len(found)) + 1e-12 for own, new in zip(p_values, found, strict=True))
    if p_values:
        assert (np.array(found) >= false_discovery_control(p_values) - 1e-12).all()


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_answers_in_the_given_order(p_values: list[float], chance: Random) -> None:
    pairs = list(zip(p_values, holm(p_values), strict=True))
    chance.shuffle(pairs)
    assert holm([own for own, _ in pairs]) == [new for _, new in pairs]


def test_holm_of_textbook_examples() -> None:
    # Wikipedia, "Holm-Bonferroni method"; and p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") of R
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])


def test_holm_of_one_test_is_its_p_value_and_of_none_nothing() -> None:
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
    assert holm([1.0, 0.9]) == [1.0, 1.0]


@pytest.mark.parametrize("p_value", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_p_value(p_value: float) -> None:
    with pytest.raises(AssertionError, match="p values"):
        holm([0.5, p_value])


# Correlation


@few_examples
@given(SCORES)
def test_a_rank_correlation_is_scipys_or_none(scores: np.ndarray) -> None:
    x, y = scores.T
    found = rank_correlation(x, y)
    if len(x) < 3 or len(set(x.tolist())) == 1 or len(set(y.tolist())) == 1:
        assert found is None
    else:
        assert found is not None
        theirs = spearmanr(x, y)
        assert (found.rho, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))
        assert found.n == len(x)


def test_a_rank_correlation_of_scores_in_order_is_one_and_by_chance_as_rare_as_it_says() -> None:
    x = random(20)
    assert rank_correlation(x, x**3).rho == pytest.approx(1.0)
    assert rank_correlation(x, -(x**3)).rho == pytest.approx(-1.0)
    y = x + random(20, seed=1)
    by_chance = permutation_test(
        (x,), lambda shuffled: spearmanr(shuffled, y).statistic, permutation_type="pairings", n_resamples=1000, rng=0
    )
    assert rank_correlation(x, y).p_value == pytest.approx(by_chance.pvalue, abs=0.02)


def test_scores_that_do_not_vary_and_two_features_have_no_rank_correlation() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rank_correlation(np.full(9, 0.1), random(9)) is None
        assert rank_correlation(random(9), np.zeros(9)) is None
        assert rank_correlation(random(2), random(2)) is None
        assert rank_correlation(np.array([]), np.array([])) is None
        assert rank_correlation(random(3), random(3, seed=1)).n == 3


def test_scores_that_are_no_numbers_have_no_ranks() -> None:
    with pytest.raises(AssertionError, match="no numbers"):
        rank_correlation(np.array([1.0, 2.0, math.nan]), random(3))


# Telling positives from negatives


@few_examples
@given(FEW, FEW)
def test_the_roc_area_is_the_share_of_pairs_won_and_that_of_scikit_learn(
    positive: np.ndarray, negative: np.ndarray
) -> None:
    won = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    found = roc_auc(positive, negative)
    assert found == pytest.approx(sum(won) / len(won))
    truth = [1] * len(positive) + [0] * len(negative)
    assert found == pytest.approx(roc_auc_score(truth, np.concatenate([positive, negative])))
    assert roc_auc(negative, positive) == pytest.approx(1 - found)


@few_examples
@given(FEW, FEW, st.randoms(use_true_random=False))
def test_the_roc_area_knows_neither_order_nor_scale(positive: np.ndarray, negative: np.ndarray, chance: Random) -> None:
    shuffled = positive.tolist()
    chance.shuffle(shuffled)
    assert roc_auc(np.array(shuffled), negative) == roc_auc(positive, negative)
    assert roc_auc(positive * 4, negative * 4) == roc_auc(positive, negative)


def test_the_roc_area_of_ties_is_one_half_and_of_what_never_fires_too() -> None:
    assert roc_auc(np.zeros(20), np.zeros(20)) == 0.5
    assert roc_auc(np.array([1.0, 1.0]), np.array([0.0])) == 1.0
    assert roc_auc(np.array([-math.inf]), np.array([math.inf])) == 0.0


@pytest.mark.parametrize(("positive", "negative"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0])])
def test_one_class_alone_and_what_is_no_number_have_no_roc(positive: list[float], negative: list[float]) -> None:
    with pytest.raises(AssertionError):
        roc_auc(np.array(positive), np.array(negative))


def test_a_pooled_roc_is_one_of_all_values() -> None:
    rng = np.random.default_rng(0)
    groups = [(rng.random(n) * scale, rng.random(2 * n) * scale) for n, scale in ((3, 1.0), (5, 100.0), (2, 0.0))]
    truth = [kind for one, other in groups for kind in [1] * len(one) + [0] * len(other)]
    values = np.concatenate([values for group in groups for values in group])
    assert pooled_auc(groups) == pytest.approx(roc_auc_score(truth, values))
    assert pooled_auc(groups[:1]) == roc_auc(*groups[0])
    apart = [(np.array([2.0]), np.array([1.0])), (np.array([20.0]), np.array([10.0]))]
    assert [roc_auc(*group) for group in apart] == [1.0, 1.0]
    assert pooled_auc(apart) == 0.75, "as scales mix"
    with pytest.raises(AssertionError, match="no features"):
        pooled_auc([])


@few_examples
@given(st.lists(st.booleans(), min_size=1), st.lists(st.booleans(), min_size=1))
def test_balanced_accuracy_is_that_of_scikit_learn(positive_right: list[bool], negative_right: list[bool]) -> None:
    truth = [True] * len(positive_right) + [False] * len(negative_right)
    said = positive_right + [not right for right in negative_right]
    found = balanced_accuracy(np.array(positive_right), np.array(negative_right))
    if len(set(truth)) == 2:
        assert found == pytest.approx(balanced_accuracy_score(truth, said))


def test_to_say_yes_to_everything_is_worth_one_half_however_many_there_are() -> None:
    assert balanced_accuracy(np.ones(90, dtype=bool), np.zeros(10, dtype=bool)) == 0.5
    with pytest.raises(AssertionError, match="no negatives"):
        balanced_accuracy(np.ones(3, dtype=bool), np.zeros(0, dtype=bool))


def test_mad_counts_unbiased_deviations_of_the_control() -> None:
    synthesised, control = random(6), random(5, seed=1).tolist()
    mean = sum(control) / 5
    deviation = math.sqrt(sum((each - mean) ** 2 for each in control) / 4)
    expected = (sum(synthesised.tolist()) / 6 - mean) / deviation
    assert mad(synthesised, np.array(control)) == pytest.approx(expected)
    assert mad(np.array(control), np.array(control)) == 0.0
    assert mad(synthesised * 8, np.array(control) * 8) == pytest.approx(expected), "whatever the scale"


@pytest.mark.parametrize("control", [[0.0, 0.0], [0.1, 0.1, 0.1], [0.7]])
def test_mad_against_a_control_that_does_not_vary_is_zero(control: list[float]) -> None:
    assert mad(np.array([1.0, 2.0]), np.array(control)) == 0.0


@pytest.mark.parametrize(("synthesised", "control"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0, 2.0])])
def test_mad_of_nothing_is_refused(synthesised: list[float], control: list[float]) -> None:
    with pytest.raises(AssertionError):
        mad(np.array(synthesised), np.array(control))


# Certainty


@few_examples
@given(TRUSTS, st.integers(1, 12))
def test_a_reliability_diagram_is_that_of_scikit_learn(trusts: list[tuple[float, bool]], n_bins: int) -> None:
    probabilities, outcomes = split_up(trusts)
    bins = reliability(probabilities, outcomes, n_bins)
    if outcomes.any() and not outcomes.all():
        right, said = calibration_curve(outcomes, probabilities, n_bins=n_bins, strategy="quantile")
        assert [each.share_right for each in bins] == pytest.approx(right.tolist())
        assert [each.mean_probability for each in bins] == pytest.approx(said.tolist())
    assert sum(each.n for each in bins) == len(trusts)
    assert len(bins) <= min(n_bins, len(set(probabilities.tolist())))


@few_examples
@given(TRUSTS)
def test_equal_probabilities_are_never_parted(trusts: list[tuple[float, bool]]) -> None:
    probabilities, outcomes = split_up(trusts)
    bounds = np.cumsum([each.n for each in reliability(probabilities, outcomes)])[:-1]
    ordered = np.sort(probabilities)
    assert all(ordered[bound - 1] < ordered[bound] for bound in bounds)


def test_bins_hold_equally_many_where_there_are_no_ties() -> None:
    bins = reliability(random(1000) ** 4, random(1000, seed=1) < 0.5)
    assert [each.n for each in bins] == [100] * 10
    assert reliability(np.full(8, 0.5), np.arange(8) < 2) == [Bin(0.5, 0.25, 8)]


@few_examples
@given(TRUSTS)
def test_the_calibration_error_is_a_mean_over_items(trusts: list[tuple[float, bool]]) -> None:
    probabilities, outcomes = split_up(trusts)
    edges = np.percentile(probabilities, np.linspace(0, 1, 11)[1:-1] * 100)
    bins_i = [sum(edge < own for edge in edges) for own in probabilities]
    total = 0.0
    for own in bins_i:
        mates = [place for place, other in enumerate(bins_i) if other == own]
        total += abs(sum(probabilities[place] - outcomes[place] for place in mates)) / len(mates)
    found = calibration_error(probabilities, outcomes)
    assert found == pytest.approx(total / len(trusts))
    assert calibration_error(probabilities, outcomes.astype(np.float64)) == pytest.approx(found)
    assert calibration_error(probabilities, outcomes, n_bins=1) <= found + 1e-12


def test_what_is_right_as_often_as_it_says_has_a_small_calibration_error_and_what_boasts_a_large_one() -> None:
    probabilities = random(20_000)
    outcomes = random(20_000, seed=1) < probabilities
    assert calibration_error(probabilities, outcomes) < 0.02
    assert calibration_error(np.sqrt(probabilities), outcomes) == pytest.approx(2 / 3 - 1 / 2, abs=0.02)
    assert calibration_error(outcomes.astype(np.float64), outcomes) == 0.0
    assert calibration_error(1.0 - outcomes, outcomes) == 1.0


@given(TRUSTS)
def test_coverage_and_accuracy_are_counted_among_the_most_certain(trusts: list[tuple[float, bool]]) -> None:
    probabilities, outcomes = split_up(trusts)
    thresholds = sorted(set(probabilities.tolist()), reverse=True)
    kept = [[right for own, right in trusts if own >= threshold] for threshold in thresholds]
    coverage, accuracy = coverage_accuracy(probabilities, outcomes)
    assert coverage.tolist() == pytest.approx([len(each) / len(trusts) for each in kept])
    assert accuracy.tolist() == pytest.approx([sum(each) / len(each) for each in kept])
    assert coverage[-1] == 1.0
    assert accuracy[-1] == pytest.approx(outcomes.mean())


def test_equally_certain_items_are_one_point_of_the_curve() -> None:
    coverage, accuracy = coverage_accuracy(np.full(4, 0.9), np.array([True, False, True, True]))
    assert (coverage.tolist(), accuracy.tolist()) == ([1.0], [0.75])


@pytest.mark.parametrize(
    ("probabilities", "outcomes"),
    [([], []), ([1.5], [1.0]), ([-0.1], [0.0]), ([math.nan], [0.0]), ([0.5], [math.nan])],
)
def test_what_is_no_probability_and_no_outcome_is_refused(probabilities: list[float], outcomes: list[float]) -> None:
    for of in (reliability, calibration_error, coverage_accuracy):
        with pytest.raises(AssertionError):
            of(np.array(probabilities), np.array(outcomes))


# Raters

PUBLISHED = """
    1 2 3 3 2 1 4 1 2 . . .
    1 2 3 3 2 2 4 1 2 5 . 3
    . 3 3 3 2 3 4 2 2 5 1 .
    1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Four observers, twelve units, from Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, part C."""

RATINGS = st.integers(2, 4).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, math.nan]), min_size=n, max_size=n), min_size=1, max_size=8
    )
)


def ratings_of(text: str) -> np.ndarray:
    return np.array(
        [[math.nan if word == "." else float(word) for word in line.split()] for line in text.split("\n")[1:-1]]
    )


def test_alpha_is_as_published() -> None:
    found = ordinal_alpha(ratings_of(PUBLISHED))
    assert found is not None
    assert found.value == pytest.approx(0.815, abs=5e-4)
    assert found.n == 11
    assert found.low < found.value < found.high <= 1
    assert ordinal_alpha(ratings_of(PUBLISHED)) == found
    assert ordinal_alpha(ratings_of(PUBLISHED), seed=1) != found


def alpha_of_the_package(counts_iv: np.ndarray) -> float:
    return float(krippendorff.alpha(value_counts=counts_iv, level_of_measurement="ordinal"))


@few_examples
@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=12))
def test_alpha_of_many_tables_at_once_is_the_packages(counts: list[list[int]]) -> None:
    counts_iv = np.array(counts)
    counts_iv = counts_iv[counts_iv.sum(1) >= 2]  # of whatever has one rating, or none, it tells nothing
    (found,) = alphas_of(pairs_of(counts_iv).sum(0)[None])
    if (counts_iv.sum(0) > 0).sum() < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(alpha_of_the_package(counts_iv))


def test_the_interval_is_that_of_resampled_items_by_the_package() -> None:
    ratings_ri = np.random.default_rng(3).choice([0.0, 0.5, 1.0, math.nan], (4, 20))
    counts_iv = (ratings_ri.T[..., None] == np.array([0.0, 0.5, 1.0])).sum(1)
    clusters = np.arange(20) // 3
    is_shared = counts_iv.sum(1) >= 2
    _, places = np.unique(clusters[is_shared], return_inverse=True)
    members = [counts_iv[is_shared][places == each] for each in range(places.max() + 1)]
    rng = np.random.default_rng(7)
    drawn = (rng.integers(0, len(members), len(members)) for _ in range(N_RESAMPLES))
    alphas = [alpha_of_the_package(np.concatenate([members[each] for each in some])) for some in drawn]
    found = ordinal_alpha(ratings_ri, clusters, seed=7)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(alphas, TAILS)))


def test_two_raters_of_two_values_agree_as_published() -> None:
    # The same paper, part A: two observers and ten units, alpha 0.095, whatever the level where there are two values.
    found = ordinal_alpha(np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], dtype=np.float64))
    assert found is not None
    assert found.value == pytest.approx(0.095, abs=5e-4)


@pytest.mark.parametrize(
    "ratings",
    [
        np.zeros((0, 0)),
        np.zeros((2, 0)),
        np.array([[1.0, 0.0, 0.5]]),
        np.array([[1.0, math.nan], [math.nan, 0.0]]),
        np.array([[1.0, 1.0, 0.0], [1.0, 1.0, math.nan]]),
    ],
)
def test_alpha_is_not_said_where_nobody_rates_the_same_or_all_ratings_are_the_same(ratings: np.ndarray) -> None:
    assert ordinal_alpha(ratings) is None


def test_items_of_one_cluster_are_drawn_together() -> None:
    ratings = ratings_of(PUBLISHED)
    assert ordinal_alpha(ratings, np.arange(12)) == ordinal_alpha(ratings)
    found = ordinal_alpha(ratings, np.zeros(12, dtype=np.int64))
    assert found is not None
    assert found.low == found.high == pytest.approx(found.value)


@settings(max_examples=5)
@given(RATINGS)
def test_alpha_is_one_where_raters_agree_and_the_order_of_raters_and_items_tells_nothing(ratings: list) -> None:
    given_ri = np.array(ratings).T
    found = ordinal_alpha(given_ri)
    assume(found is not None)
    assert found is not None
    other = ordinal_alpha(given_ri[::-1, ::-1])
    assert other is not None
    assert other.value == pytest.approx(found.value)
    assert found.low - 1e-12 <= found.high <= 1
    same = np.where(np.isnan(given_ri), math.nan, np.arange(given_ri.shape[1]))
    agreed = ordinal_alpha(same)
    assert agreed is None or agreed.value == 1
