"""What people say is kept as they said it, beside whoever writes the run; and read with distrust."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seesay.errors import FeatureNotFound, InvalidSetting, UnusablePath
from seesay.explainers.config import Setting
from seesay.store.explanations import add, add_setting
from seesay.store.run import Run
from seesay.store.studies import (
    Rating,
    StudyItem,
    add_rater,
    begin_study,
    rate,
    rater_of,
    raters,
    ratings,
    studies,
    study_items,
)
from seesay.store.verdicts import Judged, give, take_back, verdicts
from tests.store.test_explanations import facts_of, said, writing

TOPK = Setting("topk")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with writing(tmp_path) as run:
        add(run, add_setting(run, facts_of(TOPK), "m"), [said(1, "a red car", of=TOPK), said(2, "a dog", of=TOPK)])
    return tmp_path


def test_a_verdict_takes_the_place_of_the_same_raters_and_of_nobody_elses(folder: Path) -> None:
    with Run.noting(folder) as run:
        give(run, Judged(1, 1, 0, "Ann", "a red car", "wrong"))
        give(run, Judged(1, 1, 0, "Bob", "a red car", "partly", "=1+1"))
        give(run, Judged(1, 1, 0, "Ann", "a red car", "right"))
    with Run.open(folder) as run:
        assert [(each.rater, each.verdict, each.note) for each in verdicts(run)] == [
            ("Ann", "right", ""),
            ("Bob", "partly", "=1+1"),
        ]
        assert verdicts(run, 2) == []
    with Run.noting(folder) as run:
        take_back(run, 1, 1, 0, "Ann")
        assert [each.rater for each in verdicts(run, 1)] == ["Bob"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (Judged(1, 1, 0, " ", "a red car", "right"), InvalidSetting),
        (Judged(1, 1, 0, "A" * 61, "a red car", "right"), InvalidSetting),
        (Judged(1, 1, 0, "Ann", "a red car", "right", "n" * 2001), InvalidSetting),
        (Judged(1, 1, 0, "\u200b", "a red car", "right"), InvalidSetting),
        (Judged(1, 1, 0, "\u200d", "a red car", "right"), InvalidSetting),
        (Judged(1, 1, 0, "\u3164", "a red car", "right"), InvalidSetting),
        (Judged(1, 1, 0, "q\udcff", "a red car", "right"), InvalidSetting),
        (Judged(1, 1, 0, "Ann", "a red car", "right", "n\udcff"), InvalidSetting),
        (Judged(1, 1, 0, "Ann", "a blue car", "right"), FeatureNotFound),
        (Judged(1, 3, 0, "Ann", "a red car", "right"), FeatureNotFound),
        (Judged(9, 1, 0, "Ann", "a red car", "right"), FeatureNotFound),
    ],
)
def test_what_cannot_be_kept_is_refused(folder: Path, wrong: Judged, error: type[Exception]) -> None:
    with Run.noting(folder) as run, pytest.raises(error):
        give(run, wrong)
    with Run.open(folder) as run:
        assert verdicts(run) == []


def test_of_a_control_nothing_is_said(folder: Path) -> None:
    control = Setting("topk", control="random")
    with Run.writing(folder) as run:
        add(run, add_setting(run, facts_of(control), "m"), [said(1, "a red car", of=control)])
        with pytest.raises(FeatureNotFound, match="of no control"):
            give(run, Judged(2, 1, 0, "Ann", "a red car", "right"))
        assert verdicts(run) == []


def test_a_verdict_is_of_its_words_alone(folder: Path) -> None:
    with Run.noting(folder) as run:
        give(run, Judged(1, 1, 0, "Ann", "a red car", "right"))
    with Run.writing(folder) as run:
        add(run, add_setting(run, facts_of(TOPK), "m"), [said(1, "a green car", of=TOPK)])
    with Run.open(folder) as run:
        assert verdicts(run) == []


def test_a_note_is_taken_while_a_stage_writes(folder: Path) -> None:
    with Run.writing(folder) as writer:
        with Run.noting(folder) as run:
            give(run, Judged(1, 1, 0, "Ann", "a red car", "right"))
        add(writer, add_setting(writer, facts_of(TOPK), "m"), [said(3, "a cat", of=TOPK)])
    with Run.open(folder) as run:
        assert len(verdicts(run)) == 1
    assert not list(folder.glob("run.db-*")), "a run at rest is one file"


def test_a_run_that_is_not_there_takes_no_note(tmp_path: Path) -> None:
    with pytest.raises(UnusablePath, match="no run"):
        Run.noting(tmp_path / "none")
    with pytest.raises(UnusablePath, match=r"no run\.db"):
        Run.noting(tmp_path)


def test_a_name_is_one_line_wherever_it_comes_from(folder: Path) -> None:
    with Run.noting(folder) as run:
        give(run, Judged(1, 1, 0, " Ann\n\0B ", "a red car", "right"))
        assert [each.rater for each in verdicts(run)] == ["Ann B"]
        take_back(run, 1, 1, 0, "Ann\tB")
        assert verdicts(run) == []
        study = begin_study(run, "the\nfirst", {}, ITEMS)
        assert studies(run) == [study]
        ann = add_rater(run, study.study_id, "Ann\r\nB")
        assert (study.name, ann.name) == ("the first", "Ann B")
        assert add_rater(run, study.study_id, "👩\u200d🔬").name == "👩\u200d🔬"
        with pytest.raises(InvalidSetting, match="no text"):
            rate(run, ann, Rating(0, ann.name, "right", "n\udcff"))
        for wrong in ("", "\u200b", "q\udcff", "A" * 61):
            with pytest.raises(InvalidSetting):
                take_back(run, 1, 1, 0, wrong)
            with pytest.raises(InvalidSetting):
                add_rater(run, study.study_id, wrong)
            with pytest.raises(InvalidSetting):
                begin_study(run, wrong, {}, ITEMS)


ITEMS = (StudyItem(0, 1, "a red car", (1,), None, (7, 8)), StudyItem(1, 1, "a dog", (1,), 2, (7, 8)))


def test_a_study_is_kept_with_its_raters_and_what_they_say(folder: Path) -> None:
    with Run.noting(folder) as run:
        study = begin_study(run, "first", {"seed": 3}, ITEMS)
        ann, bob = (add_rater(run, study.study_id, name) for name in ("Ann", "Bob"))
        assert add_rater(run, study.study_id, "Ann") == ann, "whoever comes again is found"
        assert ann.key != bob.key
        rate(run, ann, Rating(0, "Ann", "right", seconds=4.0))
        rate(run, ann, Rating(0, "Ann", "wrong", "no", seconds=-1.0))
        rate(run, bob, Rating(1, "Bob", "partly"))
        with pytest.raises(FeatureNotFound, match="item 2"):
            rate(run, bob, Rating(2, "Bob", "partly"))
        with pytest.raises(InvalidSetting, match="which there is"):
            begin_study(run, "first", {}, ITEMS)
        with pytest.raises(FeatureNotFound, match="study 9"):
            add_rater(run, 9, "Ann")
    with Run.open(folder) as run:
        assert studies(run) == [study]
        assert study_items(run, study.study_id) == list(ITEMS)
        assert [each.is_decoy for each in study_items(run, study.study_id)] == [False, True]
        assert raters(run, study.study_id) == [ann, bob]
        assert (rater_of(run, bob.key), rater_of(run, "x")) == (bob, None)
        found = ratings(run, study.study_id)
        assert [(each.item, each.rater, each.verdict, each.note) for each in found] == [
            (0, "Ann", "wrong", "no"),
            (1, "Bob", "partly", ""),
        ]
        assert found[0].seconds == 0.0
        assert ratings(run, study.study_id, "Bob") == found[1:]


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("UPDATE verdicts SET note = x'00'", lambda run: verdicts(run)),
        ("UPDATE studies SET facts = 'x'", lambda run: studies(run)),
        ("UPDATE study_items SET image_ids = '{}'", lambda run: study_items(run, 1)),
        ("UPDATE raters SET name = x'00'", lambda run: raters(run, 1)),
        ("UPDATE ratings SET seconds = 9e999", lambda run: ratings(run, 1)),
    ],
)
def test_what_is_damaged_is_said_in_a_line(folder: Path, change: str, read: Callable[[Run], object]) -> None:
    with Run.noting(folder) as run:
        give(run, Judged(1, 1, 0, "Ann", "a red car", "right"))
        study = begin_study(run, "first", {}, ITEMS)
        rate(run, add_rater(run, study.study_id, "Ann"), Rating(0, "Ann", "right"))
        run.connection.execute(change)
        with pytest.raises(UnusablePath, match="is damaged"):
            read(run)


@pytest.mark.parametrize(
    "hidden",
    [
        "CREATE VIEW more AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "CREATE TRIGGER more AFTER INSERT ON verdicts BEGIN DELETE FROM explanations; END",
        "CREATE VIRTUAL TABLE more USING fts5 (text)",
    ],
)
def test_a_run_that_does_something_by_itself_is_refused(folder: Path, hidden: str) -> None:
    with Run.noting(folder) as run:
        run.connection.execute(hidden)
    for opened in (Run.open, Run.noting):
        with pytest.raises(UnusablePath, match="tables alone"):
            opened(folder)
