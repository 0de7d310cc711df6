"""Explanations in a run: found again, added whole or not at all, and read with distrust."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnusablePath
from seesay.explainers.config import METHODS, Setting
from seesay.files import to_json
from seesay.records import Ablation, Control, Explanation, Status, Strength, StrengthUnit
from seesay.store import database, migrations
from seesay.store.calibrations import Calibration, add_calibration, calibrations
from seesay.store.explanations import (
    add,
    add_setting,
    explanations,
    find_setting,
    hash_of,
    missing,
    n_explained,
    settings,
)
from seesay.store.run import Run

SUBJECT = {"subject": "tiny", "layer": 1, "sae": "x", "identity": "abc"}
STEERING = Setting(strength=Strength(2.0, "residual_norm"))


def facts_of(setting: Setting = STEERING, **others: Any) -> dict[str, Any]:
    """As [seesay.pipeline.explaining.Speaker][] gives them."""
    models = {"explainer": "e" * 64, "encoder": "f" * 64, "dtype": "torch.float32", "encoder_differs_in": ""}
    return {**models, **setting.facts, "prompt": "What is it?", **others}


def said(feature_id: int, text: str = "a red car", *, of: Setting = STEERING, **others: Any) -> Explanation:
    status: Status = "ok" if text else "empty"
    facts = {"method": of.method, "control": of.control, "text": text, "raw_text": text, "status": status}
    return Explanation(**{"feature_id": feature_id, "strength": of.strength, "coefficient": 3.5, **facts, **others})


@contextmanager
def writing(folder: Path) -> Iterator[Run]:
    with Run.writing(folder, SUBJECT) as run:
        yield run


def test_a_setting_is_found_again_by_its_facts(tmp_path: Path) -> None:
    topk, permuted = Setting("topk"), replace(STEERING, control="permuted", seed=7)
    with writing(tmp_path) as run:
        assert find_setting(run, facts_of()) is None
        stored = [add_setting(run, facts_of(each), "world:M") for each in (STEERING, topk, permuted)]
    with Run.open(tmp_path) as run:
        assert settings(run) == stored
        assert [find_setting(run, facts_of(each)) for each in (STEERING, topk, permuted)] == stored
        assert find_setting(run, facts_of(replace(STEERING, strength=Strength(2.5)))) is None
    assert [each.title for each in stored] == ["steering", "topk", "steering, permuted"]
    assert [each.strength for each in stored] == [STEERING.strength, None, STEERING.strength]
    assert [each.seed for each in stored] == [None, None, 7]
    assert stored[0].facts == json.loads(json.dumps(facts_of()))
    assert stored[0].identity == hash_of(facts_of())


def test_a_setting_is_noted_once_under_the_first_name_of_its_model(tmp_path: Path) -> None:
    with writing(tmp_path) as run:
        first = add_setting(run, facts_of(), "world:M")
        again = add_setting(run, dict(reversed(facts_of().items())), "a copy of it")
        assert again == first
        assert again.explainer == "world:M"
        assert len(settings(run)) == 1


@pytest.mark.parametrize(
    "others",
    [
        {"prompt": "What else is it?"},
        {"dtype": "torch.bfloat16"},
        {"explainer": "d" * 64},
        {"encoder_differs_in": "blocks.1.weight"},
        {"empty": "black"},
    ],
)
def test_any_other_fact_is_another_setting(others: dict[str, Any], tmp_path: Path) -> None:
    with writing(tmp_path) as run:
        one, other = (add_setting(run, facts, "m") for facts in (facts_of(), facts_of(**others)))
        assert one.setting_id != other.setting_id
        add(run, one, [said(1)])
        assert explanations(run, other) == {}


def test_adding_again_changes_nothing(tmp_path: Path) -> None:
    with writing(tmp_path) as run:
        stored = add_setting(run, facts_of(), "m")
        for _ in range(2):
            add(run, stored, [said(3), said(1), said(1, "a car", sample=1)])
        found = explanations(run, stored)
        assert list(found.items()) == [(1, [said(1), said(1, "a car", sample=1)]), (3, [said(3)])]
        assert explanations(run, stored, [3]) == {3: [said(3)]}
        assert explanations(run, stored, [3, 1, 9]) == found
        assert n_explained(run, stored) == {"ok": 3, "empty": 0, "failed": 0}


def test_all_of_a_batch_is_added_or_nothing(tmp_path: Path) -> None:
    with writing(tmp_path) as run:
        stored = add_setting(run, facts_of(), "m")
        add(run, stored, [said(1)])
        refuse = "BEGIN SELECT RAISE(ABORT, 'no'); END"
        run.connection.execute(f"CREATE TEMP TRIGGER t BEFORE INSERT ON explanations WHEN NEW.feature_id = 3 {refuse}")
        with pytest.raises(UnusablePath, match="no"):
            add(run, stored, [said(1, "something else"), said(2), said(3)])
        assert explanations(run, stored) == {1: [said(1)]}


def test_a_full_disk_is_said_in_one_line_and_costs_only_the_batch(tmp_path: Path) -> None:
    with writing(tmp_path) as run:
        stored = add_setting(run, facts_of(), "m")
        add(run, stored, [said(1)])
        ((n_pages,),) = run.rows("PRAGMA page_count")
        run.rows(f"PRAGMA max_page_count = {n_pages}")
        many = [said(feature_id, "word " * 200) for feature_id in range(2, 100)]
        with pytest.raises(UnusablePath, match=r"full; expected room on the disk; make some and run the same again"):
            add(run, stored, many)
        assert explanations(run, stored) == {1: [said(1)]}
        run.rows("PRAGMA max_page_count = 100000")
        add(run, stored, many)
        assert n_explained(run, stored)["ok"] == 99


def test_what_is_missing_is_what_has_too_few_samples_or_failed(tmp_path: Path) -> None:
    with writing(tmp_path) as run:
        stored, other = (add_setting(run, facts_of(prompt=prompt), "m") for prompt in ("?", "!"))
        asked = [5, 4, 3, 2, 1]
        assert missing(run, stored, asked) == asked
        add(run, stored, [said(1), said(2, "", reason="the model said no word"), said(3, "", status="failed")])
        add(run, stored, [said(4, sample=sample) for sample in range(2)])
        assert missing(run, stored, asked) == [5, 3]
        assert missing(run, stored, asked, 2) == [5, 3, 2, 1]
        assert missing(run, stored, asked, 3) == asked
        assert missing(run, other, asked) == asked
        add(run, stored, [said(3)])
        assert missing(run, stored, asked) == [5]
        add(run, stored, [said(4, "", sample=1, status="failed")])
        assert missing(run, stored, asked, 2) == [5, 4, 3, 2, 1]


def test_a_run_of_before_there_were_explanations_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", (migrations.create_run, migrations.create_exemplars))
        with writing(tmp_path) as run:
            run.begin("collect", "1", {"images": "some"})
            run.finish("collect", {"n_images": 5})
    with pytest.raises(UnusablePath, match="older seesay.*run seesay collect or explain on it"):
        Run.open(tmp_path)
    with writing(tmp_path) as run:
        add(run, add_setting(run, facts_of(), "m"), [said(1)])
    with Run.open(tmp_path) as run:
        assert run.subject == SUBJECT
        assert run.check_finished("collect") == {"n_images": 5}
        assert [explanations(run, each) for each in settings(run)] == [{1: [said(1)]}]


def test_a_calibration_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    curve = [{"value": 1.0, "score": 0.25}, {"value": 2.0, "score": None}]
    one = Calibration("k1", "steering", "world:M", "self-detection", Strength(2.0, "residual_norm"), curve)
    other = Calibration("k2", "hybrid", "world:M", "self-detection", Strength(0.5, "kl"), [])
    better = replace(one, strength=Strength(3.0), score="truth")
    with writing(tmp_path) as run:
        assert calibrations(run) == []
        for each in (one, other, better):
            add_calibration(run, each)
    with Run.open(tmp_path) as run:
        assert calibrations(run, "k1") == [better]
        assert calibrations(run, "k2") == [other]
        assert calibrations(run, "k3") == []
        assert sorted(calibrations(run), key=lambda each: each.key) == [better, other]


finite = st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(0, 2**63 - 1)
texts = st.text()
# Plain data, of which the tests make records: what checks their types draws at random, which strategies must not.
ways = st.sampled_from(
    [
        (method, control)
        for method, way in METHODS.items()
        for control in (None, *get_args(Control), *get_args(Ablation))
        if way.finds
        and ((way.steers and way.shows) or control in (None, *get_args(Control)) or (way.steers and control == "none"))
    ]
)
words = st.fixed_dictionaries(
    {
        "feature_id": ids,
        "text": texts,
        "raw_text": texts,
        "status": st.sampled_from(get_args(Status)),
        "coefficient": st.none() | finite,
        "mean_log_probability": st.none() | finite,
        "sample": st.integers(0, 1000),
        "image_ids": st.lists(ids, max_size=5).map(tuple),
        "donor_id": st.none() | ids,
        "seconds": st.floats(0, 1e6),
        "reason": texts,
    }
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run without anything in it, of which no kill shall be survived."""
    with writing(tmp_path_factory.mktemp("runs") / "empty") as run:
        run.rows("PRAGMA synchronous = OFF")
        yield run


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run with something in every table and column, for tests that put back what they change."""
    setting = replace(STEERING, control="permuted")
    with writing(tmp_path_factory.mktemp("runs") / "full") as run:
        stored = add_setting(run, facts_of(setting), "m")
        add(run, stored, [said(1, of=setting, mean_log_probability=-0.5, image_ids=(5, 6), donor_id=2, seconds=0.1)])
        add_calibration(run, Calibration("k", "steering", "m", "truth", Strength(2.0), [{"value": 1.0}]))
        run.rows("PRAGMA ignore_check_constraints = ON")
        everything_as_json(run)
        yield run


@contextmanager
def altered(run: Run, statement: str, *values: Any) -> Iterator[None]:
    """Do to a run what a stranger may have done, and put it back."""
    run.rows("BEGIN")
    try:
        run.connection.execute(statement, values)
        yield
    finally:
        run.rows("ROLLBACK")


@given(ways, finite, st.sampled_from(get_args(StrengthUnit)), texts, st.lists(words, max_size=4))
def test_what_is_written_is_read(
    empty: Run, way: tuple[Any, Any], value: float, unit: StrengthUnit, differs_in: str, drawn: list[dict[str, Any]]
) -> None:
    method, control = way
    strength = Strength(value, unit) if METHODS[method].steers and control != "none" else None
    setting = Setting(method, strength, control)
    stored = add_setting(empty, facts_of(setting, encoder_differs_in=differs_in), "m")
    assert (stored.method, stored.control, stored.strength) == (method, control, strength)
    assert stored in settings(empty)
    common = {"method": method, "control": control, "strength": strength, "encoder_differs_in": differs_in}
    written = {(each["feature_id"], each["sample"]): Explanation(**each, **common) for each in drawn}
    empty.rows("DELETE FROM explanations WHERE setting_id = ?", (stored.setting_id,))
    add(empty, stored, written.values())
    read = [each for samples in explanations(empty, stored).values() for each in samples]
    assert read == [written[key] for key in sorted(written)]
    assert [each.seconds for each in read] == [written[key].seconds for key in sorted(written)]


def everything(run: Run) -> list[Any]:
    """All that a run tells of explanations."""
    stored = settings(run)
    said_in = [explanations(run, each) for each in stored]
    return [stored, said_in, [n_explained(run, each) for each in stored], calibrations(run)]


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE settings SET method = 'telepathy'",
        "UPDATE settings SET method = x'00'",
        "UPDATE settings SET control = 'placebo'",
        "UPDATE settings SET control = ''",
        "UPDATE settings SET strength = 'hard'",
        "UPDATE settings SET strength = 9e999",
        "UPDATE settings SET strength_unit = 'furlong'",
        "UPDATE settings SET strength_unit = NULL",
        "UPDATE settings SET seed = 'apple'",
        "UPDATE settings SET seed = 9e999",
        "UPDATE settings SET facts = '{'",
        "UPDATE settings SET facts = 'null'",
        "UPDATE settings SET facts = '7'",
        "UPDATE settings SET facts = x'ff00fe'",
        "UPDATE settings SET facts = '{\"strength\": NaN}'",
        f"UPDATE settings SET facts = '{DEEP}'",
        "UPDATE settings SET explainer = cast(x'ff' AS TEXT)",
        "UPDATE explanations SET status = 'splendid'",
        "UPDATE explanations SET status = x'6f6b'",
        "UPDATE explanations SET coefficient = 9e999",
        "UPDATE explanations SET coefficient = 'strong'",
        "UPDATE explanations SET mean_log_probability = -9e999",
        "UPDATE explanations SET mean_log_probability = x'00'",
        "UPDATE explanations SET seconds = 9e999",
        "UPDATE explanations SET seconds = 'nan'",
        "UPDATE explanations SET seconds = 'soon'",
        "UPDATE explanations SET sample = 'second'",
        "UPDATE explanations SET feature_id = 'x'",
        "UPDATE explanations SET feature_id = 9e999",
        "UPDATE explanations SET donor_id = 'y'",
        "UPDATE explanations SET donor_id = 9e999",
        "UPDATE explanations SET image_ids = '[1'",
        "UPDATE explanations SET image_ids = 'null'",
        "UPDATE explanations SET image_ids = '[Infinity]'",
        "UPDATE explanations SET image_ids = '[[1]]'",
        f"UPDATE explanations SET image_ids = '[{'9' * 5000}]'",
        f"UPDATE explanations SET image_ids = '{DEEP}'",
        "UPDATE explanations SET image_ids = '\"12\"'",
        "UPDATE explanations SET text = cast(x'ff' AS TEXT)",
        "UPDATE explanations SET text = x'00'",
        "UPDATE explanations SET reason = x'00'",
        "UPDATE settings SET explainer = x'00'",
        "UPDATE calibrations SET method = 'telepathy'",
        "UPDATE calibrations SET strength = 9e999",
        "UPDATE calibrations SET strength = 'hard'",
        "UPDATE calibrations SET strength_unit = 'furlong'",
        "UPDATE calibrations SET curve = '[1]'",
        "UPDATE calibrations SET curve = '{'",
        "UPDATE calibrations SET curve = '[{\"value\": NaN}]'",
        "UPDATE calibrations SET explainer = x'00'",
        f"UPDATE calibrations SET curve = '{DEEP}'",
        "DROP TABLE explanations",
        "ALTER TABLE settings DROP COLUMN facts",
    ],
)
def test_a_strangers_explanations_that_are_damaged_are_refused_in_one_line(damage: str, full: Run) -> None:
    with altered(full, damage), pytest.raises(UnusablePath) as caught:
        everything(full)
    assert "\n" not in str(caught.value)


COLUMNS = [
    (table, column)
    for table, columns in {
        "settings": "identity method control strength strength_unit seed explainer explainer_hash encoder_hash "
        "prompt_hash dtype facts",
        "explanations": "setting_id feature_id sample status text raw_text reason coefficient mean_log_probability "
        "image_ids donor_id seconds",
        "calibrations": "key method explainer score strength strength_unit curve made_at",
    }.items()
    for column in columns.split()
]
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
anything = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    jsons.map(json.dumps),
    st.dictionaries(st.text(), jsons).map(json.dumps),
)


def everything_as_json(run: Run) -> str:
    stored, said_in, counts, choices = everything(run)
    rows = [each for found in said_in for samples in found.values() for each in samples]
    return to_json([counts, [asdict(each) for each in (*stored, *rows, *choices)]])


@given(st.sampled_from(COLUMNS), anything)
def test_whatever_a_stranger_wrote_is_refused_or_can_be_passed_on(
    full: Run, place: tuple[str, str], value: Any
) -> None:
    table, column = place
    # Some the tables themselves refuse: two settings of one identity, a word where a number is a key.
    with suppress(sqlite3.IntegrityError), altered(full, f"UPDATE {table} SET {column} = ?", value):
        try:
            everything_as_json(full)
        except UnusablePath as error:
            assert len(str(error).splitlines()) == 1
