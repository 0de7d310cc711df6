"""What a run keeps of a score of a user's own, which whoever reads it knows without that user's code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seesay.errors import UnusablePath
from seesay.scorers.config import SCORES, Measure
from seesay.scorers.measures import LONGEST_WHAT, MOST_OTHERS, as_fact
from seesay.store.measures import measured_by, measures
from seesay.store.run import Run
from seesay.store.scores import add_scoring, scorings
from tests.comparison.making import making, said

BREVITY = Measure("brevity", ("letters",), chance=0.25, what="how few words are there?")
FACT = as_fact(BREVITY)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with making(tmp_path / "run", 4) as run:
        topk = said(run, {0: "a frog"})
        add_scoring(run, "brevity", {"measure": FACT}, topk.setting_id)
        yield run


def change(run: Run, **columns: Any) -> None:
    run.rows(f"UPDATE scorings SET {', '.join(f'{name} = ?' for name in columns)}", tuple(columns.values()))


def test_what_is_written_is_read(run: Run) -> None:
    (scoring,) = scorings(run)
    assert scoring.measure == BREVITY
    assert measures(run) == {**SCORES, "brevity": BREVITY}


def test_seesays_own_come_first_in_their_order_and_then_the_others_by_name(run: Run) -> None:
    topk = said(run, {0: "a frog"}, prompt="what?")
    for name in ("zest", "clip", "acuity", "iou"):
        add_scoring(run, name, {"measure": FACT} if name not in SCORES else {}, topk.setting_id)
    assert list(measured_by(scorings(run))) == ["iou", "clip", "acuity", "brevity", "zest"]


def test_a_score_of_seesays_is_what_seesay_says_whatever_a_run_tells_of_it(run: Run) -> None:
    change(run, score="iou")
    assert scorings(run)[0].measure == SCORES["iou"]


@pytest.mark.parametrize(
    "name", ["Brevity", "a b", "", "x" * 41, "ünlike", "precision", "trust", "text", '"; DROP TABLE said; --', "<b>"]
)
def test_a_strangers_name_that_may_not_be_is_refused(name: str, run: Run) -> None:
    change(run, score=name)
    with pytest.raises(UnusablePath, match="scoring 1 in .* is damaged") as caught:
        measures(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fact",
    [
        None,
        7,
        "brevity",
        {},
        {**FACT, "what": 7},
        {**FACT, "what": ""},
        {**FACT, "what": "x" * (LONGEST_WHAT + 1)},
        {**FACT, "what": "\u001b[2J"},
        {**FACT, "what": "two\nlines"},
        {**FACT, "chance": "0.5"},
        {**FACT, "chance": True},
        {**FACT, "chance": 10**400},
        {**FACT, "others": "letters"},
        {**FACT, "others": [7]},
        {**FACT, "others": ["a b"]},
        {**FACT, "others": ["iou"]},
        {**FACT, "others": ["letters", "letters"]},
        {**FACT, "others": [f"n{each}" for each in range(MOST_OTHERS + 1)]},
        {**FACT, "of_words": 1},
        {**FACT, "of_words": False},
    ],
)
def test_a_strangers_measure_that_cannot_be_is_refused(fact: Any, run: Run) -> None:
    change(run, facts=json.dumps({"measure": fact}))
    with pytest.raises(UnusablePath, match="scoring 1 in .* is damaged") as caught:
        measures(run)
    assert "\n" not in str(caught.value)


def test_a_score_of_which_nobody_could_read_what_it_is_is_never_written(run: Run) -> None:
    with pytest.raises(ValueError, match="score 'beauty'"):
        add_scoring(run, "beauty", {}, 1)
    with pytest.raises(AssertionError, match="brevity of setting None"):
        add_scoring(run, "brevity", {"measure": FACT})
    assert len(scorings(run)) == 1
