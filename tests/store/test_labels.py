"""Levels of explanations in a run: given once to each text, by each labeller for itself, and read with distrust."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnusablePath
from seesay.explainers.config import Setting
from seesay.records import Level
from seesay.store.explanations import add, add_setting
from seesay.store.labels import Label, add_labels, labellers, labels, unlabelled
from seesay.store.run import Run
from tests.store.test_explanations import altered, facts_of, said, writing

RED, DOG = Label("a red car", "low-level", "low"), Label("a dog", "high-level", "It is high-level.")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run with explanations in two settings, for tests that put back what they change."""
    with writing(tmp_path_factory.mktemp("runs") / "x") as run:
        run.rows("PRAGMA ignore_check_constraints = ON")
        topk = Setting("topk")
        add(run, add_setting(run, facts_of(), "m"), [said(1), said(2, "a dog"), said(3, "A dog"), said(4, "")])
        failed = said(5, "", of=topk, status="failed")
        add(run, add_setting(run, facts_of(topk), "m"), [said(1, of=topk), said(2, "a cat", of=topk), failed])
        yield run


def test_each_different_text_of_all_settings_is_to_be_labelled_once(full: Run) -> None:
    assert unlabelled(full, "me") == ["A dog", "a cat", "a dog", "a red car"]
    with altered(full, "SELECT 1"):
        full.connection.execute("INSERT INTO labels VALUES ('me', 'a dog', 'high-level', '')")
        assert unlabelled(full, "me") == ["A dog", "a cat", "a red car"]
        assert len(unlabelled(full, "you")) == 4


def test_what_one_labeller_says_is_nobody_elses(tmp_path: Path) -> None:
    with writing(tmp_path) as run:
        assert labellers(run) == {}
        add_labels(run, "me", [RED, DOG])
        add_labels(run, "you", [Label("a dog", "other", "?")])
        add_labels(run, "me", [])
    with Run.open(tmp_path) as run:
        assert labels(run, "me") == {"a dog": DOG, "a red car": RED}
        assert labels(run, "you") == {"a dog": Label("a dog", "other", "?")}
        assert labels(run, "nobody") == {}
        assert list(labellers(run).items()) == [("me", 2), ("you", 1)]


def test_labelling_again_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    again = Label("a dog", "other", "none of them")
    with writing(tmp_path) as run:
        add_labels(run, "me", [RED, DOG])
        add_labels(run, "me", [again])
        assert labels(run, "me") == {"a dog": again, "a red car": RED}


def test_all_of_a_batch_is_added_or_nothing(tmp_path: Path) -> None:
    with writing(tmp_path) as run:
        add_labels(run, "me", [DOG])
        refuse = "BEGIN SELECT RAISE(ABORT, 'no'); END"
        run.connection.execute(f"CREATE TEMP TRIGGER t BEFORE INSERT ON labels WHEN NEW.text = 'a red car' {refuse}")
        with pytest.raises(UnusablePath, match="no"):
            add_labels(run, "me", [Label("a cat", "high-level", ""), RED])
        assert labels(run, "me") == {"a dog": DOG}


levels: st.SearchStrategy[Level] = st.sampled_from(["low-level", "high-level", "other"])


@given(st.dictionaries(st.text(min_size=1), st.tuples(levels, st.text()), max_size=5), st.text())
def test_what_is_written_is_read(full: Run, given_labels: dict[str, tuple[Level, str]], labeller: str) -> None:
    written = {text: Label(text, *told) for text, told in given_labels.items()}
    full.connection.execute("DELETE FROM labels")
    add_labels(full, labeller, written.values())
    assert labels(full, labeller) == written
    full.connection.execute("DELETE FROM labels")


def everything(run: Run) -> list[object]:
    return [unlabelled(run, "me"), labellers(run), *(labels(run, labeller) for labeller in labellers(run))]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE labels SET level = 'splendid'",
        "UPDATE labels SET level = x'00'",
        "UPDATE labels SET text = x'00'",
        "UPDATE labels SET text = cast(x'ff' AS TEXT)",
        "UPDATE labels SET raw_text = x'00'",
        "UPDATE labels SET raw_text = cast(x'ff' AS TEXT)",
        "UPDATE labels SET labeller = x'00'",
        "UPDATE labels SET labeller = cast(x'ff' AS TEXT)",
        "UPDATE explanations SET text = x'00' WHERE feature_id = 1",
        "UPDATE explanations SET text = cast(x'ff' AS TEXT) WHERE feature_id = 1",
        "DROP TABLE labels",
    ],
)
def test_what_a_stranger_has_written_is_refused_in_a_line(full: Run, damage: str) -> None:
    with altered(full, "INSERT INTO labels VALUES ('me', 'a dog', 'high-level', '')"):
        everything(full)
        full.connection.execute(damage)
        with pytest.raises(UnusablePath) as error:
            everything(full)
        assert "\n" not in str(error.value)
