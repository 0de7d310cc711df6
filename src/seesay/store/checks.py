"""What is read out of a run that may be a stranger's, one value at a time; each says what is wrong as a `DAMAGE`."""

import math
from typing import Any, get_args

from seesay.explainers.config import METHODS
from seesay.records import Method, Strength, StrengthUnit
from seesay.store.run import parsed


def checked_method(value: Any) -> Method:
    """A method that there is."""
    if value not in METHODS:
        raise ValueError(f"method {value!r}")
    return value


def checked_strength(value: Any, unit: Any) -> Strength:
    """A finite strength in a unit that there is."""
    if unit not in get_args(StrengthUnit) or not math.isfinite(value):
        raise ValueError(f"strength {value!r} {unit!r}")
    return Strength(float(value), unit)


def checked_text(value: Any) -> str:
    """Words."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where words should be")
    return value


def checked_id(value: Any) -> int:
    """The number of a feature, a setting or a sample."""
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"number {value!r}")
    return value


def checked_ids(text: Any) -> tuple[int, ...]:
    """Numbers of images, out of JSON."""
    found = parsed(text)
    if not isinstance(found, list) or not all(isinstance(each, int) for each in found):
        raise TypeError(f"{text!r} where images' numbers should be")
    return tuple(found)


def checked_number(value: Any) -> float | None:
    """A finite number, or none."""
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{value!r} where a number should be")
    return None if value is None else float(value)
