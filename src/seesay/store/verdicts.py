"""What people say of explanations, in `run.db`; without torch, and checked, as it may be a stranger's."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, final, get_args

from seesay.errors import FeatureNotFound, InvalidSetting
from seesay.records import Verdict
from seesay.store.checks import checked_id, checked_text
from seesay.store.database import refusing, transaction
from seesay.store.run import DAMAGE, Run
from seesay.texts import one_line, shortened

LONGEST_NAME, LONGEST_NOTE = 60, 2000
"""Characters of a rater's name, and of a note."""

_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # which Unicode counts as letters and signs, but nobody sees

_COLUMNS = "setting_id, feature_id, sample, rater, text, verdict, note, given_at"


@final
@dataclass(frozen=True)
class Judged:
    """What one person says of one explanation.

    Args:
        setting_id: number of the setting in the run.
        feature_id: of the feature.
        sample: number among the answers about that feature.
        rater: who says it, as they call themselves.
        text: the words that were judged.
        verdict: whether they are right.
        note: why, or empty.
        given_at: when, in UTC.
    """

    setting_id: int
    feature_id: int
    sample: int
    rater: str
    text: str
    verdict: Verdict
    note: str = ""
    given_at: str = ""


def give(run: Run, judged: Judged) -> None:
    """Write a verdict; it takes the place of what the same rater said of the same explanation before.

    Args:
        run: open for a note, or to be written.
        judged: what is said, of whatever time.

    Raises:
        FeatureNotFound: the run has no such explanation, it is of a control, or its words are others by now.
        InvalidSetting: a rater without a name, or what is too long.
        UnusablePath: the run cannot be written.
    """
    rater = checked_name(judged.rater)
    check_said(judged.verdict, judged.note)
    with refusing(run.folder), transaction(run.connection):
        said = run.rows(
            "SELECT text FROM explanations JOIN settings USING (setting_id) "
            "WHERE setting_id = ? AND feature_id = ? AND sample = ? AND status = 'ok' AND control IS NULL",
            (judged.setting_id, judged.feature_id, judged.sample),
        )
        if said != [(judged.text,)]:
            raise FeatureNotFound(
                f"{shortened(judged.text)!r} of feature {judged.feature_id}",
                expected="words that the run holds, of no control",
                remedy="look at it again: they are others by now",
            )
        run.connection.execute(
            f"INSERT OR REPLACE INTO verdicts ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)",
            (
                judged.setting_id,
                judged.feature_id,
                judged.sample,
                rater,
                judged.text,
                judged.verdict,
                judged.note,
                now(),
            ),
        )


def take_back(run: Run, setting_id: int, feature_id: int, sample: int, rater: str) -> None:
    """Forget a verdict, if there is one.

    Args:
        run: open for a note, or to be written.
        setting_id: number of the setting in the run.
        feature_id: of the feature.
        sample: number among the answers about that feature.
        rater: whose.

    Raises:
        InvalidSetting: a rater without a name.
        UnusablePath: the run cannot be written.
    """
    rater = checked_name(rater)
    with refusing(run.folder), transaction(run.connection):
        run.connection.execute(
            "DELETE FROM verdicts WHERE setting_id = ? AND feature_id = ? AND sample = ? AND rater = ?",
            (setting_id, feature_id, sample, rater),
        )


def verdicts(run: Run, feature_id: int | None = None) -> list[Judged]:
    """What people say, of words that still stand there: of those that have been replaced nobody has said anything.

    Args:
        run: may be a stranger's.
        feature_id: of which feature; None for all.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    columns = ", ".join(f"verdicts.{name.strip()}" for name in _COLUMNS.split(","))
    query = f"SELECT {columns} FROM verdicts JOIN explanations USING (setting_id, feature_id, sample, text)"
    where, values = ("", ()) if feature_id is None else (" WHERE feature_id = ?", (feature_id,))
    return [
        _judged(run, row) for row in run.rows(f"{query}{where} ORDER BY setting_id, feature_id, sample, rater", values)
    ]


def checked_name(name: str, of: str = "a rater", longest: int = LONGEST_NAME) -> str:
    """A name as runs keep it: one line that anyone can see.

    Args:
        name: from outside.
        of: whose it is.
        longest: characters that it may have.

    Raises:
        InvalidSetting: nothing of it can be seen, it is too long, or no text.
    """
    expected = f"a name of at most {longest} characters"
    _check_is_text(name, f"the name of {of}")
    found = one_line(name)
    if not any(unicodedata.category(each)[0] in "LNPS" and each not in _BLANK_LETTERS for each in found):
        raise InvalidSetting(f"{of} without a name", expected=expected)
    if len(found) > longest:
        raise InvalidSetting(f"a name of {len(found)} characters", expected=expected)
    return found


def check_said(verdict: str, note: str) -> None:
    """Refuse what cannot be kept.

    Args:
        verdict: what is said.
        note: beside it.

    Raises:
        InvalidSetting: a verdict that there is not, or a note that is too long or no text.
    """
    if verdict not in get_args(Verdict):
        raise InvalidSetting(f"the verdict {verdict[:LONGEST_NAME]!r}", expected=", ".join(get_args(Verdict)))
    if len(note) > LONGEST_NOTE:
        raise InvalidSetting(f"a note of {len(note)} characters", expected=f"at most {LONGEST_NOTE}")
    _check_is_text(note, "a note")


def now() -> str:
    """The time as runs keep it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check_is_text(text: str, what: str) -> None:
    """Refuse what came of bytes that are no text, such as a terminal's: it cannot be kept, nor shown."""
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise InvalidSetting(f"{what}, which is no text", expected="UTF-8")


def _judged(run: Run, row: Sequence[Any]) -> Judged:
    setting_id, feature_id, sample, rater, text, verdict, note, given_at = row
    try:
        return Judged(
            checked_id(setting_id),
            checked_id(feature_id),
            checked_id(sample),
            checked_text(rater),
            checked_text(text),
            checked_verdict(verdict),
            checked_text(note),
            checked_text(given_at),
        )
    except DAMAGE as error:
        raise run.damaged(f"a verdict on feature {feature_id!r}", error) from error


def checked_verdict(value: Any) -> Verdict:
    """A verdict that there is."""
    if value not in get_args(Verdict):
        raise ValueError(f"verdict {value!r}")
    return value
