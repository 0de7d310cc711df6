"""The arithmetic, against numpy and scipy: which features, which numbers, which tests."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from seesay.comparison.comparing import compare
from seesay.comparison.contender import FeatureKey, names_of
from seesay.comparison.levels import labels_of, majority
from seesay.comparison.parts import THIRDS
from seesay.comparison.quantities import Quantity, named, quantities
from seesay.comparison.reading import Contest, read
from seesay.comparison.results import Comparison, Standing
from seesay.errors import InvalidSetting, UnknownChoice
from seesay.explainers.config import Setting
from seesay.records import Level, Method, Strength
from seesay.scorers.config import SCORES
from seesay.store.explanations import StoredSetting
from seesay.store.labels import Label, add_labels
from seesay.store.run import Run
from tests.comparison.making import FACTS, drawn, judged, making, said, scored

N = 80
IDS = judged(N)
WORDS = dict.fromkeys(range(N), "a red car")
SETTINGS = {
    "steering": Setting("steering", Strength(2.0)),
    "topk": Setting("topk"),
    "hybrid": Setting("hybrid", Strength(1.0)),
}
IOU = Quantity("iou", "iou")


def contest_of(*folders: Path, **options: Any) -> Contest:
    runs = [Run.open(folder) for folder in folders]
    try:
        return read(runs, **options)
    finally:
        for run in runs:
            run.close()


def comparing(*folders: Path, names: Sequence[Quantity] = (IOU,), **options: Any) -> Comparison:
    return compare(contest_of(*folders, **options), names)


def standing(folder: Path, quantity: Quantity = IOU) -> Standing:
    (found,) = comparing(folder, names=[quantity]).standings
    return found


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three methods with random numbers; the second and the third lack a few."""
    with making(tmp_path, N) as run:
        for number, setting in enumerate(SETTINGS.values()):
            values = drawn(number, IDS, 0.4 + 0.05 * number)
            for missing in IDS[: 2 * number]:
                del values[missing]
            scored(run, "iou", said(run, WORDS, setting), values)
    return tmp_path


def numbers() -> dict[str, np.ndarray]:
    """What the fixture holds of the features that all have, by another way."""
    drawn_by = {name: drawn(number, IDS, 0.4 + 0.05 * number) for number, name in enumerate(SETTINGS)}
    return {name: np.array([values[each] for each in IDS[4:]]) for name, values in drawn_by.items()}


def test_means_are_over_the_features_that_all_have(three: Path) -> None:
    found = standing(three)
    assert found.keys == tuple(FeatureKey(0, each) for each in IDS[4:])
    assert {row.contender: row.estimate.mean for row in found.rows} == {
        name: pytest.approx(values.mean()) for name, values in numbers().items()
    }
    assert {(row.estimate.n, row.n_explained) for row in found.rows} == {(len(IDS) - 4, len(IDS))}


def test_intervals_are_those_of_scipys_bootstrap_within_noise(three: Path) -> None:
    for row in standing(three).rows:
        values = numbers()[row.contender]
        expected = stats.bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
        assert row.estimate.low == pytest.approx(expected.low, abs=0.003)
        assert row.estimate.high == pytest.approx(expected.high, abs=0.003)


def test_all_pairs_are_tested_as_scipy_does_and_corrected_over_the_table(three: Path) -> None:
    found = standing(three).pairs
    values = numbers()
    assert [(pair.first, pair.second) for pair in found] == list(combinations(SETTINGS, 2))
    p_values = [stats.wilcoxon(values[pair.first] - values[pair.second]).pvalue for pair in found]
    assert [pair.p_value for pair in found] == pytest.approx(p_values, rel=1e-6)
    so_far, adjusted = 0.0, dict[float, float]()
    for rank, p_value in enumerate(sorted(p_values)):
        so_far = adjusted[p_value] = max(so_far, min(1.0, (len(p_values) - rank) * p_value))
    assert [pair.adjusted for pair in found] == pytest.approx([adjusted[each] for each in p_values], rel=1e-6)
    for pair in found:
        difference = values[pair.first] - values[pair.second]
        ranks = stats.rankdata(np.abs(difference))
        assert pair.effect == pytest.approx((ranks * np.sign(difference)).sum() / ranks.sum(), abs=1e-6)
        assert pair.difference.mean == pytest.approx(difference.mean())
        assert pair.n == len(IDS) - 4


