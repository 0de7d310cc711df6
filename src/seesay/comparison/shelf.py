"""What runs hold of scores, read once, as numbers by feature."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from seesay.comparison.contender import FeatureKey
from seesay.records import Aid
from seesay.scorers.config import Score
from seesay.store.explanations import StoredSetting, explanations
from seesay.store.run import Run
from seesay.store.scores import StoredScoring, scores, scorings

Roc = tuple[Sequence[float], Sequence[float]]
"""A feature's activations on images made from words, and on control images."""


@final
@dataclass(frozen=True, eq=False)
class Numbers:
    """What one scoring gave, or several of the same kind in several runs.

    Args:
        values: by name of the number and feature; of several samples the mean.
        rocs: by feature and sample, what a ROC over several features is made of; empty for most scores.
    """

    values: dict[str, dict[FeatureKey, float]] = field(default_factory=dict[str, dict[FeatureKey, float]])
    rocs: dict[FeatureKey, list[Roc]] = field(default_factory=dict[FeatureKey, list[Roc]])

    def add(self, other: "Numbers") -> None:
        """Take over what is known of other features; of the same one, the first that was known stands.

        Args:
            other: of the same kind.
        """
        for name, found in other.values.items():
            mine = self.values.setdefault(name, {})
            mine.update({key: value for key, value in found.items() if key not in mine})
        self.rocs.update({key: roc for key, roc in other.rocs.items() if key not in self.rocs})


@final
class Shelf:
    """A run's explanations and scores, of the features that are compared.

    Args:
        run: may be a stranger's.
        origin: place of what its features belong to.
        is_compared: whether a feature takes part.

    Raises:
        UnusablePath: what the run says is damaged.
    """

    def __init__(self, run: Run, origin: int, is_compared: Callable[[int], bool]) -> None:
        self._run, self._origin, self._is_compared = run, origin, is_compared
        self._scorings: dict[tuple[Score, int | None, Aid | None], list[StoredScoring]] = defaultdict(list)
        for each in scorings(run):
            self._scorings[each.score, each.setting_id, each.aid].append(each)
        self._words: dict[int, dict[FeatureKey, dict[int, str]]] = {}
        self._numbers: dict[int, Numbers] = {}

    def words(self, setting: StoredSetting) -> Mapping[FeatureKey, Mapping[int, str]]:
        """What was said in a setting: by feature and sample, without failures; a feature may have nothing but those.

        Args:
            setting: of the run.
        """
        if setting.setting_id not in self._words:
            self._words[setting.setting_id] = {
                FeatureKey(self._origin, feature_id): {
                    each.sample: each.text for each in samples if each.status != "failed"
                }
                for feature_id, samples in explanations(self._run, setting).items()
                if self._is_compared(feature_id)
            }
        return self._words[setting.setting_id]

    def scorings(self, score: Score, setting: StoredSetting | None, aid: Aid | None = None) -> list[StoredScoring]:
        """How a setting was scored, as far as that brought any number.

        Args:
            score: by what.
            setting: of the run; None for scores of features.
            aid: what was put in the words' place.
        """
        found = self._scorings.get((score, None if setting is None else setting.setting_id, aid), [])
        return [each for each in found if self.numbers(each, setting).values.get(each.measure.value)]

    def numbers(self, scoring: StoredScoring, setting: StoredSetting | None) -> Numbers:
        """What a scoring gave.

        Numbers of words that have since been replaced by others are left out, as are those of features that had nothing
        to be measured on.

        Args:
            scoring: of the run.
            setting: whose words were scored; None for scores of features.
        """
        if scoring.scoring_id not in self._numbers:
            said = self.words(setting) if setting is not None and scoring.aid is None else None
            self._numbers[scoring.scoring_id] = self._read(scoring, said)
        return self._numbers[scoring.scoring_id]

    def _read(self, scoring: StoredScoring, said: Mapping[FeatureKey, Mapping[int, str]] | None) -> Numbers:
        primary, found = scoring.measure.value, Numbers()
        for feature_id, samples in scores(self._run, scoring).items():
            key = FeatureKey(self._origin, feature_id)
            if not self._is_compared(feature_id):
                continue
            values: dict[str, list[float]] = defaultdict(list)
            for each in samples:
                measured, item = each.measured, each.item
                if said is not None and said.get(key, {}).get(item.sample) != item.text:
                    continue
                own = {} if measured.value is None else {primary: measured.value}
                for name, value in {**measured.others, **own}.items():
                    values[name].append(value)
                roc = tuple(measured.details.get(part, ()) for part in ("synthesised", "control"))
                if all(roc):
                    found.rocs.setdefault(key, []).append((roc[0], roc[1]))
            for name, several in values.items():
                found.values.setdefault(name, {})[key] = float(np.mean(several))
        return found
