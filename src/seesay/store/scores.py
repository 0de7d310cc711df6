"""Scores in `run.db`, with how they were computed; without torch, and checked, as it may be a stranger's."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final, get_args

from seesay.facts import hash_of
from seesay.records import Aid
from seesay.scorers.config import SCORES, Measure, Score
from seesay.scorers.measures import measure_of
from seesay.scorers.scorer import Item, Measured
from seesay.store.checks import checked_id, checked_number, checked_text
from seesay.store.database import refusing, transaction
from seesay.store.run import DAMAGE, Run, parsed

_SCORING_COLUMNS = "scoring_id, identity, score, setting_id, aid, facts"
_COLUMNS = "feature_id, sample, text, value, others, details, reason, seconds"


@final
@dataclass(frozen=True)
class StoredScoring:
    """All that scores depend on but feature and words, as a run keeps it.

    Args:
        scoring_id: number in this run.
        identity: hash of `facts`, of the setting's and of the aid.
        score: what was measured.
        setting_id: in which setting the words were found; None for scores of features.
        aid: what was put in the words' place.
        facts: all of it, as plain data.
    """

    scoring_id: int
    identity: str
    score: Score
    setting_id: int | None
    aid: Aid | None
    facts: Mapping[str, Any]

    @property
    def measure(self) -> Measure:
        """What the score measures."""
        return measure_of(self.score, self.facts)

    @property
    def is_shared(self) -> bool:
        """Whether explainers were shown the images that it was computed on."""
        return self.facts.get("holding") == "shared"


@final
@dataclass(frozen=True)
class StoredScore:
    """One number with what it is of.

    Args:
        item: the feature, the words and their sample.
        measured: what came of it.
    """

    item: Item
    measured: Measured


def add_scoring(
    run: Run, score: Score, facts: Mapping[str, Any], setting_id: int | None = None, aid: Aid | None = None
) -> StoredScoring:
    """Note how scores are computed, or find it.

    Args:
        run: open to be written.
        score: what is measured.
        facts: all that the numbers depend on but feature and words, as the scorer gives them.
        setting_id: whose explanations; see [seesay.store.explanations.StoredSetting][]; None for scores of features.
        aid: what is put in their place.
    """
    plain = dict(facts)
    assert _is_of_words(score, plain) in (None, setting_id is not None), f"{score} of setting {setting_id}"
    identity = hash_of({"score": score, "setting_id": setting_id, "aid": aid, "facts": plain})
    row = (identity, score, setting_id, aid or "", json.dumps(plain, allow_nan=False))
    with refusing(run.folder), transaction(run.connection):
        run.connection.execute(
            "INSERT OR IGNORE INTO scorings (identity, score, setting_id, aid, facts) VALUES (?,?,?,?,?)", row
        )
    (row,) = run.rows(f"SELECT {_SCORING_COLUMNS} FROM scorings WHERE identity = ?", (identity,))
    found = _scoring(run, row)
    if (found.score, found.setting_id, found.aid) != (score, setting_id, aid):
        raise run.damaged(f"scoring {found.scoring_id}", ValueError("it is another one than its identity says"))
    return found


def scorings(run: Run) -> list[StoredScoring]:
    """All ways in which scores were computed, in the order in which that began.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: what it says is damaged.
    """
    rows = run.rows(f"SELECT {_SCORING_COLUMNS} FROM scorings ORDER BY scoring_id")
    return [_scoring(run, row) for row in rows]


def unscored(run: Run, scoring: StoredScoring, items: Sequence[Item]) -> list[Item]:
    """Those of some items that have no score yet, or one of other words.

    Args:
        run: may be a stranger's.
        scoring: how they are scored.
        items: all that are to be.
    """
    query = "SELECT feature_id, sample, text FROM scores WHERE scoring_id = ?"
    done = {(feature_id, sample): text for feature_id, sample, text in run.rows(query, (scoring.scoring_id,))}
    return [item for item in items if done.get((item.feature_id, item.sample)) != item.text]


def add_scores(
    run: Run, scoring: StoredScoring, found: Collection[tuple[Item, Measured]], seconds: float = 0.0
) -> None:
    """Write scores, all of them or none; they take the place of those of other words.

    Args:
        run: open to be written.
        scoring: how they were computed.
        found: what came of each item; NaN is refused, as it is no number.
        seconds: that they took, together.
    """
    share = seconds / max(len(found), 1)
    rows = [
        (
            scoring.scoring_id,
            item.feature_id,
            item.sample,
            item.text,
            _finite(measured.value),
            json.dumps(dict(measured.others), allow_nan=False),
            json.dumps({name: list(values) for name, values in measured.details.items()}, allow_nan=False),
            measured.reason,
            share,
        )
        for item, measured in found
    ]
    with refusing(run.folder), transaction(run.connection):
        run.connection.executemany(
            f"INSERT OR REPLACE INTO scores (scoring_id, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows
        )


def scores(run: Run, scoring: StoredScoring, within: range | None = None) -> dict[int, list[StoredScore]]:
    """The scores that were computed in one way.

    Args:
        run: may be a stranger's.
        scoring: which way.
        within: of features with these ids; None for all.

    Returns:
        By feature, in the order of their ids, all samples.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    limits = () if within is None else (within.start, within.stop - 1)
    of_ids = "" if within is None else "AND feature_id BETWEEN ? AND ?"
    query = f"SELECT {_COLUMNS} FROM scores WHERE scoring_id = ? {of_ids} ORDER BY feature_id, sample"
    found: dict[int, list[StoredScore]] = {}
    for row in run.rows(query, (scoring.scoring_id, *limits)):
        score = _score(run, row)
        found.setdefault(score.item.feature_id, []).append(score)
    return found