def test_near_duplicates_widen_the_interval(tmp_path: Path) -> None:
    twins = {first: [(second, 0.9)] for first, second in zip(IDS[::2], IDS[1::2], strict=False)}
    values = {each: float((place // 2) % 2) for place, each in enumerate(IDS)}
    for name, nearest in (("apart", {}), ("twins", twins)):
        with making(tmp_path / name, N, nearest=nearest) as run:
            scored(run, "iou", said(run, WORDS), values)
    apart, together = (standing(tmp_path / name).rows[0].estimate for name in ("apart", "twins"))
    assert together.mean == apart.mean
    assert together.high - together.low > 1.2 * (apart.high - apart.low)


def test_a_failure_drops_the_feature_for_all_methods(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        scored(run, "iou", said(run, WORDS), dict.fromkeys(IDS, 0.5))
        failing = said(run, {**WORDS, IDS[0]: None}, SETTINGS["hybrid"])
        scored(run, "iou", failing, dict.fromkeys(IDS, 0.5), {**WORDS, IDS[0]: None})
    assert standing(tmp_path).keys == tuple(FeatureKey(0, each) for each in IDS[1:])


def with_aids(folder: Path, own: float, ids: Sequence[int] = IDS, **aids: float) -> Standing:
    with making(folder, N) as run:
        topk = said(run, WORDS)
        scored(run, "iou", topk, drawn(1, ids, own, 0.02))
        for number, (name, mean) in enumerate(aids.items(), start=2):
            values = drawn(number, ids[3:], mean, 0.02)
            if name == "random":
                random = said(run, dict.fromkeys(range(N), "grass"), Setting("topk", control="random"))
                scored(run, "iou", random, values, "grass")
            else:
                scored(run, "iou", topk, values, "grass", aid=name)  # pyright: ignore[reportArgumentType]
    return standing(folder)


def test_a_score_is_informative_if_a_method_lies_above_all_that_stands_beside_it(tmp_path: Path) -> None:
    found = with_aids(tmp_path, 0.6, random=0.3, permuted=0.2, constant=0.25)
    assert found.is_informative
    (row,) = found.rows
    assert row.aids.keys() == {"random", "permuted", "constant"}
    for number, (aid, mean) in enumerate((("random", 0.3), ("permuted", 0.2), ("constant", 0.25)), start=2):
        expected = np.mean(list(drawn(number, IDS[3:], mean, 0.02).values()))
        assert row.aids[aid].mean == pytest.approx(expected)  # pyright: ignore[reportArgumentType]
        assert row.aids[aid].n == len(IDS) - 3  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("constant", [0.6, 0.9])
def test_a_score_that_gives_one_answer_for_all_as_much_is_uninformative(constant: float, tmp_path: Path) -> None:
    assert with_aids(tmp_path, 0.6, permuted=0.2, constant=constant).is_informative is False


def test_without_anything_beside_it_nobody_knows_what_a_score_is_worth(tmp_path: Path) -> None:
    assert with_aids(tmp_path, 0.6).is_informative is None


@pytest.mark.parametrize("n", [9, 10])
def test_nobody_is_called_separated_by_few_features(n: int, tmp_path: Path) -> None:
    few = IDS[: n + 3]  # what stands beside a method lacks three of them
    above = with_aids(tmp_path / "above", 0.6, few, permuted=0.2)
    below = with_aids(tmp_path / "below", 0.2, few, constant=0.6)
    assert above.rows[0].leads["permuted"].n == below.rows[0].leads["constant"].n == n
    tells = n >= 10
    assert (above.rows[0].is_separated, above.is_informative) == ((True, True) if tells else (None, None))
    assert (below.rows[0].is_separated, below.is_informative) == ((False, False) if tells else (None, None))
    assert below.rows[0].is_below == (("constant",) if tells else ())


def test_one_aid_of_few_features_leaves_open_whether_a_method_is_separated(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        topk, hybrid = said(run, WORDS), said(run, WORDS, SETTINGS["hybrid"])
        for setting in (topk, hybrid):
            scored(run, "iou", setting, drawn(0, IDS, 0.6, 0.02))
        scored(run, "iou", topk, drawn(1, IDS, 0.2, 0.02), "grass", aid="permuted")
        scored(run, "iou", topk, drawn(2, IDS[:9], 0.2, 0.02), "grass", aid="constant")
        scored(run, "iou", hybrid, drawn(3, IDS, 0.9, 0.02), "grass", aid="permuted")
    found = standing(tmp_path)
    assert [row.is_separated for row in found.rows] == [None, False]
    assert found.is_informative is False, "of those that tell, none is above"


def test_what_is_above_a_method_beside_which_it_stands_is_named(tmp_path: Path) -> None:
    (row,) = with_aids(tmp_path, 0.4, random=0.6, permuted=0.2, constant=0.7).rows
    assert row.is_below == ("random", "constant")
    assert row.is_separated is False


def test_one_roc_over_all_features_is_the_mann_whitney_statistic_of_all_activations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    details = {
        each: {"synthesised": rng.normal(1, 1, 5).tolist(), "control": rng.normal(0, 1, 7).tolist()} for each in IDS
    }
    with making(tmp_path, N) as run:
        scored(run, "auroc", said(run, WORDS), dict.fromkeys(IDS, 0.7), details=details)
    (row,) = standing(tmp_path, Quantity("auroc", "auroc")).rows
    positives = np.concatenate([details[each]["synthesised"] for each in IDS])
    negatives = np.concatenate([details[each]["control"] for each in IDS])
    expected = stats.mannwhitneyu(positives, negatives).statistic / (len(positives) * len(negatives))
    assert row.pooled == pytest.approx(expected)


def test_what_comes_with_a_score_is_compared_by_its_name(tmp_path: Path) -> None:
    mad = drawn(5, IDS, 2.0, 1.0)
    with making(tmp_path, N) as run:
        others = {each: {"mad": value} for each, value in mad.items()}
        scored(run, "auroc", said(run, WORDS), dict.fromkeys(IDS, 0.7), others=others)
    (quantity,) = named(["mad"], SCORES)
    found = standing(tmp_path, quantity)
    assert found.rows[0].estimate.mean == pytest.approx(np.mean(list(mad.values())))
    assert found.chance is None
    assert found.is_informative is None


def test_names_that_belong_to_several_scores_mean_all_of_them() -> None:
    assert named(["unanswered"], SCORES) == [Quantity("detection", "unanswered"), Quantity("fuzzing", "unanswered")]
    assert [each.title for each in named(["unanswered"], SCORES)] == ["detection unanswered", "fuzzing unanswered"]
    assert named(["distinctness", "clarity", "fuzzing unanswered"], SCORES) == [
        Quantity("distinctness", "clarity"),
        Quantity("fuzzing", "unanswered"),
    ]
    with pytest.raises(UnknownChoice, match="score 'beauty'"):
        named(["iou", "beauty"], SCORES)


def test_every_number_of_every_score_can_be_asked_for() -> None:
    everything = quantities(SCORES, everything=True)
    every = [Quantity(score, name) for score, each in SCORES.items() for name in (each.value, *each.others)]
    assert all(each in named([each.title], SCORES) for each in every)
    # Nobody is better for having more of these, so that they are only told if they are asked for by name.
    left_out = {each.name for each in set(every) - set(everything)}
    assert left_out == {"unanswered", "coefficient", "named", "low_level"}
    assert all(each.is_primary for each in quantities(SCORES))


def test_agreement_with_the_truth_is_spearmans_by_method_and_over_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    hits = {name: rng.integers(0, 2, len(IDS)).astype(float) for name in SETTINGS}
    ious = {name: hits[name] * 0.2 + rng.normal(0, 0.2, len(IDS)) for name in SETTINGS}
    with making(tmp_path, N) as run:
        for name, setting in SETTINGS.items():
            stored = said(run, WORDS, setting)
            scored(run, "iou", stored, dict(zip(IDS, ious[name].tolist(), strict=True)))
            facts = {**FACTS, "unsteered": [name]}
            scored(run, "ground_truth", stored, dict(zip(IDS, hits[name].tolist(), strict=True)), facts=facts)
    truth = standing(tmp_path).truth
    assert truth is not None
    for name in SETTINGS:
        found, expected = truth.by_contender[name], stats.spearmanr(ious[name], hits[name])
        assert found is not None
        assert (found.rho, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    together = [np.concatenate(list(each.values())) for each in (ious, hits)]
    assert truth.pooled is not None
    assert truth.pooled.rho == pytest.approx(stats.spearmanr(*together).statistic)
    assert truth.pooled.n == 3 * len(IDS)
    assert standing(tmp_path, Quantity("ground_truth", "ground_truth")).truth is None


def test_scores_of_features_are_held_against_each_methods_truth(tmp_path: Path) -> None:
    hits, pure = {each: float(each % 2) for each in IDS}, drawn(1, IDS)
    with making(tmp_path, N) as run:
        scored(run, "ground_truth", said(run, WORDS), hits)
        scored(run, "monosemanticity", None, pure, "")
    found = standing(tmp_path, Quantity("monosemanticity", "monosemanticity"))
    assert [row.contender for row in found.rows] == ["the features"]
    assert not found.pairs
    assert found.truth is not None
    expected = stats.spearmanr(list(pure.values()), list(hits.values())).statistic
    assert found.truth.by_contender["topk"].rho == pytest.approx(expected)  # pyright: ignore[reportOptionalMemberAccess]


def test_a_constant_score_agrees_with_nothing(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        topk = said(run, WORDS)
        scored(run, "iou", topk, dict.fromkeys(IDS, 0.5))
        scored(run, "ground_truth", topk, {each: float(each % 2) for each in IDS})
    found = standing(tmp_path)
    assert found.truth is not None
    assert found.truth.by_contender == {"topk": None}
    assert found.rows[0].estimate.low == found.rows[0].estimate.high == 0.5


def test_features_are_divided_by_thirds_of_how_often_they_are_active(three: Path) -> None:
    found = standing(three).groups["frequency"]
    assert [group.name for group in found] == list(THIRDS)
    frequencies = {each: (each + 1) / (2 * N) for each in range(N)}
    low, high = np.quantile([frequencies[each] for each in IDS], [1 / 3, 2 / 3])
    values = dict(zip(IDS[4:], numbers()["topk"], strict=True))
    parts = [
        [value for each, value in values.items() if frequencies[each] <= low],
        [value for each, value in values.items() if low < frequencies[each] <= high],
        [value for each, value in values.items() if frequencies[each] > high],
    ]
    for group, part in zip(found, parts, strict=True):
        estimate = group.estimates[1]
        assert estimate is not None
        assert (estimate.mean, estimate.n) == (pytest.approx(np.mean(part)), len(part))


def test_equal_frequencies_are_not_parted(tmp_path: Path) -> None:
    with making(tmp_path, N, frequencies=[0.1] * N) as run:
        scored(run, "iou", said(run, WORDS), drawn(0, IDS))
    groups = standing(tmp_path).groups["frequency"]
    assert [None if each.estimates[0] is None else each.estimates[0].n for each in groups] == [len(IDS), None, None]


def test_features_are_divided_by_the_level_of_most_of_what_is_said_of_them(tmp_path: Path) -> None:
    say = {
        "topk": {IDS[0]: "red", IDS[1]: "red", IDS[2]: "red", IDS[3]: "a car", IDS[4]: ""},
        "steering": {IDS[0]: "red", IDS[1]: "a car", IDS[2]: "a car", IDS[3]: "a car", IDS[4]: ""},
        "hybrid": {IDS[0]: "a car", IDS[1]: "unheard of", IDS[2]: "a car", IDS[3]: "a car", IDS[4]: ""},
    }
    levels: dict[str, Level] = {"red": "low-level", "a car": "high-level"}
    with making(tmp_path, N) as run:
        for number, (name, words) in enumerate(say.items()):
            scored(run, "iou", said(run, words, SETTINGS[name]), {each: float(number) for each in IDS[:5]}, words)
        add_labels(run, "model:1234", [Label(text, level, text) for text, level in levels.items()])
        add_labels(run, "records:1", [Label("red", "other", "")])
    contest = contest_of(tmp_path)
    with Run.open(tmp_path) as run:
        assert labels_of([run]) == ("records:1", {"red": "other"})
        who, labels = labels_of([run], "model")
        assert who == "model:1234"
    found = majority([each.words for each in contest.contenders], labels)
    assert {key.feature_id: level for key, level in found.items()} == {
        IDS[0]: "low-level",
        IDS[2]: "high-level",
        IDS[3]: "high-level",
    }
    (by_level,) = compare(contest, [IOU], levels=found).standings
    groups = {group.name: [each and each.n for each in group.estimates] for group in by_level.groups["level"]}
    assert groups == {"low-level": [1, 1, 1], "high-level": [2, 2, 2]}


def test_levels_may_be_given(three: Path) -> None:
    contest = contest_of(three)
    levels: Mapping[FeatureKey, Level] = {FeatureKey(0, each): "other" for each in IDS[10:20]}
    (found,) = compare(contest, [IOU], levels=levels).standings
    (group,) = found.groups["level"]
    assert group.name == "other"
    assert [each and each.n for each in group.estimates] == [10] * 3


def test_labels_by_nobody_are_none_unless_they_are_asked_for(three: Path) -> None:
    with Run.open(three) as run:
        assert labels_of([run]) == ("", {})
        with pytest.raises(InvalidSetting, match="seesay label"):
            labels_of([run], "records")


def test_several_blocks_are_pooled_and_told_apart(tmp_path: Path) -> None:
    for layer in (3, 5):
        with making(tmp_path / str(layer), N, layer=layer, identity=str(layer)) as run:
            for name in ("topk", "hybrid"):
                scored(run, "iou", said(run, WORDS, SETTINGS[name]), drawn(layer, IDS, layer / 10))
    (found,) = comparing(tmp_path / "3", tmp_path / "5").standings
    assert len(found.keys) == 2 * len(IDS)
    by_layer = {group.name: group.estimates[0] for group in found.groups["layer"]}
    for layer in (3, 5):
        estimate = by_layer[f"block {layer}"]
        assert estimate is not None
        assert estimate.mean == pytest.approx(np.mean(list(drawn(layer, IDS, layer / 10).values())))


def test_methods_of_different_runs_with_no_feature_in_common_are_not_compared(tmp_path: Path) -> None:
    for name, sae in (("topk", "a"), ("hybrid", "b")):
        with making(tmp_path / sae, N, identity=sae, sae=sae) as run:
            scored(run, "iou", said(run, WORDS, SETTINGS[name]), drawn(0, IDS))
    with pytest.raises(InvalidSetting, match="no feature has iou for all of topk, hybrid") as caught:
        comparing(tmp_path / "a", tmp_path / "b")
    assert len(str(caught.value).splitlines()) == 1


def test_a_curve_goes_through_the_strengths_of_one_way_of_explaining(tmp_path: Path) -> None:
    means = {4.0: 0.7, 1.0: 0.3, 2.0: 0.9}
    with making(tmp_path, N) as run:
        for strength, mean in means.items():
            setting = Setting("steering", Strength(strength, "residual_norm"))
            scored(run, "iou", said(run, WORDS, setting), dict.fromkeys(IDS, mean))
        scored(run, "iou", said(run, WORDS, SETTINGS["hybrid"]), dict.fromkeys(IDS, 0.1))
    (curve,) = standing(tmp_path).curves
    assert (curve.name, curve.unit) == ("steering", "residual_norm")
    assert [(point.strength, point.estimate.mean) for point in curve.points] == sorted(means.items())
    assert [point.aids for point in curve.points] == [{}] * 3


def test_a_curve_carries_what_stands_beside_each_strength(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        for strength in (1.0, 2.0):
            own, random = (
                said(run, WORDS, Setting("steering", Strength(strength, "kl"), control)) for control in (None, "random")
            )
            scored(run, "iou", own, dict.fromkeys(IDS, 0.5))
            scored(run, "iou", random, dict.fromkeys(IDS, strength / 10))
        scored(run, "iou", own, dict.fromkeys(IDS, 0.4), "grass", aid="constant")
    (curve,) = standing(tmp_path).curves
    found = [{aid: estimate.mean for aid, estimate in point.aids.items()} for point in curve.points]
    assert found == [{"random": 0.1}, {"random": 0.2, "constant": 0.4}]


def test_methods_are_not_tested_against_each_other_by_a_score_that_is_circular(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        for setting in SETTINGS.values():
            scored(run, "faithfulness", said(run, WORDS, setting), drawn(0, IDS))
    found = standing(tmp_path, Quantity("faithfulness", "faithfulness"))
    assert len(found.rows) == 3
    assert not found.pairs


def test_methods_without_a_score_are_named(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        scored(run, "iou", said(run, WORDS), drawn(0, IDS))
        said(run, WORDS, SETTINGS["hybrid"])
    assert standing(tmp_path).notes == ("without this score: hybrid",)


def test_a_method_with_few_features_is_named_as_it_shrinks_the_comparison_of_all_others(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        for name, ids in (("steering", IDS), ("topk", IDS[1:]), ("hybrid", IDS[-5:])):
            scored(run, "iou", said(run, WORDS, SETTINGS[name]), drawn(0, ids))
    told = f"hybrid has it for 5 of the {len(IDS) - 1} features that all others have: --methods without it"
    assert standing(tmp_path).notes == (told,)


def test_nobody_is_named_if_all_have_about_as_many_features(three: Path) -> None:
    found = standing(three)
    assert len(found.keys) < len(IDS)
    assert found.notes == ()


def test_shared_images_are_told(tmp_path: Path) -> None:
    for name, facts in (("shared", {**FACTS, "holding": "shared"}), ("held-out", FACTS)):
        with making(tmp_path / name, N) as run:
            scored(run, "iou", said(run, WORDS), drawn(0, IDS), facts=facts)
    shared, held_out = standing(tmp_path / "shared"), standing(tmp_path / "held-out")
    assert (shared.is_shared, held_out.is_shared) == (True, False)
    assert (shared.title, held_out.title) == ("iou (shared images)", "iou")


def test_the_whole_is_plain_data_without_single_features(three: Path) -> None:
    plain = comparing(three).as_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    (found,) = plain["standings"]
    assert found["quantity"] == {"score": "iou", "name": "iou"}
    assert found["rows"][0].keys() == {"contender", "estimate", "n_explained", "aids", "leads", "pooled"}
    assert found["rows"][1]["estimate"]["mean"] == pytest.approx(numbers()["topk"].mean())
    assert "keys" not in found


def test_a_seed_decides_on_resampling_alone(three: Path) -> None:
    contest = contest_of(three)
    first, again, other = (compare(contest, [IOU], seed=seed).as_json() for seed in (0, 0, 1))
    assert first == again != other
    assert first["standings"][0]["pairs"][0]["p_value"] == other["standings"][0]["pairs"][0]["p_value"]


def test_an_approximation_is_always_named() -> None:
    def setting(method: Method, **facts: object) -> StoredSetting:
        rest = {"explainer": "e", "explainer_hash": "", "encoder_hash": "", "prompt_hash": "", "dtype": ""}
        return StoredSetting(1, "", method, None, None, None, facts=facts, **rest)

    found = names_of([{0: setting("one-word", coarse=4)}, {0: setting("steering")}, {0: setting("steering", coarse=2)}])
    assert found == ["one-word, coarse 4", "steering", "steering, coarse 2"]
    assert setting("steering", coarse="<b>").title == "steering"
