"""Claims are judged by their rules: planted effects are found, reversed ones told, small ones left open."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from seesay.records import Level, Method
from seesay.reproduction.claims import ALL, MIN_FEATURES, MIN_OF_LEVEL, Numbers, best_of_both, complement, growth, judge
from seesay.reproduction.protocol import METHODS

BLOCKS = ("early", "middle", "late")
SIZES = ("S", "M", "L")


def numbers(
    *,
    low: float = 0.0,
    high: float = 0.0,
    growing: float = 0.0,
    best: float = 0.0,
    n: int = 320,
    seeds: int = 1,
    noise: float = 0.3,
    sizes: tuple[str, ...] = SIZES,
    seed: int = 0,
) -> Numbers:
    """Hits of each method and explainer: steering is better by `low` on low-level and by `high` on high-level features,
    each size by `growing` than the one before, the hybrid by `best` than the better of both."""
    rng = np.random.default_rng(seed)
    levels: list[Level] = ["low-level" if place % 2 else "high-level" for place in range(n * len(BLOCKS))]
    lead = np.where([level == "low-level" for level in levels], low, high)
    values: dict[tuple[Method, str, int], np.ndarray] = {}
    for method, (rank, size), seed in product(METHODS, enumerate(sizes), range(seeds)):
        mean = 0.4 + growing * rank + (lead if method == "steering" else 0.0)
        if method == "hybrid":
            mean = 0.4 + growing * rank + np.maximum(lead, 0.0) + best
        values[method, size, seed] = mean + noise * rng.standard_normal(len(levels))
    return Numbers(
        "ground_truth",
        values,
        [block for block in BLOCKS for _ in range(n)],
        levels,
        np.arange(len(levels)),
    )


def times(slower: float = 1.0, noise: float = 0.0) -> dict[str, list[tuple[float, float]]]:
    """Five rounds, in which the hybrid takes `slower` times as long as Top-k."""
    return {size: [(1.0, slower + noise * (number - 2)) for number in range(5)] for size in SIZES}


def test_steering_above_topk_on_low_level_features_and_below_on_others_complements_it() -> None:
    found = complement(numbers(low=0.2, high=-0.2))
    assert found.verdict == "supported"
    assert found.reasons == ()
    interaction, low, high = (each.difference for each in found.figures if each.decides)
    assert interaction is not None and low is not None and high is not None
    assert interaction.mean == pytest.approx(low.mean - high.mean)
    assert low.low < 0.2 < low.high
    assert high.low < -0.2 < high.high


@pytest.mark.parametrize(
    ("low", "high", "against"), [(-0.2, -0.2, "low-level"), (0.2, 0.2, "high-level"), (-0.2, 0.2, "interaction")]
)
def test_one_reversed_effect_speaks_against_the_first_claim(low: float, high: float, against: str) -> None:
    found = complement(numbers(low=low, high=high))
    assert found.verdict == "not supported"
    assert f"against it: {against}" in found.reasons


def test_an_effect_that_is_not_there_leaves_the_first_claim_undecided() -> None:
    found = complement(numbers(low=0.2, high=0.0, noise=0.5))
    assert found.verdict == "undecided"
    assert found.reasons == ("cannot be told: high-level",)


def test_features_of_one_level_alone_decide_nothing() -> None:
    given = numbers(low=0.2, high=-0.2)
    found = complement(replace(given, levels=["low-level"] * len(given.levels)))
    assert found.verdict == "undecided"
    assert found.reasons == (f"0 features are high-level, fewer than {MIN_OF_LEVEL}",)


def test_features_of_unknown_level_take_no_part_in_the_first_claim() -> None:
    given = numbers(low=0.2, high=-0.2)
    some = [level if place % 3 else "" for place, level in enumerate(given.levels)]
    low = complement(replace(given, levels=some)).figures[1].difference
    assert low is not None
    assert low.n == sum(level == "low-level" for level in some)


def test_quality_that_rises_for_every_method_supports_the_second_claim() -> None:
    assert growth(numbers(growing=0.1)).verdict == "supported"


def test_quality_that_falls_for_one_method_speaks_against_it() -> None:
    given = numbers(growing=0.1)
    turned = {way: 0.8 - values if way[0] == "topk" else values for way, values in given.values.items()}
    found = growth(replace(given, values=turned))
    assert found.verdict == "not supported"
    assert found.reasons == ("against it: topk",)


def test_sizes_that_are_alike_leave_the_second_claim_undecided() -> None:
    assert growth(numbers(noise=1.0)).verdict == "undecided"


def test_one_seed_that_falls_leaves_the_second_claim_undecided() -> None:
    given = numbers(growing=0.2, seeds=2)
    values = {
        way: each - 0.5 if way == ("topk", "L", 1) else each + 0.5 if way == ("topk", "L", 0) else each
        for way, each in given.values.items()
    }
    found = growth(replace(given, values=values))
    assert found.verdict == "undecided"
    assert found.reasons == ("cannot be told: topk",)
    assert {each.explainer for each in found.figures if each.explainer.startswith("seed")} == {"seed 0", "seed 1"}


def test_one_explainer_tells_nothing_of_size() -> None:
    assert growth(numbers(sizes=("14B",))).verdict == "not tested"


def test_a_hybrid_above_both_in_the_same_time_supports_the_third_claim() -> None:
    found = best_of_both([numbers(best=0.1), replace(numbers(best=0.1), score="iou")], times())
    assert found.verdict == "supported"
    decisive = [each for each in found.figures if each.decides]
    assert len(decisive) == 4
    assert all(each.p_value is not None and each.p_value < 0.05 for each in decisive)
    assert found.ratios == dict.fromkeys((ALL, *SIZES), (1.0, 1.0, 1.0))


def test_a_hybrid_that_takes_longer_speaks_against_the_third_claim() -> None:
    found = best_of_both([numbers(best=0.1)], times(1.2))
    assert found.verdict == "not supported"
    assert found.reasons == ("against it: time, 1.20 to 1.20 times Top-k's",)


def test_times_on_both_sides_of_the_bar_leave_the_third_claim_undecided() -> None:
    found = best_of_both([numbers(best=0.1)], times(1.1, noise=0.05))
    assert found.verdict == "undecided"
    assert found.reasons == ("cannot be told: time, 1.00 to 1.20 times Top-k's",)
    assert best_of_both([numbers(best=0.1)], {}).reasons == ("cannot be told: time, which was not measured",)


def test_rounds_of_all_explainers_are_told_together() -> None:
    found = best_of_both([numbers()], {"S": [(1.0, 2.0), (1.0, 1.0)], "L": [(3.0, 3.0), (3.0, 6.0)]})
    assert found.ratios[ALL] == (1.25, 1.5, 1.75)
    assert found.ratios["S"] == (1.0, 1.5, 2.0)


def test_one_feature_of_a_level_decides_nothing() -> None:
    given = numbers(low=0.3, high=-0.3, noise=0.01)
    one: list[Level] = ["low-level" if place == 0 else "high-level" for place in range(len(given.levels))]
    found = complement(replace(given, levels=one))
    assert found.verdict == "undecided"
    assert f"1 features are low-level, fewer than {MIN_OF_LEVEL}" in found.reasons


def test_an_interval_without_width_tells_nothing() -> None:
    assert growth(numbers(growing=0.3, noise=0.0)).verdict == "undecided"


def test_few_features_by_the_second_score_leave_the_third_claim_undecided() -> None:
    found = best_of_both([numbers(best=0.3), replace(numbers(best=0.3, n=100), score="iou")], times())
    assert found.verdict == "undecided"
    assert "block early has 100 test features with iou, fewer than 300" in found.reasons


def test_a_score_that_tells_no_words_from_others_decides_nothing() -> None:
    given = replace(numbers(low=0.3, high=-0.3, growing=0.3, best=0.3), is_informative=False)
    for claim in judge([given], times()):
        assert claim.verdict == "undecided"
        assert "ground_truth does not tell words from what stands beside them" in claim.reasons


def test_a_hybrid_below_topk_speaks_against_the_third_claim() -> None:
    found = best_of_both([numbers(best=-0.1)], times())
    assert found.verdict == "not supported"
    assert "against it: hybrid - topk by ground_truth" in found.reasons


def test_a_hybrid_like_topk_leaves_the_third_claim_undecided() -> None:
    assert best_of_both([numbers(noise=1.0)], times()).verdict == "undecided"


def test_p_values_of_the_third_claim_are_corrected_over_all_of_its_tests() -> None:
    weak = numbers(best=0.02, noise=0.5)
    alone = best_of_both([weak], {}).figures
    together = best_of_both([weak, replace(weak, score="iou")], {}).figures
    pairs = [(a.p_value, b.p_value) for a, b in zip(alone, together, strict=False) if a.decides]
    assert all(a is not None and b is not None and b >= a for a, b in pairs)
    assert any(a != b for a, b in pairs)


def test_few_features_of_one_block_leave_every_claim_undecided() -> None:
    given = numbers(low=0.3, high=-0.3, growing=0.3, best=0.3, n=MIN_FEATURES - 1)
    for claim in judge([given], times()):
        assert claim.verdict == "undecided"
        assert f"block early has {MIN_FEATURES - 1} test features" in claim.reasons[0]


def test_near_duplicates_make_intervals_wider() -> None:
    given = numbers(best=0.1)
    whole = best_of_both([given], {}).figures[0].difference
    clustered = best_of_both([replace(given, clusters=given.clusters // 20)], {}).figures[0].difference
    assert whole is not None and clustered is not None
    assert whole.mean == pytest.approx(clustered.mean)
    copies = {way: np.repeat(values[::20], 20)[: len(values)] for way, values in given.values.items()}
    copied = best_of_both([replace(given, values=copies, clusters=given.clusters // 20)], {}).figures[0].difference
    assert copied is not None
    assert copied.high - copied.low > 3 * (whole.high - whole.low)


def test_every_block_and_explainer_is_told_beside_what_decides() -> None:
    first, _, third = judge([numbers(low=0.2, high=-0.2)], times())
    for claim in (first, third):
        assert {each.block for each in claim.figures} == {ALL, *BLOCKS}
        assert {each.explainer for each in claim.figures} == {ALL, *SIZES}


def test_a_block_of_which_no_feature_has_a_number_leaves_every_claim_undecided() -> None:
    given = numbers(low=0.3, high=-0.3, growing=0.3, best=0.3)
    for claim in judge([replace(given, all_blocks=(*BLOCKS, "another"))], times()):
        assert claim.verdict == "undecided"
        assert "block another has 0 test features with ground_truth, fewer than 300" in claim.reasons


def test_times_of_some_explainers_alone_decide_nothing() -> None:
    given = numbers(low=0.3, high=-0.3, growing=0.3, best=0.3)
    assert best_of_both([given], times()).verdict == "supported"
    found = best_of_both([given], {size: rounds for size, rounds in times().items() if size != SIZES[0]})
    assert found.verdict == "undecided"
    assert "cannot be told: time, which was not measured" in found.reasons
