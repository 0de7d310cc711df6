"""What speaks for explanations, gathered by hand; and probabilities that no test feature helped to learn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.errors import InvalidSetting, UnusablePath
from seesay.explainers.config import Setting
from seesay.pipeline.trusting import Evidence, Key, evidence, trust
from seesay.records import Aid, Explanation, Status, Strength
from seesay.scorers.config import Score
from seesay.scorers.scorer import Item, Measured
from seesay.split import split_of
from seesay.store.explanations import StoredSetting, add, add_setting, explanations
from seesay.store.run import Run
from seesay.store.scores import add_scores, add_scoring
from seesay.store.trust import Trusted, trust_facts, trusts
from tests.store.test_explanations import SUBJECT, facts_of

STEERING = Setting(strength=Strength(2.0, "residual_norm"))
TOPK = Setting("topk")
RANDOM = replace(STEERING, control="random")
VALIDATION = [each for each in range(4000) if split_of(each) == "validation"]
TEST = [each for each in range(4000) if split_of(each) == "test"]
ONE, OTHER = TEST[:2]
VALID = VALIDATION[0]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.writing(tmp_path / "run", SUBJECT) as run:
        run.rows("PRAGMA synchronous = OFF")
        yield run


def setting_of(run: Run, setting: Setting = STEERING, **facts: Any) -> StoredSetting:
    return add_setting(run, facts_of(setting, **facts), "m")


def say(
    run: Run,
    stored: StoredSetting,
    words: Mapping[int, str],
    log_probability: Mapping[int, float] | None = None,
    status: Status | None = None,
    sample: int = 0,
) -> None:
    found = [
        Explanation(
            feature_id,
            stored.method,
            stored.control,
            text,
            text,
            status or ("ok" if text else "empty"),
            stored.strength,
            None,
            mean_log_probability=(log_probability or {}).get(feature_id),
            sample=sample,
        )
        for feature_id, text in words.items()
    ]
    add(run, stored, found)


def measure(
    run: Run,
    name: Score,
    stored: StoredSetting | None,
    found: Mapping[tuple[int, str], Measured],
    aid: Aid | None = None,
    **facts: Any,
) -> None:
    scoring = add_scoring(run, name, facts, None if stored is None else stored.setting_id, aid)
    add_scores(run, scoring, [(Item(feature_id, text), measured) for (feature_id, text), measured in found.items()])


def signals_of(found: Evidence, stored: StoredSetting, feature_id: int, sample: int = 0) -> dict[str, float]:
    return found.signals[found.keys.index((stored.setting_id, feature_id, sample))]


def test_a_run_without_explanations_has_no_evidence(run: Run) -> None:
    assert evidence(run).keys == []
    with pytest.raises(UnusablePath, match="seesay explain") as caught:
        trust(run, {}, "nobody")
    assert "\n" not in str(caught.value)


def test_all_that_was_said_of_features_is_weighed_but_controls_and_silence(run: Run) -> None:
    own = setting_of(run)
    say(run, own, {VALID: "a red car", ONE: "a frog", OTHER: ""})
    say(run, own, {ONE: "a toad"}, sample=1)
    say(run, own, {TEST[2]: ""}, status="failed")
    say(run, setting_of(run, RANDOM), {ONE: "noise"})
    for control in ("permuted", "none"):
        say(run, setting_of(run, replace(STEERING, control=control)), {ONE: "a control"})
    found = evidence(run)
    assert found.keys == [(own.setting_id, *key) for key in sorted([(VALID, 0), (ONE, 0), (ONE, 1)])]
    assert sorted(each.text for each in found.said) == ["a frog", "a red car", "a toad"]
    assert found.methods == ["steering"] * 3
    assert found.signals == [{}, {}, {}], "nothing speaks for any of them"


def test_what_was_only_tried_on_validation_features_takes_no_part(run: Run) -> None:
    own, tried = setting_of(run), setting_of(run, replace(STEERING, strength=Strength(9.0, "residual_norm")))
    say(run, own, {VALID: "a red car", ONE: "a frog"})
    say(run, tried, {each: "a red car" for each in VALIDATION[:20]})
    found = evidence(run)
    assert {key[0] for key in found.keys} == {own.setting_id}
    assert signals_of(found, own, VALID) == {}, "nor does agreement with it, which test features cannot have"


def test_likelihood_is_the_share_of_random_directions_answers_that_are_less_probable(run: Run) -> None:
    own, random = setting_of(run), setting_of(run, RANDOM)
    say(run, own, {ONE: "a frog", OTHER: "a car", VALID: "a key"}, {ONE: -1.5, OTHER: -9.0})
    answers = dict(zip(TEST[:5], (-1.0, -2.0, -3.0, -4.0, -1.5), strict=True))
    say(run, random, {each: "noise" for each in [*answers, TEST[9]]}, answers)
    more = setting_of(run, replace(RANDOM, strength=Strength(5.0, "residual_norm")))
    say(run, more, {each: "noise" for each in TEST[:50]}, dict.fromkeys(TEST[:50], -100.0))
    others = setting_of(run, RANDOM, explainer="d" * 64)
    say(run, others, {each: "noise" for each in TEST[:50]}, dict.fromkeys(TEST[:50], -100.0))
    found = evidence(run)
    assert signals_of(found, own, ONE) == {"likelihood": 3 / 5, "log_probability": -1.5}
    assert signals_of(found, own, OTHER) == {"likelihood": 0.0, "log_probability": -9.0}
    assert signals_of(found, own, VALID) == {}, "that of its own answer is not known"


def test_agreement_is_the_likeness_to_other_methods_strengths_and_ways_of_asking(run: Run) -> None:
    own = setting_of(run)
    say(run, own, {ONE: "a red car", OTHER: "a frog"})
    say(run, setting_of(run, TOPK), {ONE: "a red star", OTHER: ""})
    for value, words in ((1.0, "red car"), (3.0, "a blue whale")):
        stored = setting_of(run, replace(STEERING, strength=Strength(value, "residual_norm")))
        say(run, stored, {ONE: words})
    say(run, setting_of(run, prompt="What else is it?"), {ONE: "a red car"})
    say(run, setting_of(run, RANDOM), {ONE: "a red car"})
    found = evidence(run)
    assert signals_of(found, own, ONE) == pytest.approx(
        {
            "agreement: methods": 2 / 4,
            "agreement: strengths": (2 / 3 + 1 / 5) / 2,
            "agreement: ways of asking": 1.0,
        }
    )
    assert signals_of(found, own, OTHER) == {"agreement: methods": 0.0}


def test_scores_that_need_no_truth_speak_and_no_others(run: Run) -> None:
    own, topk = setting_of(run), setting_of(run, TOPK)
    say(run, own, {ONE: "a frog", OTHER: "a car"})
    said = (ONE, "a frog")
    measure(run, "detection", own, {said: Measured(0.75, {"detection_auc": 0.875, "unanswered": 0.5})})
    measure(run, "auroc", own, {said: Measured(0.5, {"mad": -1.0}), (OTHER, "a car"): Measured(None, reason="none")})
    measure(run, "faithfulness", own, {said: Measured(0.25, {"coefficient": 7.0})})
    for name in ("ground_truth", "counterfactual"):
        measure(run, name, own, {said: Measured(1.0)})
    for aid in ("permuted", "constant"):
        measure(run, "iou", own, {said: Measured(0.9)}, aid)
    measure(run, "clip", topk, {said: Measured(0.9)})
    found = evidence(run)
    assert signals_of(found, own, ONE) == {
        "detection": 0.75,
        "detection_auc": 0.875,
        "auroc": 0.5,
        "auroc mad": -1.0,
        "faithfulness": 0.25,
    }
    assert signals_of(found, own, OTHER) == {}


def test_of_several_ways_to_compute_a_score_the_last_counts(run: Run) -> None:
    own = setting_of(run)
    say(run, own, {ONE: "a frog"})
    for n, value in ((5, 0.25), (10, 0.75)):
        measure(run, "iou", own, {(ONE, "a frog"): Measured(value)}, n_exemplars=n)
    assert signals_of(evidence(run), own, ONE) == {"iou": 0.75}


def test_a_score_is_computed_in_one_way_for_all_explanations(run: Run) -> None:
    own, topk = setting_of(run), setting_of(run, TOPK)
    for stored in (own, topk):
        say(run, stored, {ONE: "a frog"})
        measure(run, "iou", stored, {(ONE, "a frog"): Measured(0.25)}, n_exemplars=5)
    measure(run, "iou", own, {(ONE, "a frog"): Measured(0.75)}, n_exemplars=10)
    found = evidence(run)
    assert [signals_of(found, stored, ONE)["iou"] for stored in (own, topk)] == [0.25, 0.25]


def test_scores_on_images_that_explainers_were_shown_speak_for_nothing(run: Run) -> None:
    own = setting_of(run)
    say(run, own, {ONE: "a frog"})
    measure(run, "clip", own, {(ONE, "a frog"): Measured(0.9)}, holding="shared")
    assert signals_of(evidence(run), own, ONE) == {}
    for holding, value in (("held-out", 0.25), ("shared", 0.8)):
        measure(run, "iou", own, {(ONE, "a frog"): Measured(value)}, holding=holding)
    assert signals_of(evidence(run), own, ONE) == {"iou": 0.25}


def test_a_score_of_other_words_speaks_for_nothing(run: Run) -> None:
    own = setting_of(run)
    say(run, own, {ONE: "a frog"})
    measure(run, "iou", own, {(ONE, "a frog"): Measured(0.75)})
    assert signals_of(evidence(run), own, ONE) == {"iou": 0.75}
    say(run, own, {ONE: "a toad"})
    assert signals_of(evidence(run), own, ONE) == {}


N_FEATURES, N_BY_TOPK = 700, 200
NAMES = ("frog", "car", "star", "castle", "key", "moon", "rose", "ship")


def fill(run: Run, feature_ids: Sequence[int] = range(N_FEATURES)) -> tuple[StoredSetting, dict[Key, bool]]:
    """Explain features as a model would that is right as often as the signals say.

    Returns:
        What is right, by the draw.
    """
    rng = np.random.default_rng(0)
    ids = list(feature_ids)
    strength = rng.normal(size=len(ids))
    is_right = rng.random(len(ids)) < 1 / (1 + np.exp(-(2.0 * strength + 0.3)))
    own, topk, random = setting_of(run), setting_of(run, TOPK), setting_of(run, RANDOM)
    words = {each: f"a {NAMES[each % len(NAMES)]}" for each in ids}
    say(run, own, words, dict(zip(ids, (strength - 2).tolist(), strict=True)))
    say(run, topk, {each: words[each] if rng.random() < 0.5 else "a thing" for each in ids[:N_BY_TOPK]})
    say(run, random, dict.fromkeys(ids[:100], "noise"), dict(zip(ids, rng.normal(-2, 1, 100).tolist(), strict=False)))
    noisy = strength + rng.normal(size=len(ids))
    measure(
        run, "detection", own, {(each, words[each]): Measured(n) for each, n in zip(ids, noisy.tolist(), strict=True)}
    )
    right = {(own.setting_id, each, 0): bool(truth) for each, truth in zip(ids, is_right, strict=True)}
    return own, right


@dataclass(frozen=True)
class Filled:
    """A run, what is right in it, and what was learnt of that."""

    run: Run
    own: StoredSetting
    is_right: dict[Key, bool]
    facts: dict[str, Any]
    trusted: list[Trusted]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with Run.writing(tmp_path_factory.mktemp("runs") / "filled", SUBJECT) as run:
        run.rows("PRAGMA synchronous = OFF")
        own, is_right = fill(run)
        facts = trust(run, is_right, "people")
        yield Filled(run, own, is_right, facts, trusts(run))


def key_of(each: Trusted) -> Key:
    return each.setting_id, each.feature_id, each.sample


def test_every_explanation_gets_a_probability_that_is_what_it_says(filled: Filled) -> None:
    said = {key_of(each): each.text for each in filled.trusted}
    assert len(said) == N_FEATURES + N_BY_TOPK, "those of topk, too, of whose truth nothing is known"
    words = {feature_id: samples[0].text for feature_id, samples in explanations(filled.run, filled.own).items()}
    assert all(said[key] == words[key[1]] for key in filled.is_right)
    n_validation = sum(split_of(feature_id) == "validation" for _, feature_id, _ in filled.is_right)
    assert (filled.facts["truth"], filled.facts["n_learnt_on"]) == ("people", n_validation)
    quality = filled.facts["test"]
    assert quality["n"] == N_FEATURES - n_validation
    assert quality["calibration_error"] < 0.08
    assert quality["kept"]["0.9"]["n"] > 30
    assert quality["kept"]["0.9"]["right"] > 0.85


def test_how_good_they_are_is_told_of_test_features_as_anyone_would_count_it(filled: Filled) -> None:
    quality = filled.facts["test"]
    known = {key_of(each): each.probability for each in filled.trusted}
    pairs = [(known[key], right) for key, right in filled.is_right.items() if split_of(key[1]) == "test"]
    assert quality["share_right"] == pytest.approx(sum(right for _, right in pairs) / len(pairs), abs=1e-4)
    for threshold in ("0.5", "0.8", "0.9", "0.95"):
        kept = [right for probability, right in pairs if probability >= float(threshold)]
        assert quality["kept"][threshold]["n"] == len(kept)
        assert quality["kept"][threshold]["right"] == pytest.approx(sum(kept) / len(kept), abs=1e-4)
    assert quality["coverage"][-1] == 1.0
    assert quality["accuracy"][-1] == quality["share_right"]
    assert sum(n for _, _, n in quality["reliability"]) == len(pairs)


def test_nothing_is_learnt_from_test_features_and_much_from_the_others(filled: Filled) -> None:
    usual, is_right = filled.facts, filled.is_right
    flipped = {key: right != (split_of(key[1]) == "test") for key, right in is_right.items()}
    assert sum(flipped[key] != is_right[key] for key in is_right) > N_FEATURES / 2
    facts = trust(filled.run, flipped, "people")
    same = trusts(filled.run) == filled.trusted
    assert same
    assert (facts["signals"], facts["bias"]) == (usual["signals"], usual["bias"])
    assert facts["test"]["share_right"] == pytest.approx(1 - usual["test"]["share_right"], abs=1e-3)
    other = {key: not right for key, right in is_right.items() if split_of(key[1]) == "validation"}
    assert trust(filled.run, other, "people")["test"] is None, "nothing is known of them"
    after = [each.probability for each in trusts(filled.run)]
    assert np.abs(np.subtract(after, [each.probability for each in filled.trusted])).mean() > 0.1


def test_probabilities_can_be_worked_out_by_hand_from_what_is_stored(filled: Filled) -> None:
    facts = filled.facts
    known = {key_of(each): each.probability for each in filled.trusted}
    found = evidence(filled.run)
    for key, method, signals in list(zip(found.keys, found.methods, found.signals, strict=True))[::50]:
        numbers = {**signals, **{f"method: {each}": float(each == method) for each in ("steering", "topk")}}
        odds = facts["bias"]
        for name, column in facts["signals"].items():
            if name in numbers:
                odds += column["weight"] * (numbers[name] - column["centre"]) / column["scale"]
        assert known[key] == pytest.approx(1 / (1 + np.exp(-odds)))
    assert known.keys() == set(found.keys)


def test_what_is_learnt_does_not_depend_on_who_is_named_first_and_is_kept(filled: Filled) -> None:
    assert trust(filled.run, dict(reversed(filled.is_right.items())), "people") == filled.facts
    same = (trust_facts(filled.run), trusts(filled.run)) == (filled.facts, filled.trusted)
    assert same


def test_too_little_to_learn_from_is_said_and_leaves_what_was_there(run: Run) -> None:
    _, is_right = fill(run, range(200))
    trust(run, is_right, "people")
    before = trust_facts(run), trusts(run)
    for known in ({}, {key: right for key, right in is_right.items() if split_of(key[1]) == "test"}):
        with pytest.raises(InvalidSetting, match="0 right and 0 wrong.*explain and score more features") as caught:
            trust(run, known, "people")
        assert "\n" not in str(caught.value)
    assert (trust_facts(run), trusts(run)) == before


def test_changed_words_have_no_probability_until_it_is_learnt_again(run: Run) -> None:
    own, is_right = fill(run, range(200))
    trust(run, is_right, "people")
    say(run, own, {ONE: "something quite different"})

    def sure() -> dict[int, float]:
        """Of what is said now."""
        said = {feature_id: samples[0].text for feature_id, samples in explanations(run, own).items()}
        return {
            each.feature_id: each.probability
            for each in trusts(run)
            if each.setting_id == own.setting_id and said[each.feature_id] == each.text
        }

    assert set(range(200)) - sure().keys() == {ONE}
    old = [each for each in trusts(run, ONE) if each.setting_id == own.setting_id]
    assert [each.text for each in old] == [f"a {NAMES[ONE % len(NAMES)]}"]
    trust(run, {key: right for key, right in is_right.items() if key[1] != ONE}, "people")
    assert sure().keys() == set(range(200))
    new = [each for each in trusts(run, ONE) if each.setting_id == own.setting_id]
    assert [each.text for each in new] == ["something quite different"]


@pytest.mark.parametrize(
    "damage",
    [
        'UPDATE scores SET others = \'{"mad": "nan"}\'',
        "UPDATE scores SET value = 9e999",
        "UPDATE explanations SET mean_log_probability = 9e999",
        "UPDATE settings SET method = 'telepathy'",
    ],
)
def test_a_strangers_run_that_is_damaged_is_refused_in_one_line(damage: str, run: Run) -> None:
    fill(run, range(30))
    run.rows(damage)
    with pytest.raises(UnusablePath) as caught:
        evidence(run)
    assert "\n" not in str(caught.value)
