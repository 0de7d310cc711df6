"""Who is compared: a way of explaining, in one run or several, under a name that tells it from the others."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, final

from seesay.explainers.config import IMPORTED, METHODS
from seesay.facts import hash_of
from seesay.records import Method, Strength
from seesay.store.explanations import StoredSetting

AidName = Literal["random", "permuted", "constant"]
"""What stands beside a method, so that one sees what a score is worth: the words that a random direction brings,
another feature's words, or the same words for all."""

AIDS: tuple[AidName, ...] = ("random", "permuted", "constant")

_LONGEST_FACT = 24
_NO_PART_OF_A_FAMILY = frozenset({"control", "seed", "strength"})
_TOLD_FIRST = ("prompt", "explainer", "encoder")  # hashes and long texts: only if nothing else tells settings apart


class FeatureKey(NamedTuple):
    """A feature of one of the runs that are compared."""

    origin: int
    """Place of what it belongs to among [seesay.comparison.reading.Contest][]'s origins."""

    feature_id: int
    """Row of the SAE's decoder."""


@final
@dataclass(frozen=True, eq=False)
class Contender:
    """A way of explaining.

    Args:
        name: unlike that of any other.
        family: a hash of all that its words depend on but strength and seed.
        settings: by the place of the run, in which setting its explanations are kept.
        words: what it said, by feature, all samples but failures of the machine; an empty text where it said nothing.
        n_explained: features that it was asked for, failures among them.
        n_failed: features of which it has no sample but failures.
    """

    name: str
    family: str
    settings: Mapping[int, StoredSetting]
    words: Mapping[FeatureKey, Mapping[int, str]] = field(repr=False)
    n_explained: int
    n_failed: int

    @property
    def method(self) -> Method:
        """How it finds words."""
        return self._first.method

    @property
    def explainer(self) -> str:
        """Name of the model that speaks."""
        return self._first.explainer

    @property
    def strengths(self) -> tuple[Strength, ...]:
        """How hard it pushes: one strength, or several where each run has its own; none if it does not push."""
        found = (each.strength for each in self.settings.values())
        return tuple(dict.fromkeys(each for each in found if each is not None))

    def strength_in(self, places: Sequence[int]) -> str:
        """How hard it pushes in some runs, in words.

        Args:
            places: of the runs.
        """
        found = (each.strength for place, each in self.settings.items() if place in places)
        return in_words(tuple(dict.fromkeys(each for each in found if each is not None)))

    @property
    def _first(self) -> StoredSetting:
        return next(iter(self.settings.values()))


def in_words(strengths: Sequence[Strength]) -> str:
    """Strengths as a text.

    Args:
        strengths: of one contender.
    """
    units = dict.fromkeys(each.unit for each in strengths)
    if len(units) == 1:
        return f"{'/'.join(f'{each.value:g}' for each in strengths)} {next(iter(units))}"
    return ", ".join(f"{each.value:g} {each.unit}" for each in strengths)


def family_of(setting: StoredSetting) -> str:
    """A hash of all that words depend on but strength, control and seed.

    Args:
        setting: as a run keeps it.
    """
    return hash_of({name: fact for name, fact in setting.facts.items() if name not in _NO_PART_OF_A_FAMILY})


def put_together(runs: Sequence[Sequence[StoredSetting]], origins: Sequence[int]) -> list[dict[int, StoredSetting]]:
    """Find what is the same way of explaining in several runs.

    Settings are the same if their facts are. Strengths may differ between SAEs, as each is chosen for one: where
    features of none are explained at more than one strength, it counts as one contender whatever they are.

    Args:
        runs: of each run the settings that compete.
        origins: of each run what its features belong to.

    Returns:
        Of each contender its setting, by the place of the run.
    """
    families: dict[str, list[tuple[int, StoredSetting]]] = defaultdict(list)
    for place, competing in enumerate(runs):
        for setting in competing:
            families[family_of(setting) + str(setting.seed)].append((place, setting))
    found: list[dict[int, StoredSetting]] = []
    for members in families.values():
        strengths = {(origins[place], setting.strength) for place, setting in members}
        if len(strengths) == len({origin for origin, _ in strengths}):
            found.append(dict(members))
            continue
        by_strength: dict[Strength | None, dict[int, StoredSetting]] = defaultdict(dict)
        for place, setting in members:
            by_strength[setting.strength][place] = setting
        found += by_strength.values()
    return sorted(found, key=_order)


