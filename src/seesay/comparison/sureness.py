"""How many explanations are how sure, by the probabilities that a run was given for them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from seesay.comparison.contender import Contender, FeatureKey
from seesay.comparison.reading import Contest
from seesay.store.run import Run
from seesay.store.trust import trusts
from seesay.trust import THRESHOLDS


@final
@dataclass(frozen=True)
class Sureness:
    """How sure one can be of a contender's words.

    Args:
        contender: its name.
        n: explanations with a probability to be right.
        n_without: others, of which nobody knows.
        n_kept: by threshold, how many are at least so sure: one would abstain from the others.
        probabilities: by feature; of several samples the mean.
    """

    contender: str
    n: int
    n_without: int
    n_kept: Mapping[float, int]
    probabilities: Mapping[FeatureKey, float] = field(repr=False, compare=False, metadata={"told": False})


def sureness(runs: Sequence[Run], contest: Contest) -> list[Sureness]:
    """Read how sure one can be of contenders' words.

    Args:
        runs: those that the contest was read from, in the same order; may be strangers'.
        contest: with the words: probabilities of words that have since been replaced do not count.

    Returns:
        Of each contender that has probabilities.

    Raises:
        UnusablePath: what a run says is damaged.
    """
    by_setting: dict[tuple[int, int], list[tuple[FeatureKey, int, str, float]]] = defaultdict(list)
    for place, run in enumerate(runs):
        origin = contest.origin_of(place)
        for each in trusts(run):
            key = FeatureKey(origin, each.feature_id)
            by_setting[place, each.setting_id].append((key, each.sample, each.text, each.probability))
    found = [_of(contender, by_setting) for contender in contest.contenders]
    return [each for each in found if each.n]


def _of(
    contender: Contender, by_setting: Mapping[tuple[int, int], Sequence[tuple[FeatureKey, int, str, float]]]
) -> Sureness:
    known: dict[FeatureKey, dict[int, float]] = defaultdict(dict)
    for place, setting in contender.settings.items():
        for key, sample, text, probability in by_setting.get((place, setting.setting_id), ()):
            if contender.words.get(key, {}).get(sample) == text:
                known[key].setdefault(sample, probability)
    flat = [probability for samples in known.values() for probability in samples.values()]
    return Sureness(
        contender.name,
        n=len(flat),
        n_without=sum(map(len, contender.words.values())) - len(flat),
        n_kept={threshold: sum(each >= threshold for each in flat) for threshold in THRESHOLDS},
        probabilities={key: sum(samples.values()) / len(samples) for key, samples in known.items()},
    )
