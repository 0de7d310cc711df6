"""Runs into the numbers that claims are judged by."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Int64

from seesay.comparison.contender import AIDS, AidName, FeatureKey
from seesay.comparison.levels import labels_of, majority, noted_levels
from seesay.comparison.shelf import Shelf
from seesay.errors import UnusablePath
from seesay.explainers.config import METHODS as WAYS
from seesay.explainers.config import Setting
from seesay.records import Control, Decoding, Level, Method, Strength
from seesay.reproduction.claims import Numbers
from seesay.reproduction.protocol import METHODS, Protocol, called
from seesay.scorers.config import SCORES, KnownScore
from seesay.split import split_of
from seesay.statistics import Estimate, clusters_within, estimate
from seesay.store.calibrations import calibrations
from seesay.store.exemplars import features
from seesay.store.explanations import StoredSetting, settings
from seesay.store.run import Run
from seesay.store.ways import in_one_way, way_of

Way = tuple[Method, str, int]
"""A method, and the size and the seed of who explained."""

_CONTROLS: tuple[Control | None, ...] = (None, "random")


@final
@dataclass(frozen=True)
class Beside:
    """A way's mean by one score, with what stands beside it.

    Args:
        way: the method, and who explained.
        mean: over the features that all ways have.
        aids: means of what random directions, permuted and constant words get on those of them that have it.
    """

    way: Way
    mean: Estimate
    aids: Mapping[AidName, float]


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """What runs say of one score.

    Args:
        numbers: by which claims can be judged.
        standings: of every way, in the order of the methods and explainers.
    """

    numbers: Numbers
    standings: tuple[Beside, ...]


@final
@dataclass(frozen=True, eq=False)
class _Place:
    """One block's run, with the settings that the protocol asks for."""

    block: str
    run: Run
    shelf: Shelf
    asked: Mapping[tuple[Way, Control | None], StoredSetting]

    def values(self, score: KnownScore, way: Way, aid: AidName | None = None) -> Mapping[FeatureKey, float] | None:
        """What a way's words got, or what stands beside them, computed alike; None if they were not scored."""
        own = [each for each in in_one_way(self.run, score) if each.setting_id == self.asked[way, None].setting_id]
        if not own:
            return None
        setting = self.asked[way, "random" if aid == "random" else None]
        scored = self.shelf.scorings(score, setting, None if aid == "random" else aid)
        same = [each for each in scored if way_of(each) == way_of(own[-1])]
        return self.shelf.numbers(same[-1], setting).values.get(SCORES[score].value) if same else None


