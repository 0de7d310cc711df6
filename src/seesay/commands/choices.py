"""Options that take one of a few words, or are not given at all."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args

from tyro.constructors import PrimitiveConstructorSpec

UNSET = "None"
"""How help shows that an option is not given by default; tyro says it of texts in the same way."""


def one_of(*literals: Any) -> PrimitiveConstructorSpec[Any]:
    """How tyro reads and shows an option that is one of some words, and None where it is not given.

    tyro's own way offers the word None, and the others in no order.

    Args:
        literals: the words, as `Literal`.
    """
    words: Sequence[str] = [word for literal in literals for word in get_args(literal)]

    def parse(given: list[str]) -> str:
        (word,) = given
        if word not in words:
            near = get_close_matches(word, words, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"got {word!r}, expected {', '.join(words)}{hint}")
        return word

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="|".join(words),
        instance_from_str=parse,
        is_instance=lambda instance: instance is None or instance in words,
        str_from_instance=lambda instance: [UNSET if instance is None else str(instance)],
    )
