"""What a scorer of a user's own gives for one item, of which nothing is known, made a `Measured` of plain data."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from seesay.errors import UnusableScorer
from seesay.scorers.config import Measure
from seesay.scorers.measures import as_number
from seesay.scorers.scorer import Measured
from seesay.texts import one_line, shortened, shown

LONGEST_REASON = 500
"""Characters of a reason that are kept: every table and page that shows it would be as long as it is."""

_OR_NONE = "a finite number, or None where nothing can be measured"
_OR_LEFT_OUT = "a finite number, or no such name where there is none"
_LISTS = "lists of finite numbers by name"


def checked_result(found: Any, measure: Measure) -> Measured:
    """What came of one item.

    Args:
        found: whatever the scorer gave.
        measure: what it measures, checked.

    Returns:
        The same in plain numbers, with its reason in a line of at most `LONGEST_REASON` characters.

    Raises:
        UnusableScorer: it is no `Measured`, or a part of it is not what it should be; `what` tells which.
    """
    if not isinstance(found, Measured):
        raise UnusableScorer(shown(found), expected="a Measured")
    given: Any = found  # whose parts nobody has checked
    named = _by_name("others", given.others, "finite numbers by name")
    others = {name: _number(value, f" as {_named(name)}", _OR_LEFT_OUT) for name, value in named.items()}
    unknown = sorted(others.keys() - set(measure.others))
    if unknown:
        known = ", ".join(measure.others) or "none"
        raise UnusableScorer(f"the number {_named(unknown[0])}", expected=f"those that measure.others names: {known}")
    return Measured(
        None if given.value is None else _number(given.value, "", _OR_NONE),
        others,
        {name: _numbers(name, values) for name, values in _by_name("details", given.details, _LISTS).items()},
        _reason(given.reason),
    )


def _by_name(part: str, given: Any, expected: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UnusableScorer(f"Measured({part}={shown(given)})", expected=expected)
    plain: dict[Any, Any] = dict(given)
    for name in plain:
        if not isinstance(name, str):
            raise UnusableScorer(f"Measured({part}={shown(given)})", expected=expected)
    return plain


def _numbers(name: str, given: Any) -> list[float]:
    where = f"the details {_named(name)}"
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        raise UnusableScorer(f"{shown(given)} as {where}", expected=_LISTS)
    values: Iterable[Any] = given
    return [_number(value, f" among {where}", "a finite number") for value in values]


def _number(given: Any, where: str, expected: str) -> float:
    number = as_number(given)
    if not math.isfinite(number):
        raise UnusableScorer(f"{shown(given)}{where}", expected=expected)
    return number


def _named(name: str) -> str:
    return shortened(one_line(name))


def _reason(given: Any) -> str:
    if not isinstance(given, str):
        raise UnusableScorer(f"the reason {shown(given)}", expected="words")
    kept = shortened(given, LONGEST_REASON)
    try:
        kept.encode()
    except UnicodeEncodeError as error:  # half a character, which no database takes
        raise UnusableScorer(f"the reason {shown(given)}", expected="words in Unicode") from error
    return one_line(kept)
