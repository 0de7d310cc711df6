"""What scores measure: seesay's own by a table, users' own by what is kept with their numbers.

A run tells what a score of a user's own measures, so that whoever reads it needs no code of that user, and runs none.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any

from seesay.errors import UnusableScorer
from seesay.scorers.config import SCORES, Measure, Need, Score
from seesay.texts import one_line, shortened, shown

MEASURE = "measure"
"""Under this name the facts of a scoring keep what a score of a user's own measures."""

NAME = "[a-z][a-z0-9_]{0,39}"
"""What scores of users' own, and their numbers, may be called."""

GIVEN: Mapping[Need, str] = MappingProxyType(
    {
        "segmenter": "segmenter",
        "embedder": "embedder",
        "judge": "judge",
        "subject": "activations",
    }
)
"""What a scorer of a user's own may need beside held-out exemplars, and the name under which it is given."""

RESERVED = frozenset({
    *("place", "run", "feature_id", "split", "frequency", "image_frequency", "max_activation", "disagreement"),
    *("n_said", "is_best", "is_first", "method", "explainer", "text", "sure", "level", "rowid", "oid"),
    *("id", "relevance", "activation", "trust"),
    *("score", "setting", "aid", "holding", "sample", "value", "reason"),
})  # fmt: skip
"""What something else is called wherever scores are listed: columns of tables, ways to sort these, and what comes with
every score."""

MOST_OTHERS, LONGEST_WHAT = 20, 200
"""Of a score of a user's own: numbers beside the one that stands for it, and characters of what it is in a line."""

_TEXTS = {"value": "the name of the score", "what": "what it measures in a line"}
_KNOWN: Mapping[Score, Measure] = {**SCORES}  # in which any name may be looked up
_N_SHARING = Counter(name for measure in SCORES.values() for name in (measure.value, *measure.others))
_TAKEN = RESERVED | SCORES.keys() | _N_SHARING.keys()


def measure_of(score: Score, facts: Mapping[str, Any]) -> Measure:
    """What a score measures.

    Args:
        score: its name.
        facts: how it was computed, as a run keeps them, which may be a stranger's.

    Raises:
        ValueError: neither seesay knows the score, nor do the facts tell what it is.
        TypeError: as above.
    """
    known = _KNOWN.get(score)
    return _read(score, facts.get(MEASURE)) if known is None else known


def value_of(score: Score) -> str:
    """The name of the number that stands for a score.

    Args:
        score: its name.
    """
    return _KNOWN[score].value if score in _KNOWN else score


def title_of(score: Score, name: str) -> str:
    """What a number is called where those of other scores are shown beside it.

    Args:
        score: that gives it.
        name: the number's.
    """
    return name if name == score or _N_SHARING[name] == 1 else f"{score} {name}"


def asked_by(scores: Sequence[Score]) -> str:
    """The options by which `seesay score` computes some scores.

    Args:
        scores: their names; at least one.
    """
    known = [score for score in scores if score in SCORES]
    parts = [f"--scores {','.join(known)}"] if known else []
    return " ".join([*parts, *(["--scorer FILE.py:CLASS"] if len(known) < len(scores) else [])])


def as_fact(measure: Measure) -> dict[str, Any]:
    """What a run keeps of what a score of a user's own measures, beside its name.

    Args:
        measure: that was checked.
    """
    return {
        "what": measure.what,
        "chance": measure.chance,
        "others": list(measure.others),
        "of_words": measure.of_words,
    }


def as_number(value: Any) -> float:
    """A number of whatever kind as a float.

    Args:
        value: of which nothing is known.

    Returns:
        NaN if it is no number, or none that a float can hold.
    """
    try:
        return math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except Exception:  # too large, or a number of the user's own that fails
        return math.nan


