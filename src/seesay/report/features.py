"""A feature as pages tell it: its pictures, everything that is said of it, and its numbers in words."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from seesay.cards import Card, particulars, precedence
from seesay.errors import FeatureNotFound
from seesay.exemplars.histogram import bin_edge
from seesay.records import Method, Strength
from seesay.report.pictures import Shown
from seesay.scorers.config import Score
from seesay.store import exemplars as shelf
from seesay.store.run import Run

N_ON_CARD = 3
"""Exemplars of a card."""


def best_pictures(run: Run, feature_id: int) -> list[Shown]:
    """The pictures of a card.

    Args:
        run: may be a stranger's.
        feature_id: in it.
    """
    try:
        found = shelf.exemplars(run, feature_id, "explaining", "top", N_ON_CARD)
    except FeatureNotFound:  # a run without images
        return []
    return [Shown.of(each) for each in found]


def exemplars_of(run: Run, card: Card, feature_id: int) -> list[tuple[str, list[Shown]]]:
    """All exemplars by what they stand for, the most activating ones first.

    Args:
        run: may be a stranger's.
        card: of the feature.
        feature_id: in the run.
    """
    if card.statistics is None:
        return []
    rows = [("Most active", [Shown.of(each) for each in card.exemplars])]
    quantiles: dict[int, list[Shown]] = defaultdict(list)
    for each in shelf.exemplars(run, feature_id, "explaining", "quantile"):
        quantiles[each.quantile or 0].append(Shown.of(each))
    n = max(quantiles, default=0) + 1
    rows += [
        (f"Quantile {each + 1} of {n}", sorted(quantiles[each], key=lambda shown: -shown.activation))
        for each in sorted(quantiles, reverse=True)
    ]
    rows.append(("Not active", [Shown.of(each) for each in shelf.exemplars(run, feature_id, "explaining", "inactive")]))
    return [(name, shown) for name, shown in rows if shown]


@final
@dataclass(frozen=True)
class Statement:
    """One explanation as a page tells it.

    Args:
        setting_id: number of the setting in the run.
        sample: number among the answers in that setting.
        method: how it was found.
        title: method and control.
        control: whether it is one.
        strength: how hard it was pushed, in words.
        explainer: who said it.
        more: what tells the setting from others, in words.
        words: what was said.
        status: how it came out.
        reason: why there are no words.
        log_probability: mean, of each token.
        sure: how probable it is that the words are right.
        scores: by name; with whether images were shared.
        n_others: settings of other strengths that it stands for.
    """

    setting_id: int
    sample: int
    method: Method
    title: str
    control: bool
    strength: str
    explainer: str
    more: str
    words: str
    status: str
    reason: str
    log_probability: float | None
    sure: float | None
    scores: Mapping[str, tuple[float, bool]]
    n_others: int


def statements_of(card: Card) -> list[Statement]:
    """Everything that was said.

    Args:
        card: of the feature.
    """
    differing = particulars([setting for setting, *_ in card.told])
    return [
        Statement(
            setting.setting_id,
            sample.sample,
            setting.method,
            setting.title,
            setting.control is not None,
            "" if setting.strength is None else _in_words(setting.strength),
            setting.explainer,
            ", ".join(f"{name} {value}".strip() for name, value in differing[setting.setting_id]),
            sample.text,
            sample.status,
            sample.reason,
            sample.mean_log_probability,
            card.sure.get((setting.setting_id, sample.sample)),
            _means(card, setting.setting_id) if sample is samples[0] else {},
            n_others if sample is samples[0] else 0,
        )
        for setting, samples, n_others in card.told
        for sample in samples
    ]


def _in_words(strength: Strength) -> str:
    return f"{strength.value:.4g} {strength.unit.replace('_', ' ')}"


def best_of(statements: Sequence[Statement]) -> Statement | None:
    """The one that stands for the feature; None if no method has words.

    Args:
        statements: of one feature.
    """
    own = [each for each in statements if not each.control and each.status == "ok"]
    return min(own, key=lambda each: precedence(each.method, each.sure), default=None)


@final
@dataclass(frozen=True)
class ScoreColumn:
    """A score as tables of explanations show it.

    Args:
        score: by its name.
        title: as people call its number.
        chance: what words that say nothing get; None if nobody knows.
    """

    score: Score
    title: str
    chance: float | None


def columns_of(card: Card, statements: Sequence[Statement]) -> list[ScoreColumn]:
    """The scores that any of them has.

    Args:
        card: of the feature.
        statements: of the same.
    """
    shown = {score for each in statements for score in each.scores}
    return [
        ScoreColumn(score, measure.value.replace("_", " "), measure.chance)
        for score, measure in card.measures.items()
        if score in shown
    ]


def _means(card: Card, setting_id: int) -> dict[str, tuple[float, bool]]:
    found: dict[str, tuple[float, bool]] = {}
    for score, (scoring, samples) in card.numbers(setting_id).items():
        values = [each.value for each in samples if each.value is not None]
        if values:
            found[score] = (sum(values) / len(values), scoring.is_shared)
    return found


def sweeps_of(card: Card) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was said at each strength, of every way in which several were tried.

    Args:
        card: of the feature.

    Returns:
        The way in words, and strengths with words, the weakest first.
    """
    found: dict[tuple[str, str, str], list[tuple[float, str]]] = defaultdict(list)
    for setting, samples in card.said:
        if setting.strength is not None and setting.control is None:
            words = next((each.text for each in samples if each.status == "ok"), "")
            way = (setting.method, setting.explainer, setting.strength.unit)
            found[way].append((setting.strength.value, words))
    return [
        (f"{method}, in {unit.replace('_', ' ')}", [(f"{value:.4g}", words) for value, words in sorted(tried)])
        for (method, _, unit), tried in found.items()
        if len(tried) > 1
    ]


def bars_of(card: Card) -> list[tuple[float, float, int]]:
    """The histogram: of each bin from the first to the last that is filled, where it begins and ends, and its count.

    Args:
        card: of the feature.
    """
    counts: Sequence[int] = card.statistics.histogram if card.statistics else ()
    filled = [place for place, n in enumerate(counts) if n > 0]
    if not filled:
        return []
    return [(bin_edge(place), bin_edge(place + 1), counts[place]) for place in range(filled[0], filled[-1] + 1)]
