"""Levels of explanations in `run.db`, by labeller; without torch, and checked, as it may be a stranger's."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, final, get_args

from seesay.records import Level
from seesay.store.checks import checked_text
from seesay.store.database import refusing, transaction
from seesay.store.run import DAMAGE, Run


@final
@dataclass(frozen=True)
class Label:
    """What an explanation speaks of.

    Args:
        text: its words.
        level: of them.
        raw_text: what the labeller said, untouched.
    """

    text: str
    level: Level
    raw_text: str


def unlabelled(run: Run, labeller: str) -> list[str]:
    """The different explanations of a run, in all settings, that a labeller has given no level yet.

    Args:
        run: may be a stranger's.
        labeller: identity of the labeller.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    rows = run.rows(
        "SELECT DISTINCT text FROM explanations WHERE status = 'ok' "
        "AND text NOT IN (SELECT text FROM labels WHERE labeller = ?) ORDER BY text",
        (labeller,),
    )
    try:
        return [checked_text(text) for (text,) in rows]
    except DAMAGE as error:
        raise run.damaged("an explanation", error) from error


def add_labels(run: Run, labeller: str, labels: Collection[Label]) -> None:
    """Write labels, all of them or none; they take the place of the labeller's earlier ones.

    Args:
        run: open to be written.
        labeller: identity of the labeller: a hash of all that its labels depend on but the text.
        labels: of different texts.
    """
    rows = [(labeller, each.text, each.level, each.raw_text) for each in labels]
    with refusing(run.folder), transaction(run.connection):
        run.connection.executemany(
            "INSERT OR REPLACE INTO labels (labeller, text, level, raw_text) VALUES (?,?,?,?)", rows
        )


def labels(run: Run, labeller: str) -> dict[str, Label]:
    """The labels that a labeller has given, by text.

    Args:
        run: may be a stranger's.
        labeller: identity of the labeller.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    query = "SELECT text, level, raw_text FROM labels WHERE labeller = ? ORDER BY text"
    return {label.text: label for label in (_label(run, *row) for row in run.rows(query, (labeller,)))}


def labellers(run: Run) -> dict[str, int]:
    """Who has given labels, by identity, and how many; those who gave most first.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    rows = run.rows("SELECT labeller, count(*) AS n FROM labels GROUP BY labeller ORDER BY n DESC, labeller")
    try:
        return {checked_text(labeller): int(n) for labeller, n in rows}
    except DAMAGE as error:
        raise run.damaged("the name of a labeller", error) from error


def _label(run: Run, text: Any, level: Any, raw_text: Any) -> Label:
    try:
        if level not in get_args(Level):
            raise ValueError(f"level {level!r}")
        return Label(checked_text(text), level, checked_text(raw_text))
    except DAMAGE as error:
        raise run.damaged(f"the level of {text!r}", error) from error
