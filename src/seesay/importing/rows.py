"""Rows of explanations that were made elsewhere: each is checked, and says where it stands if it cannot be taken."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, final, get_args

from seesay.errors import UnreadableWords
from seesay.explainers.config import IMPORTED
from seesay.importing.config import LONGEST_NAME, LONGEST_TEXT, Reading
from seesay.records import Ablation, Control, Status
from seesay.texts import one_line, same_words, shortened

NAMING = ("name", "method", "explainer", "strength", "strength_unit")
"""The columns that say whose words they are; `name` alone does if it is there."""

OTHERS = ("sample", "control", "status", *NAMING)
"""The columns that are read where they are there."""

_CONTROLS = (*get_args(Control), *get_args(Ablation))
_MOST_DIGITS = 9  # as in a selection of features
_NOTHING, _NO_WORD = "nothing was said", "there is no word in it"


@final
@dataclass(frozen=True)
class Row:
    """One explanation.

    Args:
        place: where it stands, for people: a line of a file.
        feature_id: row of the SAE's decoder.
        text: the words as they are given, at most [seesay.importing.config.LONGEST_TEXT][] characters.
        sample: its number among those of the same feature, name and control.
        name: of whoever says it; empty if the row does not tell.
        control: what took the place of the feature; None for the feature itself, or if the row does not tell.
        reason: why there are no words, where something else says so than the text.
        raw: what `text` was before anything was taken from it; None if that is all of it.
    """

    place: str
    feature_id: int
    text: str
    sample: int = 0
    name: str = ""
    control: Control | Ablation | None = None
    reason: str = ""
    raw: str | None = None

    def outcome(self, placeholder: str | None) -> tuple[Status, str, str]:
        """How it came out, its cleaned words, and why there are none.

        Args:
            placeholder: a text that stands for no explanation.
        """
        words = one_line(self.text)
        if self.reason or not words:
            return "empty", "", self.reason or _NOTHING
        if placeholder and _plain(words) == _plain(placeholder):
            return "empty", "", f"{shortened(one_line(placeholder))!r} stands for no explanation"
        if not any(character.isalnum() for character in words):  # a lone full stop is no explanation
            return "empty", "", _NO_WORD
        return "ok", words, ""


def row_of(cells: Mapping[str, object], place: str, reading: Reading) -> Row | None:
    """Check a row.

    Args:
        cells: by the name of the column; None and an empty text are nothing.
        place: where the row stands.
        reading: what is what.

    Returns:
        None for a row that says that explaining failed: that is a matter of a machine, and no explanation.

    Raises:
        UnreadableWords: it cannot be taken.
    """
    status = _word(cells, "status")
    if status == "failed":
        return None
    control = _word(cells, "control")
    if control and control not in _CONTROLS:
        raise _bad(place, f"control {shortened(control)!r}", f"nothing, or one of {', '.join(_CONTROLS)}")
    return Row(
        place,
        checked_number(cells.get(reading.id_column), reading.id_column, place),
        checked_text(cells.get(reading.text_column), place),
        checked_number(cells.get("sample") or 0, "sample", place),
        _name_of(cells, place),
        cast("Control | Ablation | None", control or None),
    )


def checked_number(value: object, name: str, place: str) -> int:
    """The number of a feature or a sample.

    Args:
        value: of a cell: a whole number, or one in digits.
        name: what it is.
        place: where it stands.

    Raises:
        UnreadableWords: it is something else.
    """
    is_number = isinstance(value, int) and not isinstance(value, bool)
    digits = str(value).strip() if is_number or isinstance(value, str) else ""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        raise _bad(place, f"{name} {shortened(one_line(str(value)))!r}", "a whole number from 0")
    return int(digits)


def checked_text(value: object, place: str) -> str:
    """The words.

    Args:
        value: of a cell.
        place: where it stands.

    Raises:
        UnreadableWords: it is no text, too long, or no Unicode.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _bad(place, f"{shortened(one_line(str(value)))!r} where words should be", "a text")
    if len(value) > LONGEST_TEXT:
        raise _bad(place, f"a text of more than {LONGEST_TEXT} characters", "an explanation")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _bad(place, f"a text that is no Unicode: {error.reason}", "words") from error
    return value


def checked_name(name: str, place: str) -> str:
    """What whoever said the words is called.

    Args:
        name: as it is given.
        place: where it stands.

    Raises:
        UnreadableWords: it is empty, or too long.
    """
    cleaned = one_line(name)
    if not cleaned or len(cleaned) > LONGEST_NAME:
        raise _bad(place, f"name {shortened(cleaned)!r}", f"1 to {LONGEST_NAME} characters")
    return cleaned


def _name_of(cells: Mapping[str, object], place: str) -> str:
    """Whose words they are: `mine`, `topk`, or `steering by world:L at 2 residual_norm`; empty if nothing says it."""
    name, method, explainer, strength, unit = (_word(cells, column) for column in NAMING)
    if not name:
        method = "" if method == IMPORTED and explainer else method  # from another run, into which they were imported
        by = " by ".join(filter(None, (method, explainer)))
        at = " ".join(filter(None, (strength, unit))) if strength else ""
        name = " at ".join(filter(None, (by, at)))
    return checked_name(name, place) if name else ""


def _word(cells: Mapping[str, object], column: str) -> str:
    value = cells.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value).strip()


def _plain(text: str) -> str:
    return same_words(text).rstrip(".")


def _bad(place: str, what: str, expected: str) -> UnreadableWords:
    return UnreadableWords(
        f"{place}: {what}", expected=expected, remedy="nothing was imported: mend it, or leave it out"
    )
