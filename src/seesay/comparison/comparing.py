"""The arithmetic of a comparison: who is better by which number, on the same features, and what the number is worth."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from typing import final

import numpy as np
from jaxtyping import Bool, Int64

from seesay.comparison.contender import AidName, FeatureKey
from seesay.comparison.parts import Parts, parts_of
from seesay.comparison.people import PEOPLE
from seesay.comparison.quantities import Quantity
from seesay.comparison.reading import TRUTH, Contest
from seesay.comparison.results import Agreement, Comparison, Curve, Group, Kind, Pair, Point, Row, Standing, Values
from seesay.comparison.shelf import Numbers
from seesay.comparison.ways import Scored
from seesay.errors import InvalidSetting
from seesay.explainers.config import IMPORTED, MAY_HAVE_SEEN
from seesay.records import Level
from seesay.scorers.config import Score
from seesay.scorers.measures import asked_by
from seesay.statistics import Estimate, estimate, holm, paired, pooled_auc, rank_correlation

FEATURES = "the features"
"""What stands in a contender's place where features are measured, whatever is said of them."""

_MOST_OF = 0.9
"""Of the features that all others share; if a contender has less, that is told."""

_NEVER_COMPARED: frozenset[Score] = frozenset({"faithfulness"})
"""It asks a pushed model about pushed features: circular for methods that steer."""


def compare(
    contest: Contest,
    wanted: Sequence[Quantity],
    *,
    levels: Mapping[FeatureKey, Level] | None = None,
    seed: int = 0,
    on_number: Callable[[int], None] = lambda _n: None,
) -> Comparison:
    """Compare contenders by some numbers.

    Each number has its own features: those for which every contender that was scored by it has it. Failures of the
    machine and features without anything to be measured on are so dropped for all of them.

    Args:
        contest: all that runs hold.
        wanted: which numbers; those that nobody has are left out.
        levels: of what each feature stands for, to divide them by.
        seed: of resampling.
        on_number: told how many more numbers are done.

    Raises:
        InvalidSetting: there is nothing to compare.
    """
    parts = parts_of(contest, levels)
    standings: list[Standing] = []
    notes = list(contest.notes)
    for quantity in wanted:
        on_number(1)
        scored = contest.scored.get(quantity.score)
        field = None if scored is None else _Field.of(contest, scored, quantity)
        if scored is None or field is None:
            continue
        if field.keys:
            standings.append(_Comparing(contest, scored, quantity, field, parts, seed).standing())
        else:
            names = ", ".join(contest.contenders[number].name for number in field.numbers)
            notes.append(f"no feature has {quantity.title} for all of {names}: left out")
    if not standings:
        raise InvalidSetting(
            "; ".join(notes) or f"none of {', '.join(each.title for each in wanted)} is known of these features",
            expected="the same score of the same features for several methods",
            remedy=_remedy(contest, wanted),
        )
    return Comparison(tuple(standings), (*notes, *_of_imported(contest, [each.quantity.score for each in standings])))


def _remedy(contest: Contest, wanted: Sequence[Quantity]) -> str:
    """How to get the scores that are not there at all; those that are there are of other features for each."""
    run = contest.origins[0].runs[0]
    missing = [each for each in dict.fromkeys(each.score for each in wanted) if each not in contest.scored]
    computed = [each for each in missing if each != PEOPLE]
    remedies = [f"seesay score {run} {asked_by(computed)}"] if computed else []
    remedies += [f"seesay people {run} --begin NAME"] if PEOPLE in missing else []
    return ", or ".join(
        [*remedies, *([] if missing else ["give fewer --methods, or have all score the same features"])]
    )


def _of_imported(contest: Contest, scores: Collection[Score]) -> list[str]:
    """What nobody can tell of words that were made elsewhere, if they are scored on images that explainers may see."""
    imported = {number for number, each in enumerate(contest.contenders) if each.method == IMPORTED}
    is_held = any(
        contest.scored[score].facts.get("holding") == "held-out"
        and imported.intersection(contest.scored[score].numbers)
        for score in scores
        if contest.measures[score].of_words
    )
    return [MAY_HAVE_SEEN] if is_held else []


