"""Which way of computing a score is compared, where runs hold several: numbers of different ways never mix."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from seesay.comparison.contender import AIDS, AidName, Contender, family_of, flattened
from seesay.comparison.shelf import Numbers, Shelf
from seesay.errors import InvalidSetting
from seesay.scorers.config import Holding, Measure, Score
from seesay.scorers.measures import asked_by, measure_of
from seesay.store.explanations import StoredSetting, settings
from seesay.store.run import Run
from seesay.store.scores import StoredScoring
from seesay.store.ways import comparable, way_of

_Way = dict[int, dict[int, StoredScoring]]
"""Of one way, by place of the contender and of the run: its scoring."""


@final
@dataclass(frozen=True, eq=False)
class Scored:
    """What is known of one score, all of it computed in one way.

    Args:
        score: which.
        facts: how it was computed.
        numbers: by place of the contender; of scores of features, under 0.
        aids: by place of the contender, what stands beside it.
        notes: what is left aside, in words.
    """

    score: Score
    facts: Mapping[str, Any]
    numbers: Mapping[int, Numbers]
    aids: Mapping[int, Mapping[AidName, Numbers]]
    notes: tuple[str, ...] = ()

    @property
    def measure(self) -> Measure:
        """What the score measures."""
        return measure_of(self.score, self.facts)

    @property
    def is_shared(self) -> bool:
        """It was computed on images that were shared with the explainers."""
        return self.facts.get("holding") == "shared"


@final
class Ways:
    """The ways in which runs' contenders were scored.

    Args:
        runs: may be strangers'.
        shelves: of each run, what it holds.
        contenders: who is compared.
        holding: on which images scores must have been computed; None for held-out ones where there are any.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        shelves: Sequence[Shelf],
        contenders: Sequence[Contender],
        holding: Holding | None = None,
    ) -> None:
        self._shelves, self._contenders = shelves, contenders
        self._holding: Holding | None = holding
        self._randoms = [[each for each in settings(run) if each.control == "random"] for run in runs]

    def of_words(self, score: Score) -> Scored | None:
        """What is known of a score of explanations, in the way that most contenders share.

        Args:
            score: which.

        Returns:
            None if there is nothing.

        Raises:
            InvalidSetting: each contender was scored in a way of its own.
        """
        found: dict[str, _Way] = defaultdict(lambda: defaultdict(dict))
        for number, contender in enumerate(self._contenders):
            for place, setting in contender.settings.items():
                for scoring in self._shelves[place].scorings(score, setting):
                    # One of the same way that came later differs in what is the contender's own.
                    found[way_of(scoring)][number][place] = scoring
        if not found:
            return None
        wanted = self._holding or "held-out"
        held = [way for way in found if _is_held(found[way], wanted)]
        if not held and self._holding is not None:
            return None
        best = max(
            held or found, key=lambda way: (len(found[way]), self._n_values(found[way]), _latest(found[way]), way)
        )
        n_scored = len({number for way in held or found for number in found[way]})
        if len(found[best]) == 1 < n_scored:
            raise self._none_shared(score, {way: found[way] for way in held or found})
        numbers = {number: self._merged(number, scorings) for number, scorings in sorted(found[best].items())}
        facts = _facts(found[best])
        return Scored(
            score,
            facts,
            numbers,
            {number: self._aids(score, number, best) for number in numbers},
            (
                *(self._left_aside(facts, found[best], found[way]) for way in found if way != best),
                *(note for number in numbers for note in self._unlike(score, number, best)),
            ),
        )

    def of_features(self, score: Score) -> Scored | None:
        """What is known of a score of features, in the way that most features share.

        Args:
            score: which.

        Returns:
            None if there is nothing.
        """
        found: dict[str, dict[int, StoredScoring]] = defaultdict(dict)
        for place, shelf in enumerate(self._shelves):
            for scoring in shelf.scorings(score, None):
                found[way_of(scoring)][place] = scoring
        if not found:
            return None
        merged = {way: self._merged(None, several) for way, several in found.items()}
        best = max(merged, key=lambda way: (max(map(len, merged[way].values.values())), way))
        facts = _first(found[best]).facts
        notes = [
            f"{score} was also computed in another way ({_differences(_first(several).facts, facts)}): left aside"
            for way, several in found.items()
            if way != best
        ]
        return Scored(score, facts, {0: merged[best]}, {}, tuple(notes))

    def _merged(self, number: int | None, scorings: Mapping[int, StoredScoring]) -> Numbers:
        found = Numbers()
        for place, scoring in scorings.items():
            setting = None if number is None else self._contenders[number].settings[place]
            found.add(self._shelves[place].numbers(scoring, setting))
        return found

    def _n_values(self, way: _Way) -> int:
        return sum(
            len(found) for number, several in way.items() for found in self._merged(number, several).values.values()
        )

    def _aids(self, score: Score, number: int, way: str) -> dict[AidName, Numbers]:
        """What stands beside a contender, computed in the same way."""
        found: dict[AidName, Numbers] = {aid: Numbers() for aid in AIDS}
        for place, setting in self._contenders[number].settings.items():
            shelf = self._shelves[place]
            for aid in ("permuted", "constant"):
                same = [each for each in shelf.scorings(score, setting, aid) if way_of(each) == way]
                if same:
                    found[aid].add(shelf.numbers(same[-1], setting))
            random = self._random(score, place, setting, way)
            if random is not None:
                found["random"].add(shelf.numbers(random[1], random[0]))
        return {aid: numbers for aid, numbers in found.items() if numbers.values}

    def _random(
        self, score: Score, place: int, setting: StoredSetting, way: str
    ) -> tuple[StoredSetting, StoredScoring] | None:
        """The random directions that stand beside a setting, and how they were scored."""
        for random in self._like(place, setting):
            same = [each for each in self._shelves[place].scorings(score, random) if way_of(each) == way]
            if same:
                return random, same[-1]
        return None

    def _unlike(self, score: Score, number: int, way: str) -> list[str]:
        """Where random directions that stand beside a contender were explained in another way than it."""
        contender, notes = self._contenders[number], list[str]()
        for place, setting in contender.settings.items():
            random = self._random(score, place, setting, way)
            if random is not None and _asked(random[0]) != _asked(setting):
                differs = _differences(_asked(random[0]), _asked(setting))
                notes.append(f"random directions beside {contender.name} were explained otherwise ({differs})")
        return list(dict.fromkeys(notes))

    def _like(self, place: int, setting: StoredSetting) -> list[StoredSetting]:
        """A run's random directions that were pushed as a contender's features are, the most alike first."""
        alike = [
            each
            for each in self._randoms[place]
            if each.method == setting.method and each.explainer_hash == setting.explainer_hash
        ]
        family = family_of(setting)
        return sorted(alike, key=lambda each: (family_of(each) != family, each.strength != setting.strength))

    def _none_shared(self, score: Score, found: Mapping[str, _Way]) -> InvalidSetting:
        first, second = list(found.values())[:2]
        names = [self._contenders[next(iter(way))].name for way in (first, second)]
        return InvalidSetting(
            f"{score} was computed in another way for {names[0]} than for {names[1]}: "
            f"{_differences(_facts(first), _facts(second))}",
            expected="numbers that were computed in one way",
            remedy=f"seesay score RUN {asked_by([score])} for all of them, or --methods that were scored in one way",
        )

    def _left_aside(self, facts: Mapping[str, Any], kept: _Way, other: _Way) -> str:
        score = _first(next(iter(other.values()))).score
        names = ", ".join(self._contenders[number].name for number in other)
        told = f"{score} of {names} was also computed in another way ({_differences(_facts(other), facts)})"
        without = [self._contenders[number].name for number in other if number not in kept]
        missing = f"; that of {', '.join(without)} in no other, so that it is missing here" if without else ""
        return f"{told}: left aside{missing}"


def _asked(setting: StoredSetting) -> Mapping[str, Any]:
    return {name: fact for name, fact in setting.facts.items() if name not in ("control", "seed")}


def _facts(way: _Way) -> Mapping[str, Any]:
    return comparable(_first(next(iter(way.values()))))


def _is_held(way: _Way, holding: Holding) -> bool:
    """Whether a score was computed on such images; one that looks at no images of the run is as good as any."""
    return _facts(way).get("holding", holding) == holding


def _latest(way: _Way) -> int:
    return max(each.scoring_id for scorings in way.values() for each in scorings.values())


def _first(scorings: Mapping[int, StoredScoring]) -> StoredScoring:
    return next(iter(scorings.values()))


def _differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In what two ways differ, in words."""
    first, second = flattened(mine), flattened(other)
    return (
        ", ".join(
            f"{name} {first.get(name, 'none')}, not {second.get(name, 'none')}"
            for name in dict.fromkeys((*first, *second))
            if first.get(name) != second.get(name)
        )
        or "what is too long to be told here"
    )
