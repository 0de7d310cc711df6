"""A feature's card: all that a run knows of one feature, read once, for whoever shows it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

from seesay.errors import FeatureNotFound
from seesay.exemplars.exemplar import Exemplar
from seesay.explainers.config import METHODS
from seesay.records import Explanation, FeatureStats, Method, Strength
from seesay.scorers.config import Measure, Score
from seesay.scorers.measures import title_of
from seesay.scorers.scorer import Measured
from seesay.store import exemplars as shelf
from seesay.store.calibrations import calibrations
from seesay.store.explanations import StoredSetting, of_feature
from seesay.store.measures import measured_by
from seesay.store.run import UNFINISHED, Run
from seesay.store.scores import StoredScore, StoredScoring, scores_of_feature
from seesay.store.trust import trusts

Said = tuple[StoredSetting, Sequence[Explanation]]
"""A setting, and what was said of the feature in it."""

_TOLD_ELSEWHERE = frozenset(
    {"method", "control", "strength", "seed", "explainer", "encoder", "encoder_differs_in", "algorithm"}
)
_TELL_NOTHING = frozenset({"opening", "start", "mask_fill"})  # parts of a prompt file, which its question stands for
_ALWAYS_TOLD = frozenset({"swept", "contrast", "adapter"})
"""Other ways of one method: whoever lacks them has nothing to tell it by."""

_HASHES = frozenset({"lens", "adapter"})
_SHORT = 8
_MOST_ALIKE = 3
"""Strengths of one way of explaining that are all told; calibrating tries more."""

_BEST: tuple[Method, ...] = ("hybrid", "topk", "steering")
"""Whose words stand for a feature where nobody knows how sure they are; other methods follow."""

_LARGEST_ID = 2**63 - 1  # that SQLite holds


@final
@dataclass(frozen=True, eq=False)
class Card:
    """What a run knows of a feature.

    Args:
        of: what the run is of.
        collected: what was found when its images were read; None if none were.
        statistics: the feature's; None without images.
        said: all explanations by setting: methods first, then controls and ablations.
        exemplars: the images that activate it most.
        chosen: the strengths that calibrating chose, with method and explainer.
        scores: of its explanations, and of itself.
        sure: how probable it is that an explanation is right, by its setting's number and its sample.
    """

    of: Mapping[str, Any]
    collected: Mapping[str, Any] | None
    statistics: FeatureStats | None
    said: Sequence[Said]
    exemplars: Sequence[Exemplar]
    chosen: frozenset[tuple[str, str, Strength]] = frozenset()
    scores: Sequence[tuple[StoredScoring, StoredScore]] = ()
    sure: Mapping[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])

    @property
    def told(self) -> list[tuple[StoredSetting, Sequence[Explanation], int]]:
        """What is told of all that was said: of many strengths that were tried the same way, one stands for all.

        It is the one that was chosen, or the last; with it comes how many it stands for besides itself.
        """
        tries: dict[str, list[Said]] = defaultdict(list)
        for setting, samples in self.said:
            tries[repr(sorted((name, str(fact)) for name, fact in setting.facts.items() if name != "strength"))].append(
                (setting, samples)
            )
        found: list[tuple[StoredSetting, Sequence[Explanation], int]] = []
        for alike in tries.values():
            chosen = [each for each in alike if self._is_chosen(each[0])]
            shown = alike if len(alike) <= _MOST_ALIKE else (chosen or alike)[-1:]
            found += [(*each, len(alike) - len(shown)) for each in shown]
        return found

    def numbers(self, setting_id: int) -> dict[Score, tuple[StoredScoring, list[Measured]]]:
        """The scores of what was said in a setting, all samples.

        Of several ways to compute a score the last that was begun; on held-out images if there is one.

        Args:
            setting_id: number of the setting.
        """
        found: dict[Score, tuple[StoredScoring, list[Measured]]] = {}
        for scoring, each in sorted(self.scores, key=lambda each: not each[0].is_shared):
            if scoring.setting_id == setting_id and scoring.aid is None:
                before = found.get(scoring.score)
                samples = before[1] if before and before[0] == scoring else []
                found[scoring.score] = (scoring, [*samples, each.measured])
        return found

    @property
    def itself(self) -> dict[str, tuple[float, bool]]:
        """The numbers of the feature, whatever is said of it, and whether explainers were shown the images.

        Of several ways the last that was begun; on held-out images if there is one.
        """
        found: dict[str, tuple[float, bool]] = {}
        for scoring, score in sorted(self.scores, key=lambda each: not each[0].is_shared):
            if scoring.setting_id is None and score.measured.value is not None:
                numbers = {scoring.measure.value: score.measured.value, **score.measured.others}
                found |= {title_of(scoring.score, name): (value, scoring.is_shared) for name, value in numbers.items()}
        return found

    @property
    def measures(self) -> dict[Score, Measure]:
        """What its scores measure, in the order in which they are told."""
        return measured_by(scoring for scoring, _ in self.scores)

    @property
    def scored(self) -> list[int]:
        """Numbers of the settings whose words are scored, in the order in which they are told."""
        scored = {scoring.setting_id for scoring, _ in self.scores if scoring.aid is None}
        return [setting.setting_id for setting, *_ in self.told if setting.setting_id in scored]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data, without pictures."""
        identities = {setting.setting_id: setting.identity for setting, _ in self.said}
        return {
            "of": self.of,
            "collected": self.collected,
            "statistics": None if self.statistics is None else asdict(self.statistics),
            "settings": [
                {
                    **setting.as_json(),
                    "explanations": [
                        {**asdict(each), "sure": self.sure.get((setting.setting_id, each.sample))} for each in samples
                    ],
                }
                for setting, samples in self.said
            ],
            "scores": [
                {
                    **score.measured.others,
                    "score": scoring.score,
                    "setting": None if scoring.setting_id is None else identities.get(scoring.setting_id),
                    "aid": scoring.aid,
                    "holding": scoring.facts.get("holding"),
                    "sample": score.item.sample,
                    "text": score.item.text,
                    "value": score.measured.value,
                    "reason": score.measured.reason,
                }
                for scoring, score in self.scores
            ],
            "exemplars": [
                {
                    "rank": each.rank,
                    "image_id": each.image.image_id,
                    "pixel_hash": each.image.pixel_hash,
                    "source_id": each.image.source_id,
                    "activation": each.activation,
                    "max_activation": each.peak,
                }
                for each in self.exemplars
            ],
        }

    def _is_chosen(self, setting: StoredSetting) -> bool:
        return setting.strength is not None and (setting.method, setting.explainer, setting.strength) in self.chosen


