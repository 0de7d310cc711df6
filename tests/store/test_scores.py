"""Scores in a run: found again by how they were computed and of which words, added whole or not at all, distrusted."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnusablePath
from seesay.files import to_json
from seesay.records import Aid
from seesay.scorers.config import SCORES
from seesay.scorers.scorer import Item, Measured
from seesay.store.explanations import StoredSetting, add_setting
from seesay.store.run import Run
from seesay.store.scores import (
    StoredScore,
    StoredScoring,
    add_scores,
    add_scoring,
    scores,
    scores_of_feature,
    scorings,
    seconds_of,
    unscored,
)
from tests.store.test_explanations import SUBJECT, altered, facts_of

FACTS: dict[str, Any] = {"segmenter": {"segmenter": "world", "algorithm": 1}, "holding": "held-out", "n_exemplars": 10}
ITEMS = [Item(3, "a red car"), Item(7, ""), Item(7, "a frog", 1), Item(2, "a star")]
MEASURED = [
    Measured(0.5, {"precision": 0.25, "recall": 1.0, "found": 1.0}),
    Measured(0.0, reason="nothing was said"),
    Measured(None, reason="no held-out exemplar"),
    Measured(-1.5, {"found": 0.0}, {"control": (0.0, 1.5), "synthesised": ()}, "it is found in no exemplar"),
]
FOUND = list(zip(ITEMS, MEASURED, strict=True))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.writing(tmp_path / "run", SUBJECT) as run:
        yield run


@pytest.fixture
def setting(run: Run) -> StoredSetting:
    return add_setting(run, facts_of(), "m")


def of(scored: Mapping[int, Sequence[StoredScore]]) -> list[tuple[Item, Measured]]:
    return [(each.item, plain(each.measured)) for samples in scored.values() for each in samples]


def plain(measured: Measured) -> Measured:
    """With lists for all sequences, as JSON gives them."""
    details = {name: list(values) for name, values in measured.details.items()}
    return Measured(measured.value, dict(measured.others), details, measured.reason)


def expected(found: Sequence[tuple[Item, Measured]]) -> list[tuple[Item, Measured]]:
    ordered = sorted(found, key=lambda each: (each[0].feature_id, each[0].sample))
    return [(item, plain(measured)) for item, measured in ordered]


def test_scores_are_found_again_by_how_they_were_computed(run: Run, setting: StoredSetting) -> None:
    scoring = add_scoring(run, "iou", FACTS, setting.setting_id)
    add_scores(run, scoring, FOUND, seconds=2.0)
    with Run.open(run.folder) as reader:
        assert scorings(reader) == [scoring]
        assert of(scores(reader, scoring)) == expected(FOUND)
        assert list(scores(reader, scoring)) == [2, 3, 7]
        assert seconds_of(reader, scoring) == pytest.approx(2.0)
    assert (scoring.score, scoring.setting_id, scoring.aid, scoring.facts) == ("iou", setting.setting_id, None, FACTS)


def test_a_scoring_is_noted_once_whatever_the_order_of_its_facts(run: Run, setting: StoredSetting) -> None:
    first = add_scoring(run, "iou", FACTS, setting.setting_id)
    assert add_scoring(run, "iou", dict(reversed(FACTS.items())), setting.setting_id) == first
    assert scorings(run) == [first]


def ways(setting: int, other: int) -> list[tuple[Any, dict[str, Any], int | None, Aid | None]]:
    """Ways to score that differ from the first in one thing each."""
    return [
        ("iou", FACTS, setting, None),
        ("clip", FACTS, setting, None),
        ("iou", FACTS | {"n_exemplars": 5}, setting, None),
        ("iou", FACTS | {"holding": "shared"}, setting, None),
        ("iou", FACTS | {"segmenter": {"segmenter": "world", "algorithm": 2}}, setting, None),
        ("iou", FACTS | {"more": None}, setting, None),
        ("iou", FACTS, other, None),
        ("iou", FACTS, None, None),
        ("iou", FACTS, setting, "permuted"),
        ("iou", FACTS, setting, "constant"),
    ]


def test_whatever_else_a_number_depends_on_makes_another_scoring_and_none_mix(run: Run, setting: StoredSetting) -> None:
    other = add_setting(run, facts_of(prompt="What else is it?"), "m")
    asked = ways(setting.setting_id, other.setting_id)
    found = [add_scoring(run, *way) for way in asked]
    assert len({each.identity for each in found}) == len({each.scoring_id for each in found}) == len(asked)
    for number, scoring in enumerate(found):
        add_scores(run, scoring, [(Item(1, "a car"), Measured(float(number)))])
    for number, (scoring, way) in enumerate(zip(found, asked, strict=True)):
        assert add_scoring(run, *way) == scoring
        assert of(scores(run, scoring)) == [(Item(1, "a car"), Measured(float(number)))]
    assert scorings(run) == found


def test_all_scores_of_a_feature_are_told_in_the_order_in_which_scoring_began(run: Run, setting: StoredSetting) -> None:
    one, other = add_scoring(run, "iou", FACTS, setting.setting_id), add_scoring(run, "distinctness", FACTS)
    add_scores(run, other, [(Item(7), Measured(0.1)), (Item(8), Measured(0.2))])
    add_scores(run, one, FOUND)
    found = scores_of_feature(run, 7)
    assert [(scoring, each.item, each.measured.value) for scoring, each in found] == [
        (one, Item(7, ""), 0.0),
        (one, Item(7, "a frog", 1), None),
        (other, Item(7), 0.1),
    ]
    assert scores_of_feature(run, 1) == []


def test_only_what_has_no_score_is_to_be_scored(run: Run, setting: StoredSetting) -> None:
    scoring, other = (add_scoring(run, name, FACTS, setting.setting_id) for name in ("iou", "clip"))
    assert unscored(run, scoring, ITEMS) == ITEMS
    add_scores(run, scoring, FOUND[1:3])
    assert unscored(run, scoring, ITEMS) == [ITEMS[0], ITEMS[3]]
    assert unscored(run, other, ITEMS) == ITEMS
    assert unscored(run, scoring, []) == []


def test_a_score_counts_for_its_words_alone(run: Run, setting: StoredSetting) -> None:
    scoring = add_scoring(run, "iou", FACTS, setting.setting_id)
    add_scores(run, scoring, FOUND)
    changed = [Item(3, "a blue car"), Item(7, "a toad"), Item(7, "a frog", 1), Item(7, "a frog", 2), Item(2, "")]
    assert unscored(run, scoring, changed) == [changed[0], changed[1], changed[3], changed[4]]
    add_scores(run, scoring, [(changed[0], Measured(0.75))])
    assert scores(run, scoring)[3] == [StoredScore(changed[0], Measured(0.75))]
    assert unscored(run, scoring, [Item(3, "a red car")]) == [Item(3, "a red car")]


def test_all_of_a_batch_is_written_or_nothing(run: Run, setting: StoredSetting) -> None:
    scoring = add_scoring(run, "iou", FACTS, setting.setting_id)
    add_scores(run, scoring, FOUND[:1])
    refuse = "BEGIN SELECT RAISE(ABORT, 'no'); END"
    run.connection.execute(f"CREATE TEMP TRIGGER t BEFORE INSERT ON scores WHEN NEW.feature_id = 2 {refuse}")
    with pytest.raises(UnusablePath, match="no"):
        add_scores(run, scoring, [(Item(3, "something else"), Measured(1.0)), *FOUND[1:]])
    assert of(scores(run, scoring)) == FOUND[:1]


@pytest.mark.parametrize(
    "bad",
    [
        Measured(float("nan")),
        Measured(float("inf")),
        Measured(0.5, {"found": float("nan")}),
        Measured(0.5, {}, {"control": [0.0, float("nan")]}),
        Measured(0.5, {}, {"control": [-float("inf")]}),
    ],
    ids=repr,
)
def test_what_is_no_number_is_never_written(bad: Measured, run: Run, setting: StoredSetting) -> None:
    scoring = add_scoring(run, "iou", FACTS, setting.setting_id)
    with pytest.raises((AssertionError, ValueError)):
        add_scores(run, scoring, [*FOUND, (Item(9, "a cat"), bad)])
    assert scores(run, scoring) == {}
    with pytest.raises(ValueError, match="JSON"):
        add_scoring(run, "iou", {"temperature": float("nan")}, setting.setting_id)


def test_nothing_that_could_be_measured_is_none_and_not_zero(run: Run) -> None:
    scoring = add_scoring(run, "distinctness", FACTS)
    add_scores(run, scoring, [(Item(1), Measured(None, reason="no held-out exemplar")), (Item(2), Measured(0.0))])
    with Run.open(run.folder) as reader:
        assert [each.measured.value for each in scores(reader, scoring)[1]] == [None]
        assert [each.measured.value for each in scores(reader, scoring)[2]] == [0.0]
    assert unscored(run, scoring, [Item(1), Item(2)]) == [], "it is no failure: asking again brings the same"


def test_the_time_of_what_was_never_scored_is_nothing(run: Run) -> None:
    assert seconds_of(run, add_scoring(run, "distinctness", FACTS)) == 0.0


def test_a_run_that_cannot_be_written_is_read(run: Run, setting: StoredSetting) -> None:
    scoring = add_scoring(run, "iou", FACTS, setting.setting_id)
    add_scores(run, scoring, FOUND, seconds=1.0)
    with Run.open(run.folder) as reader:
        assert of(scores(reader, scoring)) == expected(FOUND)
        assert unscored(reader, scoring, ITEMS) == []
        assert scores_of_feature(reader, 3) == scores_of_feature(run, 3) != []
        with pytest.raises(UnusablePath, match="readonly") as caught:
            add_scores(reader, scoring, FOUND)
    assert "\n" not in str(caught.value)


finite = st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(0, 2**63 - 1)
numbers = st.dictionaries(st.text(), finite, max_size=3)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
plain_data = st.dictionaries(
    st.text(), st.none() | st.booleans() | st.integers() | finite | st.text() | numbers, max_size=4
)
# Plain data, of which the test makes records: what checks their types draws at random, which strategies must not.
rows = st.dictionaries(
    st.tuples(ids, st.integers(0, 1000)),
    st.tuples(
        st.text(), st.none() | finite, numbers, st.dictionaries(st.text(), st.lists(finite), max_size=2), st.text()
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run without anything in it, of which no kill shall be survived."""
    with Run.writing(tmp_path_factory.mktemp("runs") / "empty", SUBJECT) as run:
        run.rows("PRAGMA synchronous = OFF")
        yield run


