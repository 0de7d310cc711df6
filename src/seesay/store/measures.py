"""What the scores measure that runs hold, or can hold."""

from collections.abc import Iterable

from seesay.scorers.config import SCORES, Measure, Score
from seesay.store.run import Run
from seesay.store.scores import StoredScoring, scorings


def measured_by(found: Iterable[StoredScoring]) -> dict[Score, Measure]:
    """What some scores measure, by name: seesay's own first, then users' own, of which the latest counts.

    Args:
        found: how they were computed.
    """
    known = {each.score: each.measure for each in found}
    return {name: known[name] for name in (*SCORES, *sorted(known.keys() - SCORES.keys())) if name in known}


def measures(*runs: Run) -> dict[Score, Measure]:
    """What can be asked for of runs, by name: all of seesay's own scores, then users' own that are there.

    Args:
        runs: may be strangers'.

    Raises:
        UnusablePath: what one of them says is damaged.
    """
    return {**SCORES, **measured_by(each for run in runs for each in scorings(run))}
