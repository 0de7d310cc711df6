"""Runs into the numbers that claims are judged by."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Int64

from seesay.comparison.contender import AIDS, AidName, FeatureKey
from seesay.comparison.levels import labels_of, majority, noted_levels
from seesay.comparison.shelf import Shelf
from seesay.errors import UnusablePath
from seesay.explainers.config import Setting
from seesay.records import Control, Decoding, Level, Method
from seesay.reproduction.claims import Numbers
from seesay.reproduction.protocol import CONTROLS, METHODS, Protocol, called
from seesay.scorers.config import SCORES, KnownScore
from seesay.split import split_of
from seesay.statistics import Estimate, clusters_within, estimate
from seesay.store.exemplars import features
from seesay.store.explanations import StoredSetting, identified
from seesay.store.run import Run
from seesay.store.ways import in_one_way, way_of

Way = tuple[Method, str, int]
"""A method, and the size and the seed of who explained."""

Asked = tuple[str, Way, Control | None]
"""What a protocol asks for: in which block, by which way, with which control."""


@final
@dataclass(frozen=True)
class Beside:
    """A way's mean by one score, with what stands beside it.

    Args:
        way: the method, and who explained.
        mean: over the features that all ways have.
        aids: the same of what random directions, permuted and constant words get, on those of them that have it.
    """

    way: Way
    mean: Estimate
    aids: Mapping[AidName, Estimate]


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
    controls: Collection[int] | None

    def values(self, score: KnownScore, way: Way, aid: AidName | None = None) -> Mapping[FeatureKey, float] | None:
        """What a way's words got, or what stands beside them, computed alike; None if they were not scored."""
        own = [each for each in in_one_way(self.run, score) if each.setting_id == self.asked[way, None].setting_id]
        if not own:
            return None
        setting = self.asked[way, "random" if aid == "random" else None]
        scored = self.shelf.scorings(score, setting, None if aid == "random" else aid)
        same = [each for each in scored if way_of(each) == way_of(own[-1])]
        found = self.shelf.numbers(same[-1], setting).values.get(SCORES[score].value) if same else None
        if found is None or aid != "random" or self.controls is None:
            return found
        return {key: value for key, value in found.items() if key.feature_id in self.controls}


@final
class Shelves:
    """The runs of a protocol's blocks: its settings in them, by all that is known of test features.

    Args:
        runs: open, by the names of blocks.
        protocol: that they were made by.
        identities: of the settings that were explained in.
        seed: of resampling.
        features: that were explained, by block; None for all test features.
        controls: those of them beside which random directions were, by block; None for all.

    Raises:
        UnusablePath: a setting is missing, or a run is damaged.
    """

    def __init__(
        self,
        runs: Mapping[str, Run],
        protocol: Protocol,
        identities: Mapping[Asked, str],
        seed: int,
        *,
        features: Mapping[str, Collection[int]] | None = None,
        controls: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        self._protocol, self._seed = protocol, seed
        self._ways: list[Way] = [(method, each.size, each.seed) for method in METHODS for each in protocol.explainers]
        self._places = [
            _Place(
                block,
                run,
                Shelf(run, number, among(features[block] if features else None)),
                {
                    (way, control): stored(run, identities.get((block, way, control)))
                    for way in self._ways
                    for control in CONTROLS
                },
                frozenset(controls[block]) if controls else None,
            )
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
            all_blocks=tuple(place.block for place in self._places),
            levels=[self._levels.get(key, "") for key in keys],
            clusters=clusters,
            is_informative=self._is_informative(found, beside, keys, clusters),
        )
        standings = [
            Beside(way, estimate(numbers.values[way], clusters, seed=self._seed), aids)
            for way in found
            for aids in [self._means(beside[way], keys, clusters)]
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

    def _means(
        self,
        beside: Mapping[AidName, Mapping[FeatureKey, float]],
        keys: Sequence[FeatureKey],
        clusters: Int64[np.ndarray, " feature"],
    ) -> dict[AidName, Estimate]:
        found: dict[AidName, Estimate] = {}
        for aid, values in beside.items():
            places = [place for place, key in enumerate(keys) if key in values]
            if places:
                known = np.array([values[keys[place]] for place in places])
                found[aid] = estimate(known, clusters[places], seed=self._seed)
        return found

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


def stored(run: Run, identity: str | None) -> StoredSetting:
    """Find a setting in a run.

    Args:
        run: may be a stranger's.
        identity: of the setting; None if nobody knows it.

    Raises:
        UnusablePath: it is not there.
    """
    # notes may be damaged: whatever else they say is no identity
    found = identified(run, identity) if isinstance(identity, str) else None
    if found is None:
        raise UnusablePath(
            f"{run.folder} lacks what was said in it",
            expected="all that was noted",
            remedy="give another --out",
        )
    return found


def among(feature_ids: Collection[int] | None) -> Callable[[int], bool]:
    """Whether a feature is a test feature, and one of some.

    Args:
        feature_ids: of these; None for all.
    """
    wanted = None if feature_ids is None else frozenset(feature_ids)
    return lambda feature_id: split_of(feature_id) == "test" and (wanted is None or feature_id in wanted)
