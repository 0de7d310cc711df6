"""What came of each variation, beside the base."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from seesay.comparison.shelf import Shelf
from seesay.records import Method
from seesay.reproduction.ablations import Variation
from seesay.reproduction.reading import among, stored
from seesay.scorers.config import SCORES, Holding, KnownScore
from seesay.statistics import Estimate, clusters_of, estimate, paired
from seesay.store.exemplars import features
from seesay.store.run import Run
from seesay.store.ways import in_one_way

Known = Mapping[int, float]
"""A number of each feature, by its id."""


@final
@dataclass(frozen=True)
class Change:
    """What came of one variation by one score.

    Args:
        factor: what was changed.
        value: to what; empty for the base.
        method: that explained.
        score: by which it is told.
        mean: over the features that it and the base have.
        difference: from the base, on the same; None for the base itself.
    """

    factor: str
    value: str
    method: Method
    score: KnownScore
    mean: Estimate
    difference: Estimate | None


@final
class Bases:
    """Tells changes from what each method gets as the protocol has it.

    Args:
        run: the whole one, with the bases.
        feature_ids: that were explained.
        bases: of each method, the identity of its setting.
        seed: of resampling.
    """

    def __init__(self, run: Run, feature_ids: Collection[int], bases: Mapping[Method, str], seed: int) -> None:
        self._run, self._feature_ids, self._bases, self._seed = run, feature_ids, bases, seed
        self._shelves: dict[Path, Shelf] = {}
        self._nearest = {each.feature_id: each.nearest for each in features(run)}

    def change(
        self, variation: Variation, identity: str, run: Run, score: KnownScore, holding: Holding = "held-out"
    ) -> Change | None:
        """What came of a variation; None if it has not been scored so.

        Args:
            variation: which.
            identity: of the setting in which it was explained.
            run: that it was explained in.
            score: by which it is told.
            holding: on which images.

        Raises:
            UnusablePath: it has not been explained.
        """
        method = variation.setting.method
        found = self._known(run, identity, score, holding)
        base = self._known(self._run, self._bases[method], score, "held-out")
        ids = sorted(found.keys() & base.keys())
        if not ids:
            return None
        clusters = clusters_of(ids, self._nearest)
        first, second = (np.array([each[key] for key in ids]) for each in (found, base))
        difference = None
        if variation.factor != "base":
            difference = paired(first, second, clusters, seed=self._seed).difference
        mean = estimate(first, clusters, seed=self._seed)
        return Change(variation.factor, variation.value, method, score, mean, difference)

    def _known(self, run: Run, identity: str, score: KnownScore, holding: Holding) -> Known:
        setting = stored(run, identity)
        if run.folder not in self._shelves:
            self._shelves[run.folder] = Shelf(run, 0, among(self._feature_ids))
        shelf = self._shelves[run.folder]
        scored = shelf.scorings(score, setting)
        if holding == "held-out":
            # as the claims are told: in the way that most settings of the run were scored in
            ways = {each.scoring_id for each in in_one_way(run, score)}
            controlled = setting.control is not None
            scored = [each for each in scored if not each.is_shared and (controlled or each.scoring_id in ways)]
        else:
            scored = [each for each in scored if each.is_shared]
        if not scored:
            return {}
        values = shelf.numbers(scored[-1], setting).values.get(SCORES[score].value, {})
        return {key.feature_id: value for key, value in values.items()}
