"""What people found by steering and kept, in `run.db`; without torch, and checked, as it may be a stranger's."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from seesay.errors import FeatureNotFound, UnusablePath
from seesay.store.checks import checked_id, checked_number, checked_text
from seesay.store.database import refusing, transaction
from seesay.store.run import DAMAGE, Run, parsed
from seesay.store.verdicts import checked_name, now

_log = logging.getLogger(__name__)

LONGEST_TITLE = 120
"""Characters of what a bookmark is called."""

_COLUMNS = "bookmark_id, name, settings, answers, made_at"


@final
@dataclass(frozen=True)
class Reply:
    """What was said to one of its questions.

    Args:
        control: what took the feature's place: `none` if nothing was pushed, `random` for a random direction.
        strength: how hard it was pushed; None for not at all.
        unit: of the strength.
        coefficient: what it came to.
        status: how it came out.
        text: the words.
        raw_text: the model's own, untouched.
        reason: why there are none.
        log_probability: mean natural log-probability of each token; None if nothing was said.
    """

    control: str | None
    strength: float | None
    unit: str | None
    coefficient: float | None
    status: str
    text: str
    raw_text: str
    reason: str
    log_probability: float | None


@final
@dataclass(frozen=True)
class Bookmark:
    """What was asked of the model, and what it said.

    Args:
        bookmark_id: number in the run.
        name: what it is called.
        settings: of the question, as plain data.
        replies: what was said.
        made_at: when, in UTC.
    """

    bookmark_id: int
    name: str
    settings: Mapping[str, Any]
    replies: Sequence[Reply]
    made_at: str


def add_bookmark(
    run: Run,
    name: str,
    settings: Mapping[str, Any],
    replies: Sequence[Reply],
    picture: bytes | None = None,
) -> Bookmark:
    """Keep what was found.

    Args:
        run: open for a note, or to be written.
        name: what to call it.
        settings: of the question, as plain data.
        replies: what was said.
        picture: a PNG file of what was steered, if that was one's own.

    Raises:
        InvalidSetting: no name, or one that is too long.
        UnusablePath: the run cannot be written.
    """
    name = checked_name(name, "a bookmark", LONGEST_TITLE)
    made_at = now()
    with refusing(run.folder), transaction(run.connection):
        bookmark_id = run.connection.execute(
            "INSERT INTO bookmarks (name, settings, answers, made_at, picture) VALUES (?,?,?,?,?)",
            (name, json.dumps(settings), json.dumps([asdict(each) for each in replies]), made_at, picture),
        ).lastrowid
    assert bookmark_id is not None
    return Bookmark(bookmark_id, name, settings, replies, made_at)


def remove_bookmark(run: Run, bookmark_id: int) -> bool:
    """Forget what was kept, if it was.

    Args:
        run: open for a note, or to be written.
        bookmark_id: number in the run.

    Returns:
        Whether it was.

    Raises:
        UnusablePath: the run cannot be written.
    """
    with refusing(run.folder), transaction(run.connection):
        return run.connection.execute("DELETE FROM bookmarks WHERE bookmark_id = ?", (bookmark_id,)).rowcount > 0


def bookmarks(run: Run) -> list[Bookmark]:
    """All that was kept and can be read, the latest first: one that is damaged keeps no other from being had.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: the run cannot be read.
    """
    found: list[Bookmark] = []
    for row in run.rows(f"SELECT {_COLUMNS} FROM bookmarks ORDER BY bookmark_id DESC"):
        try:
            found.append(_bookmark(run, row))
        except UnusablePath as error:
            _log.warning("%s", error)
    return found


def bookmark(run: Run, bookmark_id: int) -> tuple[Bookmark, bytes | None]:
    """One of them, with its picture.

    Args:
        run: may be a stranger's.
        bookmark_id: from outside.

    Raises:
        FeatureNotFound: there is none.
        UnusablePath: what the run says is damaged.
    """
    rows = run.rows(f"SELECT {_COLUMNS}, picture FROM bookmarks WHERE bookmark_id = ?", (bookmark_id,))
    if not rows:
        raise no_bookmark(bookmark_id)
    *row, picture = rows[0]
    return _bookmark(run, row), picture if isinstance(picture, bytes) else None


def no_bookmark(bookmark_id: int) -> FeatureNotFound:
    """The error for a bookmark that there is not.

    Args:
        bookmark_id: from outside.
    """
    return FeatureNotFound(f"bookmark {bookmark_id}", expected="one of the run")


def _bookmark(run: Run, row: Sequence[Any]) -> Bookmark:
    bookmark_id, name, settings, answers, made_at = row
    try:
        replies = [_checked(Reply(**each)) for each in parsed(answers)]
        return Bookmark(
            checked_id(bookmark_id), checked_text(name), dict(parsed(settings)), replies, checked_text(made_at)
        )
    except DAMAGE as error:
        raise run.damaged(f"bookmark {bookmark_id!r}", error) from error


def _checked(reply: Reply) -> Reply:
    for text in (reply.status, reply.text, reply.raw_text, reply.reason):
        checked_text(text)
    for number in (reply.strength, reply.coefficient, reply.log_probability):
        checked_number(number)
    return reply
