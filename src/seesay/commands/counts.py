"""Numbers of things on the command line: whole, and at least one."""

import re
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


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
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="N",
        instance_from_str=parse_count,
        is_instance=lambda instance: isinstance(instance, int),
        str_from_instance=lambda count: [str(count)],
    ),
]
"""A whole number of at least 1."""