COMPUTED = [name for name, measure in SCORES.items() if "people" not in measure.needs]


@given(st.sampled_from(COMPUTED), st.sampled_from([None, "permuted", "constant"]), plain_data, rows)
def test_what_is_written_is_read(
    empty: Run, name: Any, aid: Aid | None, facts: dict[str, Any], drawn: dict[tuple[int, int], tuple[Any, ...]]
) -> None:
    empty.rows("DELETE FROM scores")
    empty.rows("DELETE FROM scorings")
    scoring = add_scoring(empty, name, facts, None, aid)
    assert (scoring.score, scoring.aid, scoring.facts) == (name, aid, facts)
    assert scorings(empty) == [scoring]
    found = [(Item(each, text, sample), Measured(*rest)) for (each, sample), (text, *rest) in drawn.items()]
    add_scores(empty, scoring, found)
    assert of(scores(empty, scoring)) == expected(found)
    assert unscored(empty, scoring, [item for item, _ in found]) == []


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run with something in every column, for tests that put back what they change."""
    with Run.writing(tmp_path_factory.mktemp("runs") / "full", SUBJECT) as run:
        stored = add_setting(run, facts_of(), "m")
        add_scores(run, add_scoring(run, "auroc", FACTS, stored.setting_id, "permuted"), FOUND[3:], seconds=0.5)
        run.rows("PRAGMA ignore_check_constraints = ON")
        everything_as_json(run)
        yield run


def everything_as_json(run: Run) -> str:
    """All that a run tells of scores."""
    known = scorings(run)
    found = [scores(run, each) for each in known]
    rows = [each for of_all in found for samples in of_all.values() for each in samples]
    own = [scores_of_feature(run, each.item.feature_id) for each in rows[:1]]
    seconds = [seconds_of(run, each) for each in known]
    left = [unscored(run, each, ITEMS) for each in known]
    records: list[StoredScoring | StoredScore | Item] = [*known, *rows]
    records += [each for some in own for pair in some for each in pair]
    records += [item for some in left for item in some]
    return to_json([seconds, [asdict(each) for each in records]])


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE scorings SET score = 'beauty'",
        "UPDATE scorings SET score = x'00'",
        "UPDATE scorings SET score = 7",
        "UPDATE scorings SET aid = 'placebo'",
        "UPDATE scorings SET aid = 'random'",
        "UPDATE scorings SET aid = x'00'",
        "UPDATE scorings SET setting_id = 'x'",
        "UPDATE scorings SET setting_id = 9e999",
        "UPDATE scorings SET setting_id = -1",
        "UPDATE scorings SET identity = x'00'",
        "UPDATE scorings SET facts = '{'",
        "UPDATE scorings SET facts = 'null'",
        "UPDATE scorings SET facts = '7'",
        "UPDATE scorings SET facts = x'ff00fe'",
        "UPDATE scorings SET facts = '{\"seed\": NaN}'",
        "UPDATE scorings SET facts = '{\"seed\": 1e999}'",
        'UPDATE scorings SET facts = \'{"a": "\\ud800"}\'',
        "UPDATE scorings SET facts = cast(x'ff' AS TEXT)",
        f"UPDATE scorings SET facts = '{DEEP}'",
        "UPDATE scores SET feature_id = 'x'",
        "UPDATE scores SET feature_id = 9e999",
        "UPDATE scores SET feature_id = -1",
        "UPDATE scores SET sample = 'second'",
        "UPDATE scores SET sample = 9e999",
        "UPDATE scores SET sample = -1",
        "UPDATE scores SET text = x'00'",
        "UPDATE scores SET text = cast(x'eda080' AS TEXT)",
        "UPDATE scores SET value = 9e999",
        "UPDATE scores SET value = 'good'",
        "UPDATE scores SET value = x'00'",
        "UPDATE scores SET others = '{'",
        "UPDATE scores SET others = '7'",
        "UPDATE scores SET others = '{\"mad\": NaN}'",
        "UPDATE scores SET others = '{\"mad\": -Infinity}'",
        "UPDATE scores SET others = '{\"mad\": 1e999}'",
        'UPDATE scores SET others = \'{"mad": "nan"}\'',
        'UPDATE scores SET others = \'{"mad": "1"}\'',
        "UPDATE scores SET others = '{\"mad\": null}'",
        "UPDATE scores SET others = '{\"mad\": [1]}'",
        "UPDATE scores SET others = '{\"\\ud800\": 1}'",
        f"UPDATE scores SET others = '{{\"mad\": {'9' * 400}}}'",
        f"UPDATE scores SET others = '{DEEP}'",
        "UPDATE scores SET details = '{\"control\": 7}'",
        'UPDATE scores SET details = \'{"control": "12"}\'',
        'UPDATE scores SET details = \'{"control": ["inf"]}\'',
        "UPDATE scores SET details = '{\"control\": [NaN]}'",
        'UPDATE scores SET details = \'{"control": {"1": 2}}\'',
        "UPDATE scores SET details = 'null'",
        "UPDATE scores SET details = x'ff'",
        "UPDATE scores SET reason = x'00'",
        "UPDATE scores SET reason = cast(x'ff' AS TEXT)",
        "UPDATE scores SET seconds = 9e999",
        "DROP TABLE scores",
        "ALTER TABLE scorings DROP COLUMN facts",
    ],
)
def test_a_strangers_scores_that_are_damaged_are_refused_in_one_line(damage: str, full: Run) -> None:
    with altered(full, damage), pytest.raises(UnusablePath) as caught:
        everything_as_json(full)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["setting_id = NULL", "setting_id = 99", "score = 'clip'", "aid = 'constant'"])
def test_a_scoring_that_is_another_than_its_identity_says_is_refused(
    change: str, run: Run, setting: StoredSetting
) -> None:
    scoring = add_scoring(run, "iou", FACTS, setting.setting_id)
    run.rows(f"UPDATE scorings SET {change}")
    with pytest.raises(UnusablePath, match=f"scoring {scoring.scoring_id} in .* is damaged: .* its identity") as caught:
        add_scoring(run, "iou", FACTS, setting.setting_id)
    assert "\n" not in str(caught.value)
    assert len(scorings(run)) == 1


COLUMNS = [
    (table, column)
    for table, columns in {
        "scorings": "identity score setting_id aid facts",
        "scores": "scoring_id feature_id sample text value others details reason seconds",
    }.items()
    for column in columns.split()
]
anything = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    jsons.map(json.dumps),
    st.dictionaries(st.text(), jsons).map(json.dumps),
)


@given(st.sampled_from(COLUMNS), anything)
def test_whatever_a_stranger_wrote_is_refused_or_can_be_passed_on(
    full: Run, place: tuple[str, str], value: Any
) -> None:
    table, column = place
    # Some the tables themselves refuse: nothing where something must be.
    with suppress(sqlite3.IntegrityError), altered(full, f"UPDATE {table} SET {column} = ?", value):
        try:
            everything_as_json(full)
        except UnusablePath as error:
            assert len(str(error).splitlines()) == 1


def test_a_score_that_nobody_knows_the_meaning_of_is_told_of_by_nobody(full: Run) -> None:
    with altered(full, "UPDATE scores SET scoring_id = 99"):
        assert scores_of_feature(full, FOUND[3][0].feature_id) == []
        assert [scores(full, each) for each in scorings(full)] == [{}]