def names_of(contenders: Sequence[Mapping[int, StoredSetting]]) -> list[str]:
    """Name contenders by their method, and by what tells them apart where a method has several.

    Args:
        contenders: of each its setting, by the place of the run.
    """
    by_method: dict[str, list[int]] = defaultdict(list)
    for place, settings in enumerate(contenders):
        by_method[_any(settings).method].append(place)
    names = ["" for _ in contenders]
    for method, places in by_method.items():
        parts = _telling_apart([contenders[place] for place in places], start=_always_told)
        told = [", ".join((method, *each)) for each in parts]
        for number, place in enumerate(places):
            n_before = told[:number].count(told[number])
            names[place] = told[number] + (f" ({n_before + 1})" if n_before else "")
    return names


def apart(settings: Sequence[StoredSetting]) -> list[str]:
    """What tells settings apart that are called alike, such as `at 2 residual_norm`; nothing where there is but one.

    Args:
        settings: of one run.
    """
    alone = [{0: each} for each in settings]
    return [", ".join(each) for each in _telling_apart(alone, start=lambda _setting: [])]


def _telling_apart(
    contenders: Sequence[Mapping[int, StoredSetting]], start: Callable[[StoredSetting], list[str]]
) -> list[list[str]]:
    """Of each the facts, as few as will do, by which it is not another, after those that it starts with."""
    facts = [flattened(_any(settings).facts) for settings in contenders]
    others = {name for each in facts for name in each} - {"coarse", "strength value", "strength unit", *_TOLD_FIRST}
    tellers: list[Callable[[int], str]] = [
        lambda place: f"by {_any(contenders[place]).explainer}",
        lambda place: _pushing(contenders[place]),
        *(_teller(facts, name) for name in (*sorted(others), *_TOLD_FIRST)),
    ]
    parts = [start(_any(settings)) for settings in contenders]
    for tell in tellers:
        told = [tell(place) for place in range(len(contenders))]
        longer = [[*part, each] if each else part for part, each in zip(parts, told, strict=True)]
        if len({tuple(part) for part in longer}) > len({tuple(part) for part in parts}):
            parts = longer
    return parts


def _always_told(setting: StoredSetting) -> list[str]:
    """An approximation, and who said words that were made elsewhere."""
    return [
        *([f"coarse {setting.coarse}"] if setting.coarse != 1 else []),
        *([f"by {setting.explainer}"] if setting.method == IMPORTED else []),
    ]


def _teller(facts: Sequence[Mapping[str, str]], name: str) -> Callable[[int], str]:
    return lambda place: f"{name} {facts[place][name]}" if name in facts[place] else ""


def _pushing(settings: Mapping[int, StoredSetting]) -> str:
    strengths = tuple(dict.fromkeys(each.strength for each in settings.values() if each.strength is not None))
    return f"at {in_words(strengths)}" if strengths else ""


def flattened(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as texts on one level, as far as they are nested once, cut to what a table has room for.

    Args:
        facts: plain data, which may be a stranger's.
    """
    found: dict[str, str] = {}
    for name, fact in facts.items():
        if isinstance(fact, Mapping):
            found |= {f"{name} {inner}".replace("_", " "): _short(value) for inner, value in fact.items()}
        elif fact is not None:
            found[name.replace("_", " ")] = _short(fact)
    return found


def _short(fact: Any) -> str:
    text = fact if isinstance(fact, str) else json.dumps(fact)
    return text if len(text) <= _LONGEST_FACT else f"{text[: _LONGEST_FACT - 1]}…"


def _any(settings: Mapping[int, StoredSetting]) -> StoredSetting:
    return next(iter(settings.values()))


def _order(settings: Mapping[int, StoredSetting]) -> tuple[int, str, str, float]:
    first = _any(settings)
    strength = first.strength or Strength(0.0)
    return list(METHODS).index(first.method), first.explainer, strength.unit, strength.value
