"""Words into a run: all or none, under their name, and once."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.comparison.reading import read
from seesay.errors import UnreadableWords, UnusablePath
from seesay.importing.keeping import bring, keep
from seesay.importing.rows import Row
from seesay.records import Explanation
from seesay.store.explanations import explanations, of_feature, settings
from seesay.store.run import Run
from tests.comparison.making import making, said


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with making(tmp_path / "run") as run:
        yield run


def rows(*told: tuple[int, str], name: str = "mine", **fields: object) -> Iterable[Row]:
    return (Row(f"line {n}", feature_id, text, name=name, **fields) for n, (feature_id, text) in enumerate(told))  # pyright: ignore[reportArgumentType]


def words(run: Run) -> dict[str, dict[int, list[str]]]:
    """All that a run holds, by name and control."""
    return {
        ", ".join(filter(None, (each.explainer, each.control))): {
            feature_id: [one.text for one in samples] for feature_id, samples in explanations(run, each).items()
        }
        for each in settings(run)
    }


def test_what_is_kept_is_an_explanation_like_any_other(run: Run) -> None:
    setting = keep(run, {3: "a  frog\x1b[31m", 5: ["a box", ""]}, "mine")
    assert (setting.method, setting.title, setting.explainer) == ("imported", "imported", "mine")
    assert (setting.control, setting.strength, setting.seed) == (None, None, None)
    assert of_feature(run, 3) == [
        (setting, [Explanation(3, "imported", None, "a frog[31m", "a  frog\x1b[31m", "ok", None, None)])
    ]
    assert [(each.text, each.status, each.reason) for each in explanations(run, setting)[5]] == [
        ("a box", "ok", ""),
        ("", "empty", "nothing was said"),
    ]


@pytest.mark.parametrize(("text", "reason"), [(" \n", "nothing was said"), ("...", "there is no word in it")])
def test_what_says_nothing_is_silence(run: Run, text: str, reason: str) -> None:
    setting = keep(run, {3: text}, "mine")
    ((only,),) = explanations(run, setting).values()
    assert (only.status, only.text, only.raw_text, only.reason) == ("empty", "", text, reason)


def test_names_and_controls_live_side_by_side(run: Run) -> None:
    keep(run, {3: "a frog"}, "mine")
    keep(run, {3: "a toad"}, "yours")
    keep(run, {3: "a box"}, "mine", control="random")
    assert words(run) == {"mine": {3: ["a frog"]}, "yours": {3: ["a toad"]}, "mine, random": {3: ["a box"]}}


def test_the_same_once_more_changes_nothing(run: Run) -> None:
    def changes() -> list[str]:
        return [each.change for each in bring(run, rows((5, "a box"), (3, "a frog")))]

    assert changes() == ["new"]
    before = list(run.connection.iterdump())
    assert changes() == ["same"]
    assert [each.change for each in bring(run, rows((3, "a frog"), (5, "a box")))] == ["same"], "in any order"
    assert list(run.connection.iterdump()) == before


def test_other_words_of_the_same_name_are_refused_unless_they_shall_replace(run: Run) -> None:
    keep(run, {3: "a frog", 5: "a box"}, "mine")
    for other in ({3: "a frog", 5: "a  box"}, {3: "a frog"}, {3: "a frog", 5: "a box", 7: "a tree"}):
        with pytest.raises(
            UnusablePath, match=r"holds other words by mine \(imported\); .* replace them \(--replace\)"
        ):
            keep(run, other, "mine")
        assert words(run) == {"mine": {3: ["a frog"], 5: ["a box"]}}
    keep(run, {7: "a tree"}, "mine", replace=True)
    assert words(run) == {"mine": {7: ["a tree"]}}


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ((60, "a tree"), "line 2: feature 60; expected one of the 60 features of .*, 0 to 59; nothing was imported"),
        ((3, "a tree"), "line 2: feature 3, sample 0 by mine for the second time; expected each once"),
    ],
)
def test_one_row_that_cannot_be_taken_leaves_the_run_as_it_was(run: Run, last: tuple[int, str], said: str) -> None:
    keep(run, {3: "a frog"}, "mine")
    before = list(run.connection.iterdump())
    with pytest.raises(UnreadableWords, match=said):
        bring(run, rows((3, "a toad"), (5, "a box"), last), replace=True)
    assert list(run.connection.iterdump()) == before


def test_an_interrupt_leaves_the_run_as_it_was(run: Run) -> None:
    before = list(run.connection.iterdump())

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(run, rows((3, "a frog")), on_rows=interrupted)
    assert list(run.connection.iterdump()) == before


@pytest.mark.parametrize(
    ("told", "name", "said"),
    [
        ({}, "mine", "there is no row"),
        ({3: []}, "mine", "there is no row"),
        ({-1: "a frog"}, "mine", "feature '-1'"),
        ({3: "a" * 2001}, "mine", r"words\[3\]: a text of more than 2000 characters"),
        ({3: "a frog"}, " ", "name ''; expected 1 to 200 characters"),
    ],
)
def test_what_cannot_be_kept_is_one_line(run: Run, told: dict[int, str], name: str, said: str) -> None:
    with pytest.raises(UnreadableWords, match=said):
        keep(run, told, name)
    assert settings(run) == []


def test_a_run_without_images_takes_any_feature(tmp_path: Path) -> None:
    with Run.writing(tmp_path / "new", {"subject": "tiny", "layer": 1, "sae": "x", "identity": "abc"}) as run:
        keep(run, {8191: "a frog"}, "mine")
        assert words(run) == {"mine": {8191: ["a frog"]}}


@given(
    st.dictionaries(
        st.integers(0, 59),
        st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3),
        min_size=1,
    )
)
def test_whatever_was_given_is_kept_as_raw_and_shown_on_one_line(
    tmp_path_factory: pytest.TempPathFactory, told: dict[int, list[str]]
) -> None:
    with making(tmp_path_factory.mktemp("runs") / "run") as run:
        found = explanations(run, keep(run, told, "mine"))
    assert {each: [one.raw_text for one in samples] for each, samples in found.items()} == told
    texts = [one.text for samples in found.values() for one in samples]
    assert all(text.isprintable() or "\u200c" in text or "\u200d" in text for text in texts)
    assert all((one.text == "") == (one.status == "empty") for samples in found.values() for one in samples)


def test_the_same_name_in_several_runs_is_one_contender_and_two_names_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "early", tmp_path / "late"]
    for layer, folder in enumerate(folders):
        with making(folder, layer=layer, identity=str(layer)) as run:
            keep(run, dict.fromkeys(range(60), f"block {layer}"), "mine")
            said(run, dict.fromkeys(range(60), "a red car"))
    with making(tmp_path / "late", layer=1, identity="1") as run:
        keep(run, dict.fromkeys(range(60), "else"), "yours")
    runs = [Run.open(folder) for folder in folders]
    assert [each.name for each in read(runs).contenders] == ["topk", "imported, by mine", "imported, by yours"]
    for each in runs:
        each.close()
