"""A study's runs into numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import numpy as np
from jaxtyping import Float64, Int64

from seesay.comparison.contender import FeatureKey
from seesay.comparison.shelf import Shelf
from seesay.records import Control, Method
from seesay.reproduction.reading import stored
from seesay.scorers.config import SCORES, KnownScore
from seesay.statistics import Estimate, Paired, clusters_within, estimate, paired
from seesay.store.exemplars import features
from seesay.store.explanations import explanations
from seesay.store.run import Run
from seesay.study.parts import Parts
from seesay.study.protocol import JUDGED_BY, OURS, Study

ALL = "all"
"""Where a figure is of all blocks."""

Group = Literal["test", "held_out", "apart"]
"""Test features, or those of them that are like less of what was looked at before; see [seesay.study.parts.Parts][]."""

Said = Mapping[tuple[str, Method, Control | None, str, int], str]
"""The identities of settings, by block, method, control, size of the explainer, and seed of the lens."""


def shelf_of(run: Run, feature_ids: Sequence[int]) -> Shelf:
    """What a run holds of some features.

    Args:
        run: may be a stranger's.
        feature_ids: of these.
    """
    return Shelf(run, 0, frozenset(feature_ids).__contains__)


def known(run: Run, shelf: Shelf, identity: str, score: KnownScore) -> dict[int, float]:
    """What the words of a setting got, of those features that were scored.

    Args:
        run: that they are in.
        shelf: of it, with the features that are asked for.
        identity: of the setting.
        score: which.

    Raises:
        UnusablePath: there is no such setting, or the run is damaged.
    """
    setting = stored(run, identity)
    scored = [each for each in shelf.scorings(score, setting) if not each.is_shared]
    if not scored:
        return {}
    values = shelf.numbers(scored[-1], setting).values.get(SCORES[score].value, {})
    return {key.feature_id: value for key, value in values.items()}


@final
@dataclass(frozen=True)
class Lead:
    """How our way differs from another one.

    Args:
        score: by which.
        size: of the explainer.
        rival: the other method.
        block: name of the block, or `ALL`.
        group: which test features.
        ours: mean over these features.
        theirs: the same.
        found: the difference, feature by feature.
    """

    score: KnownScore
    size: str
    rival: Method
    block: str
    group: Group
    ours: float
    theirs: float
    found: Paired


@final
class Reading:
    """What a study's runs say.

    Args:
        study: that made them.
        runs: open, by block and seed.
        parts: of each block's features.
        said: what was said of test features.
        tried: identities of the candidates' settings, by block and name.
        seed: of resampling.
    """

    def __init__(
        self,
        study: Study,
        runs: Mapping[tuple[str, int], Run],
        parts: Mapping[str, Parts],
        said: Said,
        tried: Mapping[tuple[str, str], str],
        *,
        seed: int,
    ) -> None:
        self._study, self._runs, self._parts, self._said, self._tried = study, runs, parts, said, tried
        self._seed, self._blocks = seed, [each.name for each in study.blocks]
        self._shelves: dict[tuple[str, int], Shelf] = {}
        self._known: dict[tuple[KnownScore, Method, Control | None, str, int], dict[FeatureKey, float]] = {}

    def values(
        self, score: KnownScore, method: Method, size: str, control: Control | None = None, seed: int | None = None
    ) -> dict[FeatureKey, float]:
        """What each test feature got, in all blocks.

        Args:
            score: by which.
            method: that explained.
            size: of the explainer.
            control: what took the feature's place.
            seed: of the lens; None for the mean over all seeds that there are, of a feature that all of them have.
        """
        if seed is None:
            lenses = range(self._study.n_seeds if method == OURS and score in JUDGED_BY else 1)
            found = [self.values(score, method, size, control, each) for each in lenses]
            keys = frozenset[FeatureKey].intersection(*(frozenset(each) for each in found))
            return {key: float(np.mean([each[key] for each in found])) for key in sorted(keys)}
        of = (score, method, control, size, seed)
        if of not in self._known:
            self._known[of] = {
                FeatureKey(number, feature_id): value
                for number, block in enumerate(self._blocks)
                for feature_id, value in known(
                    self._runs[block, seed],
                    self._shelf(block, seed),
                    self._said[block, method, control, size, seed],
                    score,
                ).items()
            }
        return self._known[of]

    def mean(self, values: Mapping[FeatureKey, float]) -> Estimate | None:
        """The mean, with an interval in which near-duplicates count as one; None of nothing.

        Args:
            values: by feature.
        """
        keys = sorted(values)
        if not keys:
            return None
        return estimate(self._array(values, keys), self._clusters(keys), seed=self._seed)

    def lead(self, score: KnownScore, size: str, rival: Method, block: str = ALL, group: Group = "test") -> Lead | None:
        """How our way differs from another on the same features; None if there are none.

        Args:
            score: by which.
            size: of the explainer.
            rival: the other method.
            block: of which block; `ALL` for all.
            group: which test features.
        """
        ours, theirs = self.values(score, OURS, size), self.values(score, rival, size)
        keys = [key for key in sorted(ours.keys() & theirs.keys()) if self._is_in(key, block, group)]
        if not keys:
            return None
        first, second = self._array(ours, keys), self._array(theirs, keys)
        found = paired(first, second, self._clusters(keys), seed=self._seed)
        return Lead(score, size, rival, block, group, float(first.mean()), float(second.mean()), found)

    def tried(self, score: KnownScore, name: str) -> dict[FeatureKey, float]:
        """What a candidate got, on validation features of all blocks.

        Args:
            score: by which.
            name: of the candidate.
        """
        return {
            FeatureKey(number, feature_id): value
            for number, block in enumerate(self._blocks)
            for feature_id, value in known(
                self._runs[block, 0], self._validated[block], self._tried[block, name], score
            ).items()
        }

    def seconds(self, method: Method, size: str) -> float:
        """How long a feature took, on average over test features of all blocks.

        Args:
            method: that explained.
            size: of the explainer.
        """
        took: list[float] = []
        for block in self._blocks:
            run = self._runs[block, 0]
            setting = stored(run, self._said[block, method, None, size, 0])
            said = explanations(run, setting, self._parts[block].test)
            took += [each.seconds for samples in said.values() for each in samples]
        return float(np.mean(took)) if took else 0.0

    def _shelf(self, block: str, seed: int) -> Shelf:
        """What a run holds of its test features."""
        if (block, seed) not in self._shelves:
            self._shelves[block, seed] = shelf_of(self._runs[block, seed], self._parts[block].test)
        return self._shelves[block, seed]

    @cached_property
    def _validated(self) -> dict[str, Shelf]:
        """The same of validation features."""
        return {block: shelf_of(self._runs[block, 0], self._parts[block].validation) for block in self._blocks}

    def _is_in(self, key: FeatureKey, block: str, group: Group) -> bool:
        return block in (ALL, self._blocks[key.origin]) and key in self._groups[group]

    @cached_property
    def _groups(self) -> Mapping[Group, frozenset[FeatureKey]]:
        groups: tuple[Group, ...] = ("test", "held_out", "apart")
        return {
            group: frozenset(
                FeatureKey(number, feature_id)
                for number, block in enumerate(self._blocks)
                for feature_id in getattr(self._parts[block], group)
            )
            for group in groups
        }

    def _array(self, values: Mapping[FeatureKey, float], keys: Sequence[FeatureKey]) -> Float64[np.ndarray, " feature"]:
        return np.array([values[key] for key in keys], dtype=np.float64)

    def _clusters(self, keys: Sequence[FeatureKey]) -> Int64[np.ndarray, " feature"]:
        return clusters_within([key.origin for key in keys], [key.feature_id for key in keys], self._nearest)

    @cached_property
    def _nearest(self) -> dict[int, dict[int, Sequence[tuple[int, float]]]]:
        return {
            number: {each.feature_id: each.nearest for each in features(self._runs[block, 0])}
            for number, block in enumerate(self._blocks)
        }