def checked_own(given: Any) -> Measure:
    """A score of a user's own, if it has names that nothing else has, and is told in a line.

    Args:
        given: a `Measure`, of whose parts nothing is known.

    Returns:
        The same, of plain parts: a chance that NumPy made, say, is a float.

    Raises:
        UnusableScorer: it has not.
    """
    measure = _plain(given)
    own = (measure.value, *measure.others)
    for name in own:
        if not re.fullmatch(NAME, name):
            raise UnusableScorer(
                f"the name {shown(name)}", expected="small letters, digits and _, at most 40 of them, a letter first"
            )
        if name in _TAKEN:
            raise UnusableScorer(
                f"the name {name}, which {_whose(name)}", expected="one that is free", remedy="choose another"
            )
    if len(set(own)) < len(own) or len(measure.others) > MOST_OTHERS:
        raise UnusableScorer(
            f"the numbers {shortened(', '.join(own), LONGEST_WHAT)}",
            expected=f"each once, and at most {MOST_OTHERS} beside {measure.value}",
        )
    if not measure.what or len(measure.what) > LONGEST_WHAT or one_line(measure.what) != measure.what:
        raise UnusableScorer(
            f"what is {shown(measure.what, LONGEST_WHAT)}",
            expected=f"what {measure.value} measures, in a line of at most {LONGEST_WHAT} characters",
        )
    if measure.chance is not None and not math.isfinite(measure.chance):
        raise UnusableScorer(f"chance is {shown(given.chance)}", expected="a finite number, or None")
    unknown = sorted(measure.needs - GIVEN.keys())
    if unknown:
        raise UnusableScorer(f"needs has {one_line(', '.join(unknown))}", expected=f"nothing but {', '.join(GIVEN)}")
    return measure


def _plain(given: Any) -> Measure:
    """What a measure says, each part of the type that it should have."""
    for part in _TEXTS:
        if not isinstance(getattr(given, part), str):
            raise UnusableScorer(f"{part} is {shown(getattr(given, part))}", expected=f"a text, {_TEXTS[part]}")
    if not isinstance(given.of_words, bool):
        raise UnusableScorer(f"of_words is {shown(given.of_words)}", expected="True or False")
    needs: Any = frozenset(_names("needs", given.needs, (frozenset, set, tuple, list)))
    chance = None if given.chance is None else as_number(given.chance)
    return Measure(
        given.value, _names("others", given.others, (tuple, list)), needs, chance, given.what, given.of_words
    )


def _names(part: str, given: Any, kinds: tuple[type, ...]) -> tuple[str, ...]:
    """Names, in their order, which sets have not; and a text is a sequence of letters."""
    if not isinstance(given, kinds) or not all(isinstance(name, str) for name in given):
        raise UnusableScorer(f"{part} is {shown(given)}", expected='names, such as ("one", "other")')
    return tuple(given)


def _whose(name: str) -> str:
    """Why a name is taken."""
    if name in SCORES:
        return "is one of seesay's own scores"
    for score, measure in SCORES.items():
        if name in (measure.value, *measure.others):
            return f"a number of seesay's own score {score} has"
    return "means something else where scores are listed"


def _read(score: Score, fact: Any) -> Measure:
    if not isinstance(fact, dict):
        raise ValueError(f"score {score!r}")
    what, chance, others, of_words = (fact.get(name) for name in ("what", "chance", "others", "of_words"))
    is_number = chance is None or (isinstance(chance, (int, float)) and not isinstance(chance, bool))
    if not (isinstance(what, str) and is_number and isinstance(others, list) and isinstance(of_words, bool)):
        raise TypeError(f"{fact!r} where it should stand what {score!r} measures")
    if not all(isinstance(name, str) for name in others):
        raise TypeError(f"{others!r} where names of numbers should be")
    worth = None if chance is None else float(chance)
    found = Measure(score, tuple(others), chance=worth, what=what, of_words=of_words)
    try:
        return checked_own(found)
    except UnusableScorer as error:
        raise ValueError(error.what) from error
