"""Blind studies in `run.db`: what is to be judged, by whom, and what was said; checked, as it may be a stranger's."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from seesay.errors import FeatureNotFound, InvalidSetting, UnusablePath
from seesay.records import Verdict
from seesay.store.checks import checked_id, checked_ids, checked_number, checked_text
from seesay.store.database import refusing, transaction
from seesay.store.run import DAMAGE, Run, parsed
from seesay.store.verdicts import check_said, checked_name, checked_verdict, now

_LONGEST_S = 86_400.0


@final
@dataclass(frozen=True)
class Study:
    """A blind study.

    Args:
        study_id: number in the run.
        name: what it is called.
        facts: how its items were chosen, as plain data.
        begun_at: when, in UTC.
    """

    study_id: int
    name: str
    facts: Mapping[str, Any]
    begun_at: str


@final
@dataclass(frozen=True)
class StudyItem:
    """Pictures of a feature and words, of which somebody says whether they are right.

    Args:
        number: in the study.
        feature_id: whose pictures are shown.
        text: the words.
        said_by: numbers of the settings whose words they are: of this feature, or of the one they are borrowed from.
        donor_id: the feature that they are borrowed from; None for this feature's own.
        image_ids: of the pictures, none of which any explainer was shown.
    """

    number: int
    feature_id: int
    text: str
    said_by: tuple[int, ...]
    donor_id: int | None
    image_ids: tuple[int, ...]

    @property
    def is_decoy(self) -> bool:
        """Whether the words are another feature's."""
        return self.donor_id is not None


@final
@dataclass(frozen=True)
class Rater:
    """Whoever judges.

    Args:
        name: unlike that of any other rater of the study.
        key: opens the rater's own pages.
        study_id: of the study.
    """

    name: str
    key: str
    study_id: int


@final
@dataclass(frozen=True)
class Rating:
    """What a rater says of an item.

    Args:
        item: its number.
        rater: by name.
        verdict: whether the words are right.
        note: why, or empty.
        seconds: how long it took; None if nobody knows.
        given_at: when, in UTC.
    """

    item: int
    rater: str
    verdict: Verdict
    note: str = ""
    seconds: float | None = None
    given_at: str = ""


def begin_study(run: Run, name: str, facts: Mapping[str, Any], items: Sequence[StudyItem]) -> Study:
    """Write a study, all of it or nothing.

    Args:
        run: open for a note, or to be written.
        name: unlike that of any other study of the run.
        facts: how its items were chosen, as plain data.
        items: at least one.

    Raises:
        InvalidSetting: a name that is taken, or that cannot be.
        UnusablePath: the run cannot be written.
    """
    name = checked_name(name, "a study")
    begun_at = now()
    rows = [
        (each.number, each.feature_id, each.text, json.dumps(each.said_by), each.donor_id, json.dumps(each.image_ids))
        for each in items
    ]
    with refusing(run.folder), transaction(run.connection):
        if run.rows("SELECT 1 FROM studies WHERE name = ?", (name,)):
            raise InvalidSetting(f"the study {name!r}, which there is", expected="another name")
        study_id = run.connection.execute(
            "INSERT INTO studies (name, facts, begun_at) VALUES (?,?,?)", (name, json.dumps(facts), begun_at)
        ).lastrowid
        assert study_id is not None
        run.connection.executemany(
            "INSERT INTO study_items (study_id, item, feature_id, text, said_by, donor_id, image_ids) "
            "VALUES (?,?,?,?,?,?,?)",
            [(study_id, *row) for row in rows],
        )
    return Study(study_id, name, facts, begun_at)


def add_rater(run: Run, study_id: int, name: str) -> Rater:
    """Let somebody judge, or find them.

    Args:
        run: open for a note, or to be written.
        study_id: of the study.
        name: as they call themselves.

    Raises:
        FeatureNotFound: there is no such study.
        InvalidSetting: a name that cannot be.
        UnusablePath: the run cannot be written.
    """
    name = checked_name(name)
    with refusing(run.folder), transaction(run.connection):
        if not run.rows("SELECT 1 FROM studies WHERE study_id = ?", (study_id,)):
            raise FeatureNotFound(f"study {study_id}", expected="one of the run")
        run.connection.execute(
            "INSERT OR IGNORE INTO raters (key, study_id, name) VALUES (?,?,?)",
            (secrets.token_urlsafe(16), study_id, name),
        )
        ((key,),) = run.rows("SELECT key FROM raters WHERE study_id = ? AND name = ?", (study_id, name))
    return Rater(name, key, study_id)