def read_card(run: Run, feature_id: int, n_exemplars: int | None = None) -> Card:
    """Read what a run knows of a feature.

    Args:
        run: may be a stranger's.
        feature_id: which.
        n_exemplars: at most so many of the images that activate it most, of the half that explanations are made from;
            None for all that are kept.

    Raises:
        FeatureNotFound: nothing is known of it.
        UnusablePath: what the run says is damaged.
    """
    collected = run.finished("collect")
    said = _said(run, feature_id) if 0 <= feature_id <= _LARGEST_ID else []
    found, exemplars = None, list[Exemplar]()
    try:
        (found,) = shelf.features(run, [feature_id])
        exemplars = shelf.exemplars(run, feature_id, "explaining", "top", n_exemplars)
    except FeatureNotFound as error:
        # a run that was begun without images has explanations alone
        if not said and collected is not None:
            raise
        if not said:
            raise FeatureNotFound(
                f"nothing is known of feature {feature_id} in {run.folder}",
                expected="one that is explained there, or a run that is collected",
                remedy=UNFINISHED
                if run.unfinished("collect")
                else f"explain it first: seesay explain {run.folder} --features {feature_id}",
            ) from error
    chosen = frozenset((each.method, each.explainer, each.strength) for each in calibrations(run))
    words = {(setting.setting_id, each.sample): each.text for setting, samples in said for each in samples}
    # What is sure is sure of the words that it was told of: they may have been asked for again since.
    sure = {
        key: each.probability
        for each in trusts(run, feature_id)
        if words.get(key := (each.setting_id, each.sample)) == each.text
    }
    # So it is with scores of the words themselves; what stands beside them has words of its own.
    measured = [
        (scoring, score)
        for scoring, score in scores_of_feature(run, feature_id)
        if scoring.setting_id is None
        or scoring.aid is not None
        or words.get((scoring.setting_id, score.item.sample)) == score.item.text
    ]
    return Card(run.subject, collected, found, said, exemplars, chosen, measured, sure)


def _said(run: Run, feature_id: int) -> list[tuple[StoredSetting, Sequence[Explanation]]]:
    methods = list(METHODS)
    found = of_feature(run, feature_id)
    return sorted(found, key=lambda each: (each[0].control is not None, methods.index(each[0].method)))


def precedence(method: Method, sure: float | None) -> tuple[float, int]:
    """Whose words stand for a feature, the least first: the surest; where nobody knows, the method that does best.

    Args:
        method: that found the words.
        sure: how probable it is that they are right.
    """
    order = [*_BEST, *(each for each in METHODS if each not in _BEST)]
    return -(sure or 0.0), order.index(method)


def particulars(settings: Sequence[StoredSetting]) -> dict[int, list[tuple[str, str]]]:
    """What tells settings of one method apart beside control and strength: facts unlike those of most of them.

    Args:
        settings: of one feature.

    Returns:
        By number of the setting: name and value of each such fact.
    """
    values: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    facts = {each.setting_id: dict(_told(each.facts)) for each in settings}
    names = {name for told in facts.values() for name in told}
    for each in settings:
        for name in names:  # what is not there counts, too: greedy words have no temperature
            values[each.method, name][facts[each.setting_id].get(name, "")] += 1
    return {
        each.setting_id: [
            (name, value)
            for name, value in facts[each.setting_id].items()
            if name in _ALWAYS_TOLD or value != values[each.method, name].most_common(1)[0][0]
        ]
        + ([("another encoder", "")] if each.facts.get("encoder_differs_in") else [])
        for each in settings
    }


def _told(facts: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict) and name not in _TOLD_ELSEWHERE:
            yield from _told(value)
        elif name not in _TOLD_ELSEWHERE | _TELL_NOTHING and value is not None:
            told = str(value)[:_SHORT] if name in _HASHES else "" if value is True else str(value)
            yield ("asked" if name == "prompt" else name.replace("_", " ")), told
