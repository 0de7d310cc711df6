"""The numbers that can be compared, by name."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seesay.errors import UnknownChoice
from seesay.scorers.config import Measure, Score
from seesay.scorers.measures import title_of, value_of

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
        return self.name == value_of(self.score)

    @property
    def title(self) -> str:
        """What it is called where others are shown beside it."""
        return title_of(self.score, self.name)


def quantities(measures: Mapping[Score, Measure], *, everything: bool = False) -> list[Quantity]:
    """The numbers of some scores, in their order.

    Args:
        measures: of the scores.
        everything: also what comes with the number that stands for each.
    """
    return [
        Quantity(score, name)
        for score, measure in measures.items()
        for name in (measure.value, *(measure.others if everything else ()))
        if name not in _NO_MEASURE
    ]


def named(names: Sequence[str], measures: Mapping[Score, Measure]) -> list[Quantity]:
    """Look numbers up.

    Args:
        names: of scores, each of which means the number that stands for it, or of numbers that come with scores; such
            a name may belong to several scores, and then means all of them.
        measures: of all scores that there are.

    Raises:
        UnknownChoice: there is no such number.
    """
    known = [Quantity(score, name) for score, each in measures.items() for name in (each.value, *each.others)]
    found: list[Quantity] = []
    for name in names:
        meant = [each for each in known if name in (each.name, each.title)]
        meant = [each for each in known if each.score == name and each.is_primary] or meant
        if not meant:
            expected = ", ".join(dict.fromkeys((*measures, *(each.name for each in known))))
            raise UnknownChoice(
                f"score {name!r}",
                expected=f"some of {expected}",
                remedy="one of your own is known when it was computed: seesay score RUN --scorer FILE.py:CLASS",
            )
        found += [each for each in meant if each not in found]
    return found
