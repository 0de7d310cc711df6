"""A user's own scorer: what it is called, what it is held to, and what tells one state of its code from another."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from seesay.errors import SeesayError, UnreadableImage, UnusableScorer
from seesay.pipeline.scoring import score
from seesay.scorers.config import SCORES, KnownScore, Measure, Scoring
from seesay.scorers.measures import GIVEN, LONGEST_WHAT, MEASURE, MOST_OTHERS, as_fact, measure_of, title_of
from seesay.scorers.own import Own
from seesay.scorers.own_results import LONGEST_REASON
from seesay.scorers.scorer import Item, Measured, Scorer
from seesay.store.measures import measures
from seesay.store.run import Run
from seesay.store.scores import scores, scorings
from tests.comparison.making import making, said
from tests.scorers.held_out import MadeHeldOut

BREVITY = Measure("brevity", ("letters",), chance=0.0, what="how few words are there?")
ITEMS = [Item(feature_id, text) for feature_id, text in enumerate(["", "a frog", "a red star", "stripes"])]


class Brevity:
    """One over the number of words; what it gives may be put in its place."""

    measure = BREVITY

    def __init__(self, result: Callable[[Item], Any] | None = None, **facts: Any) -> None:
        self.facts: Mapping[str, Any] = facts
        self.result = result or self.measured

    def score(self, items: Sequence[Item]) -> list[Measured]:
        return [self.result(item) for item in items]

    @staticmethod
    def measured(item: Item) -> Measured:
        n = len(item.text.split())
        return Measured(1 / n if n else 0.0, {"letters": float(len(item.text))})


def forged(**changed: Any) -> Measured:
    """A result with what no careful caller would put into it."""
    found = Measured(0.5)
    for name, value in changed.items():
        object.__setattr__(found, name, value)
    return found


def odd_measure(**changed: Any) -> Measure:
    """A measure with what no careful caller would put into it."""
    found = replace(BREVITY)
    for name, value in changed.items():
        object.__setattr__(found, name, value)
    return found


class Failing(Mapping[str, float]):
    """A dict that fails whoever looks into it, even to be shown."""

    def fail(self, *_: Any) -> Any:
        raise LookupError("not\ntoday")

    __getitem__ = __iter__ = __len__ = __repr__ = fail


def refusal(scorer: Any, items: Sequence[Item] = ITEMS) -> str:
    with pytest.raises(UnusableScorer) as refused:
        Own(scorer).score(items)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def named(measure: Measure) -> Any:
    return type("Named", (Brevity,), {"measure": measure})()


def test_every_score_of_seesay_has_a_name_of_its_own_type() -> None:
    assert set(get_args(KnownScore)) == set(SCORES)


def test_an_own_scorer_is_a_scorer_whose_facts_tell_what_it_measures_and_the_state_of_its_code() -> None:
    own = Own(Brevity(seed=3))
    assert isinstance(own, Scorer)
    assert own.score(ITEMS) == Brevity().score(ITEMS)
    assert own.facts["seed"] == 3
    assert measure_of("brevity", own.facts) == BREVITY
    assert len(own.facts["source"]) == 16


def test_what_it_was_given_goes_into_its_facts_and_cannot_be_denied() -> None:
    class Looking(Brevity):
        def __init__(self, held_out: Any, scoring: Scoring, judge: Any) -> None:
            super().__init__(holding="held-out", n_exemplars=99, threshold=0.5)

    judge = type("Judge", (), {"facts": {"weights": "abc"}})()
    scoring = Scoring(holding="shared", n_exemplars=4)
    facts = Own.made(Looking, MadeHeldOut({}), scoring, judge=judge).facts
    expected = {"holding": "shared", "n_exemplars": 4, "judge": {"weights": "abc"}, "threshold": 0.5}
    assert {name: facts[name] for name in expected} == expected


def test_another_text_of_its_file_is_another_identity_unless_its_facts_say_a_version() -> None:
    one, other = (Own(Brevity(), text).facts for text in ("x = 1", "x = 2"))
    assert one["source"] != other["source"]
    one, other = (Own(Brevity(version=1), text).facts for text in ("x = 1", "x = 2"))
    assert one == other
    assert "source" not in one
    assert Own(Brevity(version=2)).facts != one


def test_a_class_without_a_file_must_say_a_version() -> None:
    space: dict[str, Any] = {"Brevity": Brevity, "__name__": "no_such_module"}
    exec("class Typed(Brevity): pass", space)
    with pytest.raises(UnusableScorer, match="whose source cannot be read; expected .* 'version'"):
        Own(space["Typed"]())
    assert Own(space["Typed"](version="2")).facts["version"] == "2"


@pytest.mark.parametrize(
    ("measure", "told"),
    [
        (replace(BREVITY, value="iou"), "iou, which is one of seesay's own scores"),
        (replace(BREVITY, value="clarity"), "clarity, which a number of seesay's own score distinctness has"),
        (replace(BREVITY, others=("precision",)), "precision, which a number of seesay's own score iou has"),
        (replace(BREVITY, value="text"), "text, which means something else"),
        (replace(BREVITY, value="Brevity"), "small letters"),
        (replace(BREVITY, value="x" * 41), "at most 40"),
        (replace(BREVITY, value='x"; DROP'), "small letters"),
        (replace(BREVITY, value="kürze"), "small letters"),
        (replace(BREVITY, others=("brevity",)), "each once"),
        (replace(BREVITY, others=tuple(f"n{each}" for each in range(MOST_OTHERS + 1))), f"at most {MOST_OTHERS}"),
        (replace(BREVITY, what=""), "what brevity measures, in a line"),
        (replace(BREVITY, what="two\nlines"), "what brevity measures, in a line"),
        (replace(BREVITY, what="x" * (LONGEST_WHAT + 1)), f"{LONGEST_WHAT} characters"),
        (replace(BREVITY, what="\x1b[2J"), "what brevity measures, in a line"),
        (replace(BREVITY, chance=math.nan), "a finite number, or None"),
        (replace(BREVITY, needs=frozenset({"world"})), "needs has world; expected nothing but segmenter"),
    ],
)
def test_a_measure_that_will_not_do_is_refused(measure: Measure, told: str) -> None:
    assert told in refusal(named(measure))


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("value", 3, "the measure of Named: value is 3; expected a text, the name of the score"),
        ("others", (3,), "others is (3,); expected names"),
        ("others", None, "others is None; expected names"),
        ("others", "letters", "others is 'letters'; expected names"),
        ("others", {"letters", "words"}, "expected names"),
        ("others", Failing(), "others is a Failing; expected names"),
        ("needs", "embedder", "needs is 'embedder'; expected names"),
        ("needs", [3], "needs is [3]; expected names"),
        ("what", None, "what is None; expected a text, what it measures in a line"),
        ("chance", "0.5", "the measure of Named: chance is '0.5'; expected a finite number"),
        ("chance", True, "chance is True"),
        ("chance", np.float32("nan"), "nan); expected a finite number, or None"),
        ("chance", 10**400, "chance is 1000"),
        ("of_words", "no", "of_words is 'no'; expected True or False"),
    ],
)
def test_a_measure_with_a_part_of_another_type_is_refused(part: str, value: Any, told: str) -> None:
    assert told in refusal(named(odd_measure(**{part: value})))


def test_a_measure_of_lists_and_numbers_of_any_kind_is_taken_as_what_it_means() -> None:
    odd = odd_measure(others=["letters"], needs=["embedder"], chance=np.float32(0.5))
    own = Own(named(odd))
    assert own.measure == replace(BREVITY, needs=frozenset({"embedder"}), chance=0.5)
    assert json.loads(json.dumps(own.facts[MEASURE])) == as_fact(own.measure)


@pytest.mark.parametrize("part", ["measure", "facts", "score"])
def test_a_part_that_fails_when_it_is_read_is_told_with_file_and_line(part: str) -> None:
    def fail(_self: Any) -> Any:
        raise RuntimeError("x")

    scorer = type("Odd", (), {"measure": BREVITY, "facts": {}, "score": Brevity.score} | {part: property(fail)})()
    assert f"Odd.{part} fails: RuntimeError: x (test_own.py, line " in refusal(scorer)


@pytest.mark.parametrize("scorer", [object(), type("NoScore", (), {"measure": BREVITY, "facts": {}})()])
def test_what_is_no_scorer_is_refused(scorer: Any) -> None:
    assert "which is no scorer" in refusal(scorer)


@pytest.mark.parametrize(
    "facts",
    [
        {"images": object()},
        {"threshold": math.inf},
        {"text": "\ud800"},
        {"array": np.zeros(3)},
        {"large": "x" * (1 << 17)},
    ],
)
def test_facts_that_are_no_plain_data_are_refused(facts: dict[str, Any]) -> None:
    assert "the facts of Brevity" in refusal(Brevity(**facts))


def test_missing_facts_are_asked_for() -> None:
    scorer = Brevity()
    scorer.facts = None  # pyright: ignore[reportAttributeAccessIssue]
    assert "with facts None; expected a dict" in refusal(scorer)


def test_facts_that_fail_are_told() -> None:
    scorer = Brevity()
    scorer.facts = Failing()
    assert "the facts of Brevity: not today; expected plain data" in refusal(scorer)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (lambda _: Measured(math.nan), "gave nan for feature 0; expected a finite number"),
        (lambda _: forged(value="good"), "gave 'good' for feature 0"),
        (lambda _: forged(value=True), "gave True for feature 0"),
        (lambda _: forged(value=torch.tensor(0.5)), "gave tensor(0.5000) for feature 0"),
        (lambda _: forged(value=10**400), "for feature 0; expected a finite number"),
        (
            lambda _: forged(others={"letters": None}),
            "gave None as letters for feature 0; expected a finite number, or no such name",
        ),
        (
            lambda _: Measured(0.5, {"words": 1.0}),
            "the number words for feature 0; expected those that measure.others names: letters",
        ),
        (lambda _: Measured(0.5, details={"all": [math.inf]}), "gave inf among the details all for feature 0"),
        (lambda _: forged(others=None), "gave Measured(others=None) for feature 0; expected finite numbers by name"),
        (lambda _: forged(others=0.3), "gave Measured(others=0.3) for feature 0"),
        (lambda _: forged(others={3: 0.3}), "gave Measured(others={3: 0.3}) for feature 0"),
        (lambda _: forged(others=Failing()), "failed on feature 0: LookupError: not today (test_own.py, line "),
        (
            lambda _: forged(details=None),
            "gave Measured(details=None) for feature 0; expected lists of finite numbers by name",
        ),
        (lambda _: forged(details={"all": 3}), "gave 3 as the details all for feature 0; expected lists"),
        (lambda _: forged(details={"all": "abc"}), "gave 'abc' as the details all for feature 0; expected lists"),
        (lambda _: forged(details={"all": ["abc"]}), "gave 'abc' among the details all for feature 0"),
        (
            lambda _: Measured(None, reason="\ud800"),
            r"gave the reason '\ud800' for feature 0; expected words in Unicode",
        ),
        (lambda _: forged(reason=7), "gave the reason 7 for feature 0; expected words"),
        (lambda _: 0.5, "gave 0.5 for feature 0; expected a Measured"),
    ],
)
def test_what_is_no_result_is_refused(result: Callable[[Item], Any], told: str) -> None:
    assert told in refusal(Brevity(result))


@pytest.mark.parametrize(
    ("results", "told"), [([Measured(0.5)], "gave 1 results for 4 items"), (None, "gave NoneType for 4 items")]
)
def test_another_number_of_results_is_refused(results: Any, told: str) -> None:
    scorer = Brevity()
    scorer.score = lambda _items: results
    assert f"Brevity {told}, of features 0 to 3; expected one Measured for each item" in refusal(scorer)


def test_numbers_of_any_kind_are_taken_as_floats() -> None:
    values = [1, np.float32(0.5), np.int64(2), None]
    found = Own(Brevity(lambda item: forged(value=values[item.feature_id]))).score(ITEMS)
    assert [each.value for each in found] == [1.0, 0.5, 2.0, None]
    assert {type(each.value) for each in found[:3]} == {float}


def test_details_may_be_arrays() -> None:
    (found,) = Own(Brevity(lambda _: forged(details={"all": np.array([0, 1])}))).score(ITEMS[:1])
    assert found.details == {"all": [0.0, 1.0]}


def test_a_reason_is_kept_in_a_line_and_cut_where_it_is_too_long() -> None:
    reasons = ["x" * 10_000_000, "x" * LONGEST_REASON, "two\nlines \x1b[2J", ""]
    found = Own(Brevity(lambda item: Measured(None, reason=reasons[item.feature_id]))).score(ITEMS)
    cut = "x" * (LONGEST_REASON - 1) + "…"
    assert [each.reason for each in found] == [cut, "x" * LONGEST_REASON, "two lines [2J", ""]


def test_an_error_that_cannot_be_told_is_named() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("x")

    def measured(_item: Item) -> Any:
        raise Mute

    assert "failed on feature 0: Mute (test_own.py, line " in refusal(Brevity(measured))


def test_a_scorer_that_fails_is_told_with_the_feature_the_file_and_the_line() -> None:
    told = refusal(Brevity(lambda item: 1 / (item.feature_id - 2)))  # pyright: ignore[reportArgumentType]
    assert "Brevity failed on feature 2: ZeroDivisionError: division by zero (test_own.py, line " in told


def test_a_text_that_is_no_code_is_told_with_the_line_that_runs_it() -> None:
    told = refusal(Brevity(lambda _: eval("1 +")))
    assert "SyntaxError: invalid syntax (<string>, line 1) (test_own.py, line " in told


def test_what_cannot_be_had_and_what_does_not_fit_are_told_as_they_are() -> None:
    def raising(error: Exception) -> Callable[[Item], Any]:
        def measured(_item: Item) -> Any:
            raise error

        return measured

    for error in (UnreadableImage("a picture"), torch.OutOfMemoryError("CUDA out of memory")):
        with pytest.raises(type(error)) as raised:
            Own(Brevity(raising(error))).score(ITEMS)
        assert raised.value is error


def test_a_class_that_cannot_be_made_is_told() -> None:
    with pytest.raises(UnusableScorer, match=r"Brevity cannot be made: TypeError.*takes held_out, scoring, embedder"):
        Own.made(Brevity, MadeHeldOut({}), Scoring(), embedder=object())


def test_numbers_are_called_by_their_name_and_where_that_says_little_by_the_score_too() -> None:
    assert title_of("brevity", "brevity") == "brevity"
    assert title_of("brevity", "letters") == "brevity letters"
    assert title_of("distinctness", "clarity") == "clarity"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with making(tmp_path / "run", 8) as run:
        yield run


def words_of(run: Run) -> Any:
    return said(run, {item.feature_id: item.text for item in ITEMS})


def test_from_python_its_numbers_and_what_it_measures_are_kept_in_the_run(run: Run) -> None:
    setting = words_of(run)
    scored = score(run, "brevity", Brevity(), ITEMS, setting=setting)
    found = [each.measured for samples in scores(run, scored.scoring).values() for each in samples]
    assert found == Brevity().score(ITEMS)
    assert scored.scoring.measure == BREVITY
    assert measures(run)["brevity"] == BREVITY
    assert list(measures(run))[:-1] == list(SCORES)


def test_the_same_code_computes_nothing_again_and_other_facts_are_another_way(run: Run) -> None:
    setting = words_of(run)
    for facts in ({}, {}, {"version": 2}):
        score(run, "brevity", Brevity(**facts), ITEMS, setting=setting)
    assert len(scorings(run)) == 2


def test_a_batch_that_fails_leaves_nothing_and_those_before_it_stay(run: Run) -> None:
    setting = words_of(run)
    failing = Brevity(lambda item: forged(value="?" if item.feature_id == 3 else 0.5))
    with pytest.raises(UnusableScorer, match="for feature 3"):
        score(run, "brevity", failing, ITEMS, setting=setting, batch_size=2)
    (scoring,) = scorings(run)
    assert list(scores(run, scoring)) == [0, 1]
    score(run, "brevity", Brevity(), ITEMS, setting=setting, batch_size=2)
    assert list(scores(run, scoring)) == [0, 1, 2, 3]


def test_under_another_name_than_its_own_it_is_refused_and_nothing_is_noted(run: Run) -> None:
    with pytest.raises(SeesayError, match="the score 'shortness' by a scorer of brevity"):
        score(run, "shortness", Brevity(), ITEMS, setting=words_of(run))
    with pytest.raises(UnusableScorer, match="the facts of Brevity"):
        score(run, "brevity", Brevity(x=math.nan), ITEMS, setting=words_of(run))
    with pytest.raises(UnusableScorer, match="brevity, which measures words; expected the setting"):
        score(run, "brevity", Brevity(), ITEMS)
    with pytest.raises(UnusableScorer, match="which measures features, .*; expected no setting"):
        score(run, "brevity", named(replace(BREVITY, of_words=False)), ITEMS, setting=words_of(run))
    assert scorings(run) == []


def test_what_may_be_needed_is_known_to_seesay() -> None:
    assert set(GIVEN) < {need for measure in SCORES.values() for need in measure.needs}
    assert MEASURE not in as_fact(BREVITY)