@final
class _Field:
    """Who has a number, and of which features all of them have it."""

    def __init__(self, numbers: Mapping[int, Mapping[FeatureKey, float]]) -> None:
        self.numbers = numbers
        common = frozenset[FeatureKey].intersection(*(frozenset(each) for each in numbers.values()))
        self.keys: tuple[FeatureKey, ...] = tuple(sorted(common))

    @classmethod
    def of(cls, contest: Contest, scored: Scored, quantity: Quantity) -> "_Field | None":
        found = {number: each.values.get(quantity.name, {}) for number, each in scored.numbers.items()}
        found = {number: values for number, values in found.items() if values}
        return cls(found) if found else None

    def values(self, number: int, keys: Sequence[FeatureKey]) -> Values:
        return np.array([self.numbers[number][key] for key in keys], dtype=np.float64)


@final
class _Comparing:
    """One number of all contenders, on the same features."""

    def __init__(
        self, contest: Contest, scored: Scored, quantity: Quantity, field: _Field, parts: Parts, seed: int
    ) -> None:
        self._contest, self._scored, self._quantity = contest, scored, quantity
        self._field, self._parts, self._seed = field, parts, seed
        self._keys = field.keys
        self._clusters = contest.clusters(self._keys)
        self._of_words = scored.measure.of_words

    def standing(self) -> Standing:
        measure, quantity = self._scored.measure, self._quantity
        rows = tuple(self._row(number) for number in self._field.numbers)
        beside = [found for row in rows if (found := row.is_separated) is not None]
        return Standing(
            quantity=quantity,
            what=measure.what,
            chance=measure.chance if quantity.is_primary else None,
            of_words=self._of_words,
            is_shared=self._scored.is_shared,
            is_informative=any(beside) if beside and quantity.is_primary else None,
            rows=rows,
            pairs=() if quantity.score in _NEVER_COMPARED else self._pairs(rows),
            groups={kind: self._groups(rows, kind) for kind in self._parts},
            curves=self._curves(rows),
            truth=self._agreement_with(TRUTH),
            people=self._agreement_with(PEOPLE),
            notes=(*self._scored.notes, *self._missing()),
            keys=self._keys,
        )

    def _row(self, number: int) -> Row:
        values = self._field.values(number, self._keys)
        common = frozenset(self._keys)
        aid_values: dict[AidName, dict[FeatureKey, float]] = {
            aid: {key: value for key, value in numbers.values.get(self._quantity.name, {}).items() if key in common}
            for aid, numbers in self._scored.aids.get(number, {}).items()
        }
        own = dict(zip(self._keys, values.tolist(), strict=True))
        contender = self._contest.contenders[number] if self._of_words else None
        return Row(
            contender=contender.name if contender else FEATURES,
            estimate=self._estimate(values),
            n_explained=contender.n_explained if contender else len(self._field.numbers[number]),
            aids={aid: self._of_aid(found) for aid, found in aid_values.items() if found},
            leads={aid: self._of_aid(_less(own, found)) for aid, found in aid_values.items() if found},
            pooled=self._pooled(self._scored.numbers[number]),
            values=values,
            aid_values=aid_values,
        )

    def _estimate(self, values: Values, is_in: Bool[np.ndarray, " feature"] | None = None) -> Estimate:
        clusters: Int64[np.ndarray, " feature"] = self._clusters
        if is_in is not None:
            values, clusters = values[is_in], clusters[is_in]
        return estimate(values, clusters, seed=self._seed)

    def _of_aid(self, found: Mapping[FeatureKey, float]) -> Estimate:
        keys = sorted(found)
        return estimate(np.array([found[key] for key in keys]), self._contest.clusters(keys), seed=self._seed)

    def _pooled(self, numbers: Numbers) -> float | None:
        if not (self._quantity.score == "auroc" and self._quantity.is_primary):
            return None
        groups = [
            (np.array(synthesised, dtype=np.float64), np.array(control, dtype=np.float64))
            for key in self._keys
            for synthesised, control in numbers.rocs.get(key, ())
        ]
        return pooled_auc(groups) if groups else None

    def _pairs(self, rows: Sequence[Row]) -> tuple[Pair, ...]:
        tested = [
            (first, second, paired(first.values, second.values, self._clusters, seed=self._seed))
            for first, second in combinations(rows, 2)
        ]
        adjusted = holm([found.p_value for _, _, found in tested])
        return tuple(
            Pair(
                first.contender,
                second.contender,
                found.difference,
                effect=found.effect,
                p_value=found.p_value,
                adjusted=p_value,
                n=found.n,
            )
            for (first, second, found), p_value in zip(tested, adjusted, strict=True)
        )

    def _groups(self, rows: Sequence[Row], kind: Kind) -> tuple[Group, ...]:
        found: list[Group] = []
        for name, members in self._parts[kind].items():
            is_in = np.array([key in members for key in self._keys])
            estimates = tuple(self._estimate(row.values, is_in) if is_in.any() else None for row in rows)
            found.append(Group(name, estimates, tuple(_aids_within(row, members) for row in rows)))
        return tuple(found)

    def _curves(self, rows: Sequence[Row]) -> tuple[Curve, ...]:
        families: dict[tuple[str, str], list[tuple[float, Row]]] = defaultdict(list)
        if not self._of_words:
            return ()
        for number, row in zip(self._field.numbers, rows, strict=True):
            contender = self._contest.contenders[number]
            if len(contender.strengths) == 1:
                (strength,) = contender.strengths
                families[contender.family, strength.unit].append((strength.value, row))
        found: list[Curve] = []
        for (_, unit), members in families.items():
            if len(members) > 1:
                members.sort(key=lambda each: each[0])
                points = tuple(Point(strength, row.estimate, row.aids) for strength, row in members)
                found.append(Curve(_in_common([row.contender for _, row in members]), unit, points))
        return tuple(found)

    def _agreement_with(self, measure: Score) -> Agreement | None:
        known = self._contest.scored.get(measure)
        other = None if known is None else _Field.of(self._contest, known, Quantity(measure, known.measure.value))
        if other is None or self._quantity.score == measure:
            return None
        keys = sorted(frozenset(other.keys) & frozenset(self._keys))
        both = {
            self._contest.contenders[number].name: (
                self._field.values(number if self._of_words else 0, keys),
                other.values(number, keys),
            )
            for number in other.numbers
            if number in self._field.numbers or not self._of_words
        }
        if not both or not keys:
            return None
        pooled = [np.concatenate([each[side] for each in both.values()]) for side in (0, 1)]
        by_contender = {name: rank_correlation(*each) for name, each in both.items()}
        return Agreement(by_contender, rank_correlation(*pooled), len(keys))

    def _missing(self) -> list[str]:
        if not self._of_words:
            return []
        without = [
            each.name for number, each in enumerate(self._contest.contenders) if number not in self._field.numbers
        ]
        notes = [f"without this score: {', '.join(without)}"] if without else []
        if len(self._field.numbers) > 1:
            notes += [note for number in self._field.numbers if (note := self._shrunk_by(number))]
        return notes

    def _shrunk_by(self, number: int) -> str:
        """Where one contender has the number of so few features that the comparison of all others suffers."""
        n_others = len(_Field({other: each for other, each in self._field.numbers.items() if other != number}).keys)
        if len(self._keys) >= _MOST_OF * n_others:
            return ""
        name = self._contest.contenders[number].name
        return (
            f"{name} has it for {len(self._keys)} of the {n_others} features that all others have: --methods without it"
        )


def _aids_within(row: Row, members: Collection[FeatureKey]) -> dict[AidName, float]:
    """The mean of what stands beside a contender, on some features."""
    own: dict[AidName, list[float]] = {
        aid: [value for key, value in values.items() if key in members] for aid, values in row.aid_values.items()
    }
    return {aid: float(np.mean(values)) for aid, values in own.items() if values}


def _less(own: Mapping[FeatureKey, float], aid: Mapping[FeatureKey, float]) -> dict[FeatureKey, float]:
    return {key: own[key] - value for key, value in aid.items()}


def _in_common(names: Sequence[str]) -> str:
    """What contenders of one family are called, which differ in strength alone."""
    parts = [name.split(", ") for name in names]
    return ", ".join(part for part in parts[0] if all(part in each for each in parts))