@final
class Shelves:
    """The runs of a protocol's blocks: its settings in them, by all that is known of test features.

    Args:
        runs: open, by the names of blocks.
        protocol: that they were made by.
        seed: of everything random in them.
        features: that were explained, by block; None for all test features.

    Raises:
        UnusablePath: a setting is missing, or a run is damaged.
    """

    def __init__(
        self,
        runs: Mapping[str, Run],
        protocol: Protocol,
        seed: int,
        features: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        self._protocol, self._seed = protocol, seed
        self._ways: list[Way] = [(method, each.size, each.seed) for method in METHODS for each in protocol.explainers]
        self._places = [
            _Place(block, run, Shelf(run, number, among(features[block] if features else None)), self._asked(run))
            for number, (block, run) in enumerate(runs.items())
        ]

    def measured(self, score: KnownScore) -> Measured | None:
        """What is known of a score; None if a way lacks it in any block, or no feature has it for all of them.

        Args:
            score: which.
        """
        found: dict[Way, dict[FeatureKey, float]] = {}
        for way in self._ways:
            values = self._values(score, way)
            if values is None:
                return None
            found[way] = values
        keys = sorted(frozenset[FeatureKey].intersection(*(frozenset(each) for each in found.values())))
        if not keys:
            return None
        clusters, beside = self._clusters(keys), {way: self._beside(score, way) for way in found}
        numbers = Numbers(
            score=score,
            values={way: np.array([values[key] for key in keys]) for way, values in found.items()},
            blocks=[self._places[key.origin].block for key in keys],
            levels=[self._levels.get(key, "") for key in keys],
            clusters=clusters,
            is_informative=self._is_informative(found, beside, keys, clusters),
        )
        standings = [
            Beside(way, estimate(numbers.values[way], clusters, seed=self._seed), _means(beside[way], keys))
            for way in found
        ]
        return Measured(numbers, tuple(standings))

    def strengths(self) -> dict[str, dict[str, str]]:
        """The strengths that were chosen, in words, by block and way."""
        return {
            place.block: {
                title(way): f"{setting.strength.value:g} {setting.strength.unit}"
                for (way, control), setting in place.asked.items()
                if setting.strength is not None and control is None
            }
            for place in self._places
        }

    def _asked(self, run: Run) -> dict[tuple[Way, Control | None], StoredSetting]:
        names = {(each.size, each.seed): each.name for each in self._protocol.explainers}
        return {
            (way, control): stored(run, base(self._protocol, way[0], control, self._seed), names[way[1:]])
            for way in self._ways
            for control in _CONTROLS
        }

    def _values(self, score: KnownScore, way: Way, aid: AidName | None = None) -> dict[FeatureKey, float] | None:
        """The same in all blocks."""
        found: dict[FeatureKey, float] = {}
        for place in self._places:
            values = place.values(score, way, aid)
            if values is None:
                return None
            found |= values
        return found

    def _beside(self, score: KnownScore, way: Way) -> dict[AidName, dict[FeatureKey, float]]:
        """What stands beside a way's words, as far as it was scored in all blocks."""
        return {aid: values for aid in AIDS if (values := self._values(score, way, aid))}

    def _is_informative(
        self,
        found: Mapping[Way, Mapping[FeatureKey, float]],
        beside: Mapping[Way, Mapping[AidName, Mapping[FeatureKey, float]]],
        keys: Sequence[FeatureKey],
        clusters: Int64[np.ndarray, " feature"],
    ) -> bool:
        """Whether any way's words are above all that stands beside them, feature by feature; unknown counts as yes."""
        is_known = False
        for way, own in found.items():
            leads: list[Estimate] = []
            for values in beside[way].values():
                places = [place for place, key in enumerate(keys) if key in values]
                if places:
                    lead = np.array([own[keys[place]] - values[keys[place]] for place in places])
                    leads.append(estimate(lead, clusters[places], seed=self._seed))
            if leads and all(lead.low > 0 for lead in leads):
                return True
            is_known = is_known or bool(leads)
        return not is_known

    def _clusters(self, keys: Sequence[FeatureKey]) -> Int64[np.ndarray, " feature"]:
        """Near-duplicates of a block are one cluster; features of two blocks never are."""
        return clusters_within([key.origin for key in keys], [key.feature_id for key in keys], self._nearest)

    @cached_property
    def _nearest(self) -> dict[int, dict[int, Sequence[tuple[int, float]]]]:
        return {
            number: {each.feature_id: each.nearest for each in features(place.run)}
            for number, place in enumerate(self._places)
        }

    @cached_property
    def _levels(self) -> dict[FeatureKey, Level]:
        """What features stand for: by the truth where it is known, else by most of what is said of them."""
        if self._protocol.labeller is None:
            return {
                FeatureKey(number, feature_id): level
                for number, place in enumerate(self._places)
                for feature_id, level in noted_levels(place.run).items()
            }
        _, labels = labels_of([place.run for place in self._places])
        said = (place.shelf.words(place.asked[way, None]) for place in self._places for way in self._ways)
        return majority(said, labels)


def title(way: Way) -> str:
    """A way in words.

    Args:
        way: the method, and who explained.
    """
    method, size, seed = way
    return f"{method}, {called(size, seed)}"


def base(protocol: Protocol, method: Method, control: Control | None = None, seed: int = 0) -> Setting:
    """How a protocol explains, but for the strength.

    Args:
        protocol: says so.
        method: which.
        control: what takes the place of the feature.
        seed: of everything random.
    """
    return Setting(method, control=control, decoding=Decoding(protocol.max_new_tokens), seed=seed)


def chosen(run: Run, method: Method, explainer: str) -> Strength:
    """The strength that was calibrated for a method by an explainer, the latest.

    Args:
        run: may be a stranger's.
        method: that steers.
        explainer: its name.

    Raises:
        UnusablePath: there is none.
    """
    found = [each for each in calibrations(run) if (each.method, each.explainer) == (method, explainer)]
    if not found:
        raise UnusablePath(
            f"no strength for {method} by {explainer} in {run.folder}",
            expected="one that was calibrated",
            remedy=f"seesay calibrate {run.folder} --method {method} --explainer {explainer}",
        )
    return found[-1].strength


def stored(run: Run, asked: Setting, explainer: str) -> StoredSetting:
    """Find what was asked for in a run; where the strength is left open, at the one that was chosen.

    Args:
        run: may be a stranger's.
        asked: the way to explain.
        explainer: name of the model.

    Raises:
        UnusablePath: it is not there.
    """
    if WAYS[asked.method].steers and asked.strength is None and asked.control != "none":
        asked = replace(asked, strength=chosen(run, asked.method, explainer))
    facts = asked.facts
    same = [
        each
        for each in settings(run)
        if each.explainer == explainer
        and each.coarse == asked.coarse
        and all(each.facts.get(name) == fact for name, fact in facts.items())
    ]
    if not same:
        raise UnusablePath(
            f"no {asked.method}{f', {asked.control},' if asked.control else ''} by {explainer} in {run.folder}",
            expected="all that the protocol asks for",
            remedy="let seesay reproduce go on",
        )
    return same[-1]


def _means(beside: Mapping[AidName, Mapping[FeatureKey, float]], keys: Sequence[FeatureKey]) -> dict[AidName, float]:
    found: dict[AidName, float] = {}
    for aid, values in beside.items():
        known = [values[key] for key in keys if key in values]
        if known:
            found[aid] = float(np.mean(known))
    return found


def among(feature_ids: Collection[int] | None) -> Callable[[int], bool]:
    """Whether a feature is a test feature, and one of some.

    Args:
        feature_ids: of these; None for all.
    """
    wanted = None if feature_ids is None else frozenset(feature_ids)
    return lambda feature_id: split_of(feature_id) == "test" and (wanted is None or feature_id in wanted)
