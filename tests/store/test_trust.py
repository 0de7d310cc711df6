"""How sure explanations are, in a run: replaced as a whole or not at all, and read with distrust."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnusablePath
from seesay.files import to_json
from seesay.store.explanations import add_setting
from seesay.store.run import Run
from seesay.store.trust import Trusted, set_trust, trust_facts, trusts
from tests.store.test_explanations import SUBJECT, altered, facts_of

FACTS: dict[str, Any] = {"truth": "ground_truth", "bias": -0.5, "signals": {"iou": {"weight": 1.25}}, "test": None}
TRUSTED = [
    Trusted(1, 3, 0, "a red car", 0.875),
    Trusted(1, 7, 0, "a frog", 0.0),
    Trusted(1, 7, 1, "a toad", 1.0),
    Trusted(2, 3, 0, "", 0.5),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.writing(tmp_path / "run", SUBJECT) as run:
        for prompt in ("?", "!"):
            add_setting(run, facts_of(prompt=prompt), "m")
        yield run


def test_without_any_there_is_nothing(run: Run) -> None:
    with Run.open(run.folder) as reader:
        assert trust_facts(reader) is None
        assert trusts(reader) == trusts(reader, 3) == []


def test_what_was_learnt_is_read_in_the_order_of_settings_features_and_samples(run: Run) -> None:
    set_trust(run, FACTS, [TRUSTED[each] for each in (2, 0, 3, 1)])
    with Run.open(run.folder) as reader:
        assert trust_facts(reader) == FACTS
        assert trusts(reader) == TRUSTED
        assert trusts(reader, 3) == [TRUSTED[0], TRUSTED[3]]
        assert trusts(reader, 4) == []


def test_what_is_learnt_anew_takes_the_place_of_all_that_was_there(run: Run) -> None:
    set_trust(run, FACTS, TRUSTED)
    again = [replace(TRUSTED[0], text="a blue car", probability=0.25)]
    set_trust(run, {"truth": "people"}, again)
    assert (trust_facts(run), trusts(run)) == ({"truth": "people"}, again)
    set_trust(run, {}, [])
    assert (trust_facts(run), trusts(run)) == ({}, [])


@pytest.mark.parametrize(
    "bad", [[Trusted(1, 2, 0, "a cat", float("nan"))], [TRUSTED[0], TRUSTED[0]]], ids=["no number", "twice"]
)
def test_what_cannot_be_written_leaves_what_was_there(bad: list[Trusted], run: Run) -> None:
    set_trust(run, FACTS, TRUSTED)
    with pytest.raises(UnusablePath) as caught:
        set_trust(run, {"truth": "people"}, [Trusted(1, 1, 0, "a cat", 0.5), *bad])
    assert "\n" not in str(caught.value)
    assert (trust_facts(run), trusts(run)) == (FACTS, TRUSTED)
    with pytest.raises(ValueError, match="JSON"):
        set_trust(run, {"bias": float("nan")}, [])
    assert (trust_facts(run), trusts(run)) == (FACTS, TRUSTED)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run with something in both tables, for tests that put back what they change."""
    with Run.writing(tmp_path_factory.mktemp("runs") / "full", SUBJECT) as run:
        run.rows("PRAGMA synchronous = OFF")
        add_setting(run, facts_of(), "m")
        set_trust(run, FACTS, TRUSTED[:1])
        everything_as_json(run)
        yield run


def everything_as_json(run: Run) -> str:
    found = [asdict(each) for each in (*trusts(run), *trusts(run, 3))]
    assert all(0 <= each["probability"] <= 1 for each in found)
    return to_json([trust_facts(run), found])


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trust SET facts = '{'",
        "UPDATE trust SET facts = '7'",
        "UPDATE trust SET facts = x'ff'",
        "UPDATE trust SET facts = '{\"bias\": NaN}'",
        "UPDATE trust SET facts = '{\"bias\": 1e999}'",
        'UPDATE trust SET facts = \'{"truth": "\\udfff"}\'',
        f"UPDATE trust SET facts = '{'[' * 100_000}'",
        "UPDATE trust SET facts = cast(x'ff' AS TEXT)",
        "UPDATE trusts SET probability = 1.5",
        "UPDATE trusts SET probability = -0.01",
        "UPDATE trusts SET probability = 9e999",
        "UPDATE trusts SET probability = 'surely'",
        "UPDATE trusts SET probability = x'00'",
        "UPDATE trusts SET setting_id = 'x'",
        "UPDATE trusts SET setting_id = -1",
        "UPDATE trusts SET setting_id = 9e999",
        "UPDATE trusts SET feature_id = 'x'",
        "UPDATE trusts SET feature_id = -1",
        "UPDATE trusts SET sample = 'x'",
        "UPDATE trusts SET sample = -1",
        "UPDATE trusts SET text = x'00'",
        "UPDATE trusts SET text = cast(x'eda080' AS TEXT)",
        "DROP TABLE trust",
        "DROP TABLE trusts",
    ],
)
def test_a_strangers_trust_that_is_damaged_is_refused_in_one_line(damage: str, full: Run) -> None:
    with altered(full, damage), pytest.raises(UnusablePath) as caught:
        everything_as_json(full)
    assert "\n" not in str(caught.value)


COLUMNS = [
    ("trust", "facts"),
    *[("trusts", column) for column in ("setting_id", "feature_id", "sample", "text", "probability")],
]
jsons = st.recursive(st.none() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3))
anything = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
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


finite = st.floats(allow_nan=False, allow_infinity=False)
trusted = st.dictionaries(
    st.tuples(*[st.integers(0, 2**63 - 1)] * 3), st.tuples(st.text(), st.floats(0, 1)), max_size=5
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with Run.writing(tmp_path_factory.mktemp("runs") / "empty", SUBJECT) as run:
        run.rows("PRAGMA synchronous = OFF")
        yield run


@given(st.dictionaries(st.text(), st.none() | finite | st.text(), max_size=3), trusted)
def test_what_is_written_is_read(
    empty: Run, facts: dict[str, Any], drawn: dict[tuple[int, ...], tuple[str, float]]
) -> None:
    written = [Trusted(*key, text, probability) for key, (text, probability) in drawn.items()]
    set_trust(empty, facts, written)
    assert trust_facts(empty) == facts
    assert trusts(empty) == sorted(written, key=lambda each: (each.setting_id, each.feature_id, each.sample))
