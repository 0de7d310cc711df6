"""The numbers that can be compared, by name."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from seesay.errors import UnknownChoice
from seesay.scorers.config import SCORES, Score

_N_SHARING = Counter(name for measure in SCORES.values() for name in (measure.value, *measure.others))


_NO_MEASURE = frozenset({"unanswered", "coefficient", "named", "low_level"})
"""What comes with scores and is none: nobody is better for having more of it."""


class Quantity(NamedTuple):
    """A number that a score gives to a feature."""

    score: Score
    """What it is measured with."""

    name: str
    """Which of the score's numbers: the one that stands for it, or one that comes with it."""

    @property
    def is_primary(self) -> bool:
        """It is the number that stands for the score."""
        return self.name == SCORES[self.score].value

    @property
    def title(self) -> str:
        """What it is called where others are shown beside it."""
        return self.name if _N_SHARING[self.name] == 1 else f"{self.score} {self.name}"


def quantities(scores: Collection[Score], *, everything: bool = False) -> list[Quantity]:
    """The numbers of some scores, in the order of the list of scores.

    Args:
        scores: which.
        everything: also what comes with the number that stands for each.
    """
    return [
        Quantity(score, name)
        for score, measure in SCORES.items()
        if score in scores
        for name in (measure.value, *(measure.others if everything else ()))
        if name not in _NO_MEASURE
    ]


def named(names: Sequence[str]) -> list[Quantity]:
    """Look numbers up.

    Args:
        names: of scores, each of which means the number that stands for it, or of numbers that come with scores; such
            a name may belong to several scores, and then means all of them.

    Raises:
        UnknownChoice: there is no such number.
    """
    known = [Quantity(score, name) for score, each in SCORES.items() for name in (each.value, *each.others)]
    found: list[Quantity] = []
    for name in names:
        meant = [each for each in known if name in (each.name, each.title)]
        meant = [each for each in known if each.score == name and each.is_primary] or meant
        if not meant:
            expected = ", ".join(dict.fromkeys((*SCORES, *(each.name for each in known))))
            raise UnknownChoice(f"score {name!r}", expected=f"some of {expected}")
        found += [each for each in meant if each not in found]
    return found