def scored_features(run: Run, scoring: StoredScoring) -> list[int]:
    """The features that were scored in one way, each as often as it has samples; without their numbers.

    Args:
        run: may be a stranger's.
        scoring: which way.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    try:
        query = "SELECT feature_id FROM scores WHERE scoring_id = ?"
        return [checked_id(feature_id) for (feature_id,) in run.rows(query, (scoring.scoring_id,))]
    except DAMAGE as error:
        raise run.damaged("a feature's number", error) from error


def scores_of_feature(run: Run, feature_id: int) -> list[tuple[StoredScoring, StoredScore]]:
    """All scores of one feature, of its words and of itself, in the order in which scoring began.

    Args:
        run: may be a stranger's.
        feature_id: of the feature.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    by_id = {scoring.scoring_id: scoring for scoring in scorings(run)}
    query = f"SELECT scoring_id, {_COLUMNS} FROM scores WHERE feature_id = ? ORDER BY scoring_id, sample"
    rows = run.rows(query, (feature_id,))
    return [(by_id[scoring_id], _score(run, row)) for scoring_id, *row in rows if scoring_id in by_id]


def seconds_of(run: Run, scoring: StoredScoring) -> float:
    """How long it took to compute all scores of one way.

    Args:
        run: may be a stranger's.
        scoring: which way.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    ((total,),) = run.rows("SELECT coalesce(sum(seconds), 0.0) FROM scores WHERE scoring_id = ?", (scoring.scoring_id,))
    try:
        return _number(total)
    except DAMAGE as error:
        raise run.damaged(f"the time that {scoring.score} took", error) from error


def _finite(value: float | None) -> float | None:
    assert value is None or math.isfinite(value), f"a score of {value}"
    return value


def _scoring(run: Run, row: Sequence[Any]) -> StoredScoring:
    scoring_id, identity, score, setting_id, aid, facts = row
    try:
        if aid not in ("", *get_args(Aid)):
            raise ValueError(f"aid {aid!r}")
        found = StoredScoring(
            scoring_id=int(scoring_id),
            identity=checked_text(identity),
            score=checked_text(score),
            setting_id=None if setting_id is None else checked_id(setting_id),
            aid=aid or None,
            facts=dict(parsed(facts)),
        )
        if "people" in found.measure.needs:  # what people say is kept nowhere as a number
            raise ValueError(f"score {score!r}")
        if _is_of_words(found.score, found.facts) not in (None, found.setting_id is not None):
            raise ValueError(f"setting {setting_id!r} of score {score!r}")
        return found
    except DAMAGE as error:
        raise run.damaged(f"scoring {scoring_id!r}", error) from error


def _is_of_words(score: Score, facts: Mapping[str, Any]) -> bool | None:
    """Whether a score of a user's own measures words; None for seesay's."""
    measure = measure_of(score, facts)  # fails where nobody could read the score again
    return None if score in SCORES else measure.of_words


def _score(run: Run, row: Sequence[Any]) -> StoredScore:
    feature_id, sample, text, value, others, details, reason, _seconds = row
    try:
        numbers = {str(name): _number(number) for name, number in dict(parsed(others)).items()}
        lists = {str(name): _numbers(values) for name, values in dict(parsed(details)).items()}
        return StoredScore(
            Item(checked_id(feature_id), checked_text(text), checked_id(sample)),
            Measured(checked_number(value), numbers, lists, checked_text(reason)),
        )
    except DAMAGE as error:
        raise run.damaged(f"a score of feature {feature_id!r}", error) from error


def _number(value: Any) -> float:
    """A number, which `float` would also make of the text "nan"."""
    found = checked_number(value)
    if found is None:
        raise TypeError("nothing where a number should be")
    return found


def _numbers(values: Any) -> list[float]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} where numbers should be")
    return [_number(value) for value in values]
