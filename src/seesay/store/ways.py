"""Ways of computing a score: where a run holds several, numbers of different ones never mix, whoever reads them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from seesay.facts import hash_of
from seesay.scorers.config import AID, Score
from seesay.store.run import Run
from seesay.store.scores import StoredScoring, scorings

_OWN: Mapping[Score, frozenset[str]] = {
    "ground_truth": frozenset({"unsteered"}),
    "faithfulness": frozenset({"explainer", "dtype", "layer", "prompt", "opening", "start"}),
}
"""Facts that are each method's own by the score's definition, and so are no other way of computing it: what it names
with no intervention; the model that is pushed, where, and what it is asked."""


def comparable(scoring: StoredScoring) -> dict[str, Any]:
    """How a score was computed, as far as that must be the same for all that is compared.

    Args:
        scoring: as a run keeps it.
    """
    own = _OWN.get(scoring.score, frozenset[str]())
    return {name: fact for name, fact in scoring.facts.items() if name not in own and name != AID}


def way_of(scoring: StoredScoring) -> str:
    """A hash of how a score was computed.

    Args:
        scoring: as a run keeps it.
    """
    return hash_of(comparable(scoring))


def in_one_way(run: Run, score: Score) -> list[StoredScoring]:
    """How a run's own explanations were scored: in the way that was used for most settings, or else the latest.

    Ways that looked at images which explainers were shown are left out.

    Args:
        run: may be a stranger's.
        score: of words, or of features.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    return all_in_one_way(run).get(score, [])


def all_in_one_way(run: Run) -> dict[Score, list[StoredScoring]]:
    """The same for every score that the run's own explanations, or its features, have.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    found: dict[Score, dict[str, list[StoredScoring]]] = defaultdict(lambda: defaultdict(list))
    own = {each for (each,) in run.rows("SELECT setting_id FROM settings WHERE control IS NULL")}
    for each in scorings(run):
        is_own = each.aid is None and (each.setting_id in own if each.measure.of_words else each.setting_id is None)
        if is_own and not each.is_shared:
            found[each.score][way_of(each)].append(each)
    return {score: max(ways.values(), key=_use) for score, ways in found.items()}


def _use(same: Sequence[StoredScoring]) -> tuple[int, int]:
    return len(same), max(each.scoring_id for each in same)
