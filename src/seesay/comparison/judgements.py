"""All that people say of a run's explanations, openly or blindly, as one list; who said it, but no rater's key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from seesay.errors import InvalidSetting
from seesay.records import WORTH, Verdict
from seesay.store.explanations import StoredSetting
from seesay.store.run import Run
from seesay.store.studies import Study, ratings, studies, study_items
from seesay.store.verdicts import verdicts
from seesay.texts import cell, one_line

COLUMNS = (
    "kind", "study", "item", "feature_id", "methods", "words", "decoy", "rater", "verdict", "note", "seconds", "time",
)  # fmt: skip
"""What a line of a table says: `kind` is blind or open; `decoy` is 1 for words of another feature, and empty for open
verdicts, which are of no decoys."""


@final
@dataclass(frozen=True)
class Judgement:
    """What one person says of some words.

    Args:
        study: the name of the blind study; None for a verdict that was given openly.
        item: its number in the study; None for an open verdict.
        feature_id: whose pictures were looked at.
        said_by: numbers of the settings whose words they are.
        text: the words.
        donor_id: the feature whose words they are, where they are a decoy.
        rater: who says it.
        verdict: whether the words are right.
        note: why, or empty.
        seconds: how long it took; None if nobody knows.
        given_at: when, in UTC.
    """

    study: str | None
    item: int | None
    feature_id: int
    said_by: tuple[int, ...]
    text: str
    donor_id: int | None
    rater: str
    verdict: Verdict
    note: str
    seconds: float | None
    given_at: str

    @property
    def is_blind(self) -> bool:
        """Whoever said it did not see whose words they are."""
        return self.study is not None

    @property
    def is_decoy(self) -> bool:
        """The words are another feature's."""
        return self.donor_id is not None

    @property
    def worth(self) -> float:
        """What the verdict counts: 1, 0.5 or 0."""
        return WORTH[self.verdict]


def judgements(run: Run, study: Study | None = None) -> list[Judgement]:
    """Read what people say: open verdicts first, then studies in their order; of items that are gone nobody says
    anything.

    Args:
        run: may be a stranger's.
        study: of it alone; None for all.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    found = [] if study is not None else list(_open(run))
    for each in studies(run) if study is None else [study]:
        found += _blind(run, each)
    return found


def study_named(run: Run, name: str) -> Study:
    """Find a study.

    Args:
        run: may be a stranger's.
        name: of the study.

    Raises:
        InvalidSetting: there is none of this name.
        UnusablePath: what the run says is damaged.
    """
    there = studies(run)
    for each in there:
        if each.name in (name, one_line(name)):
            return each
    raise InvalidSetting(
        f"the study {name!r}, which {run.folder} does not have",
        expected=f"one of {', '.join(each.name for each in there)}" if there else "a study that was begun",
        remedy="" if there else f"seesay people {run.folder} --begin NAME",
    )


def lines(found: Sequence[Judgement], settings: Sequence[StoredSetting]) -> Iterator[tuple[str | int | float, ...]]:
    """A table for spreadsheets and scripts: the heads, then one line for each judgement; what is not known is empty.

    Args:
        found: what people say.
        settings: of the run, with the names of the methods.
    """
    titles = {each.setting_id: each.title for each in settings}
    yield COLUMNS
    for each in found:
        yield (
            "blind" if each.is_blind else "open",
            cell(each.study or ""),
            "" if each.item is None else each.item,
            each.feature_id,
            cell("; ".join(dict.fromkeys(titles.get(one, "") for one in each.said_by))),
            cell(each.text),
            int(each.is_decoy) if each.is_blind else "",
            cell(each.rater),
            each.verdict,
            cell(each.note),
            "" if each.seconds is None else each.seconds,
            cell(each.given_at),
        )


def _open(run: Run) -> Iterator[Judgement]:
    for each in verdicts(run):
        yield Judgement(
            None,
            None,
            each.feature_id,
            (each.setting_id,),
            each.text,
            None,
            each.rater,
            each.verdict,
            each.note,
            None,
            each.given_at,
        )


def _blind(run: Run, study: Study) -> Iterator[Judgement]:
    items = {each.number: each for each in study_items(run, study.study_id)}
    for each in ratings(run, study.study_id):
        item = items.get(each.item)
        if item is None:
            continue
        yield Judgement(
            study.name,
            each.item,
            item.feature_id,
            item.said_by,
            item.text,
            item.donor_id,
            each.rater,
            each.verdict,
            each.note,
            each.seconds,
            each.given_at,
        )