def rate(run: Run, rater: Rater, rating: Rating) -> None:
    """Write what a rater says of an item; it takes the place of what they said of it before.

    Args:
        run: open for a note, or to be written.
        rater: of the study that the item belongs to.
        rating: of whatever time.

    Raises:
        FeatureNotFound: the study has no such item.
        InvalidSetting: a verdict that there is not, or a note that is too long or no text.
        UnusablePath: the run cannot be written.
    """
    check_said(rating.verdict, rating.note)
    seconds = None if rating.seconds is None else min(max(0.0, rating.seconds), _LONGEST_S)
    with refusing(run.folder), transaction(run.connection):
        if not run.rows("SELECT 1 FROM study_items WHERE study_id = ? AND item = ?", (rater.study_id, rating.item)):
            raise FeatureNotFound(f"item {rating.item}", expected="one of the study")
        run.connection.execute(
            "INSERT OR REPLACE INTO ratings (study_id, item, rater, verdict, note, seconds, given_at) "
            "VALUES (?,?,?,?,?,?,?)",
            (rater.study_id, rating.item, rater.name, rating.verdict, rating.note, seconds, now()),
        )


def studies(run: Run) -> list[Study]:
    """All studies, in the order in which they were begun.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    return [_study(run, row) for row in run.rows(_STUDIES)]


def sound_studies(run: Run) -> tuple[list[Study], list[UnusablePath]]:
    """The same, without those that are damaged.

    Args:
        run: may be a stranger's.

    Returns:
        Studies, and what is wrong with the others.

    Raises:
        UnusablePath: nothing of them can be read.
    """
    found: list[Study] = []
    problems: list[UnusablePath] = []
    for row in run.rows(_STUDIES):
        try:
            found.append(_study(run, row))
        except UnusablePath as error:
            problems.append(error)
    return found, problems


def study_of(run: Run, study_id: int) -> Study:
    """A study, whatever is wrong with others.

    Args:
        run: may be a stranger's.
        study_id: from outside.

    Raises:
        FeatureNotFound: there is none.
        UnusablePath: what the run says is damaged.
    """
    for row in run.rows(_STUDIES):
        if row[0] == study_id:
            return _study(run, row)
    raise FeatureNotFound(f"study {study_id}", expected="one of the run")


def study_items(run: Run, study_id: int) -> list[StudyItem]:
    """What is judged in a study, in the order of its numbers.

    Args:
        run: may be a stranger's.
        study_id: of the study.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    query = (
        "SELECT item, feature_id, text, said_by, donor_id, image_ids FROM study_items WHERE study_id = ? ORDER BY item"
    )
    found: list[StudyItem] = []
    for number, feature_id, text, said_by, donor_id, image_ids in run.rows(query, (study_id,)):
        try:
            found.append(
                StudyItem(
                    checked_id(number),
                    checked_id(feature_id),
                    checked_text(text),
                    checked_ids(said_by),
                    None if donor_id is None else checked_id(donor_id),
                    checked_ids(image_ids),
                )
            )
        except DAMAGE as error:
            raise run.damaged(f"item {number!r} of a study", error) from error
    return found


def raters(run: Run, study_id: int) -> list[Rater]:
    """Who judges in a study, by name.

    Args:
        run: may be a stranger's.
        study_id: of the study.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    return [_rater(run, row) for row in run.rows(f"{_RATERS} WHERE study_id = ? ORDER BY name", (study_id,))]


def rater_of(run: Run, key: str) -> Rater | None:
    """Whose pages a key opens; None for nobody's.

    Args:
        run: may be a stranger's.
        key: from outside.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    rows = run.rows(f"{_RATERS} WHERE key = ?", (key,))
    return _rater(run, rows[0]) if rows else None


def ratings(run: Run, study_id: int, rater: str | None = None) -> list[Rating]:
    """What raters say, in the order of items.

    Args:
        run: may be a stranger's.
        study_id: of the study.
        rater: whose, by name; None for all.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    where, values = ("", ()) if rater is None else (" AND rater = ?", (rater,))
    query = f"SELECT item, rater, verdict, note, seconds, given_at FROM ratings WHERE study_id = ?{where}"
    found: list[Rating] = []
    for item, name, verdict, note, seconds, given_at in run.rows(f"{query} ORDER BY item, rater", (study_id, *values)):
        try:
            found.append(
                Rating(
                    checked_id(item),
                    checked_text(name),
                    checked_verdict(verdict),
                    checked_text(note),
                    checked_number(seconds),
                    checked_text(given_at),
                )
            )
        except DAMAGE as error:
            raise run.damaged(f"a rating of item {item!r}", error) from error
    return found


_STUDIES = "SELECT study_id, name, facts, begun_at FROM studies ORDER BY study_id"
_RATERS = "SELECT name, key, study_id FROM raters"


def _study(run: Run, row: Sequence[Any]) -> Study:
    study_id, name, facts, begun_at = row
    try:
        return Study(checked_id(study_id), checked_text(name), dict(parsed(facts)), checked_text(begun_at))
    except DAMAGE as error:
        raise run.damaged(f"study {name!r}", error) from error


def _rater(run: Run, row: Sequence[Any]) -> Rater:
    name, key, study_id = row
    try:
        return Rater(checked_text(name), checked_text(key), checked_id(study_id))
    except DAMAGE as error:
        raise run.damaged(f"the rater {name!r}", error) from error
