"""Which features: the small language of `--features`, `42` or `0-499,777`."""

import math
import re

from seesay.errors import FeatureNotFound

MAX_FEATURES = 1_000_000
"""More than any published dictionary of a vision encoder holds; a larger selection is a slip of the keyboard."""

_PART = re.compile(r"(?P<first>[0-9]{1,9})(?:\s*-\s*(?P<last>[0-9]{1,9}))?", re.ASCII)
_PUSH = re.compile(
    r"(?P<feature>[0-9]{1,9})\s*:\s*(?P<value>[+-]?[0-9]{0,9}\.?[0-9]{1,9}(e[+-]?[0-9]{1,2})?)", re.ASCII
)
_EXPECTED = "ids and ranges of ids with commas between, such as 42 or 0-499,777"


def parse_features(text: str) -> tuple[int, ...]:
    """Read a selection of features.

    Args:
        text: ids and inclusive ranges with commas between; blanks are allowed around both.

    Returns:
        The feature ids in the order given; never empty, none twice.

    Raises:
        FeatureNotFound: if the text is no such selection, names a feature twice, counts a range downwards, or selects
            more than `MAX_FEATURES`.
    """
    feature_ids: list[int] = []
    for part in text.split(","):
        feature_ids.extend(_parse_part(part.strip(), text))
        if len(feature_ids) > MAX_FEATURES:
            raise _too_many(text)
    _refuse_repeats(feature_ids)
    return tuple(feature_ids)


def parse_along(text: str | None) -> dict[int, float]:
    """Read features that are pushed along with others, each with how hard.

    Args:
        text: `17:-1.5,99:2`; None or empty for none.

    Returns:
        How hard, by feature, in the order given.

    Raises:
        FeatureNotFound: if the text is no such list, or names a feature twice.
    """
    found: list[tuple[int, float]] = []
    for part in (text or "").split(",") if text and text.strip() else ():
        match = _PUSH.fullmatch(part.strip())
        if match is None or not math.isfinite(float(match["value"])):
            raise FeatureNotFound(
                f"cannot read {_shorten(part.strip())!r} in {_shorten(text or '')!r}",
                expected="ids and how hard each is pushed, with commas between, such as 17:-1.5,99:2",
            )
        found.append((int(match["feature"]), float(match["value"])))
    _refuse_repeats([feature_id for feature_id, _value in found])
    return dict(found)


def _parse_part(part: str, text: str) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        what = (
            f"cannot read {_shorten(part)!r} in the features {_shorten(text)!r}"
            if text.strip()
            else "no features given"
        )
        raise FeatureNotFound(what, expected=_EXPECTED)
    first = int(match["first"])
    last = int(match["last"] or first)
    if last < first:
        raise FeatureNotFound(f"the range {part!r} counts downwards", expected=f"{last}-{first}")
    if last - first >= MAX_FEATURES:
        raise _too_many(text)
    return range(first, last + 1)


def _refuse_repeats(feature_ids: list[int]) -> None:
    seen: set[int] = set()
    for feature_id in feature_ids:
        if feature_id in seen:
            raise FeatureNotFound(f"feature {feature_id} is selected twice", expected="each feature once")
        seen.add(feature_id)


def _too_many(text: str) -> FeatureNotFound:
    return FeatureNotFound(
        f"the selection {_shorten(text)!r} holds more than {MAX_FEATURES:,} features",
        expected="features that the SAE has",
        remedy="check the end of the range",
    )


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
