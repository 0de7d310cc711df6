"""Whole numbers on the command line: counts of things, at least one, and seeds, at least zero."""

import re
from collections.abc import Callable
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from seesay.commands.choices import UNSET

_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


def _whole_number(parse: Callable[[list[str]], int]) -> PrimitiveConstructorSpec[int]:
    """How tyro reads and shows a whole number whose bounds `parse` checks."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="N",
        instance_from_str=parse,
        is_instance=lambda instance: isinstance(instance, int),
        str_from_instance=lambda number: [str(number)],
    )


def parse_count(words: list[str]) -> int:
    """Read a count.

    Args:
        words: the one word that stands behind the flag.

    Raises:
        ValueError: if it is no whole number of at least 1; tyro shows it beside the flag.
    """
    (word,) = words
    if _DIGITS.fullmatch(word) is None or int(word) == 0:
        raise ValueError(f"got {word!r}, expected a whole number of at least 1")
    return int(word)


Count = Annotated[
    int,
    _whole_number(parse_count),
]
"""A whole number of at least 1."""


def _or_nothing(nothing: str, parse: Callable[[list[str]], int] = parse_count) -> PrimitiveConstructorSpec[int | None]:
    """How tyro reads and shows a whole number that need not be given."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="N",
        instance_from_str=parse,
        is_instance=lambda instance: instance is None or isinstance(instance, int),
        str_from_instance=lambda number: [nothing if number is None else str(number)],
    )


OptionalCount = Annotated[
    int | None,
    _or_nothing(UNSET),
]
"""The same, or None if it is not given."""

PresetCount = Annotated[
    int | None,
    _or_nothing("preset"),
]
"""The same, or what a preset says if it is not given."""

_MAX_SEED = 2**31 - 1


def parse_seed(words: list[str]) -> int:
    """Read a seed.

    Args:
        words: the one word that stands behind the flag.

    Raises:
        ValueError: if it is no whole number from 0 to 2 147 483 647, which every random generator takes.
    """
    (word,) = words
    if re.fullmatch(r"[0-9]{1,10}", word, re.ASCII) is None or int(word) > _MAX_SEED:
        raise ValueError(f"got {word!r}, expected a whole number from 0 to {_MAX_SEED}")
    return int(word)


Seed = Annotated[
    int,
    _whole_number(parse_seed),
]
"""The start of everything random: a whole number, 0 or more."""

OptionalNumber = Annotated[
    int | None,
    _or_nothing(UNSET, parse_seed),
]
"""A whole number, 0 or more, or None if it is not given."""
