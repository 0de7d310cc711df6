"""Probabilities that explanations are right, in `run.db`; without torch, and checked, as it may be a stranger's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from seesay.store.checks import checked_id, checked_number, checked_text
from seesay.store.database import refusing, transaction
from seesay.store.run import DAMAGE, Run, parsed


@final
@dataclass(frozen=True)
class Trusted:
    """How sure one can be of one explanation.

    Args:
        setting_id: in which it was found.
        feature_id: of the feature.
        sample: its number among the answers about that feature.
        text: the words that are meant.
        probability: that they are right.
    """

    setting_id: int
    feature_id: int
    sample: int
    text: str
    probability: float


def set_trust(run: Run, facts: Mapping[str, Any], trusted: Sequence[Trusted]) -> None:
    """Store probabilities; they take the place of all that were there.

    Args:
        run: open to be written.
        facts: how they were found, as plain data.
        trusted: of each explanation.
    """
    rows = [(each.setting_id, each.feature_id, each.sample, each.text, each.probability) for each in trusted]
    with refusing(run.folder), transaction(run.connection):
        run.connection.execute("DELETE FROM trust")
        run.connection.execute("DELETE FROM trusts")
        run.connection.execute("INSERT INTO trust VALUES (?)", (json.dumps(facts, allow_nan=False),))
        run.connection.executemany("INSERT INTO trusts VALUES (?,?,?,?,?)", rows)


def trust_facts(run: Run) -> dict[str, Any] | None:
    """How probabilities were found; None if there are none.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: what it says is damaged.
    """
    rows = run.rows("SELECT facts FROM trust")
    try:
        return dict(parsed(rows[0][0])) if rows else None
    except DAMAGE as error:
        raise run.damaged("how sure explanations are", error) from error


def trusts(run: Run, feature_id: int | range | None = None) -> list[Trusted]:
    """The probabilities.

    Args:
        run: may be a stranger's.
        feature_id: of one feature, or of those with ids in a range; None for all.

    Returns:
        By setting, feature and sample.

    Raises:
        UnusablePath: what it says is damaged.
    """
    query = "SELECT setting_id, feature_id, sample, text, probability FROM trusts"
    order = "ORDER BY setting_id, feature_id, sample"
    if feature_id is None:
        rows = run.rows(f"{query} {order}")
    else:
        first, last = (feature_id, feature_id) if isinstance(feature_id, int) else (feature_id[0], feature_id[-1])
        rows = run.rows(f"{query} WHERE feature_id BETWEEN ? AND ? {order}", (first, last))
    try:
        return [_trusted(row) for row in rows]
    except DAMAGE as error:
        raise run.damaged("how sure explanations are", error) from error


def _trusted(row: Sequence[Any]) -> Trusted:
    setting_id, feature_id, sample, text, probability = row
    number = checked_number(probability)
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"{probability!r} where a probability should be")
    return Trusted(checked_id(setting_id), checked_id(feature_id), checked_id(sample), checked_text(text), number)
