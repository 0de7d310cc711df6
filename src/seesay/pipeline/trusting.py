"""Trust: what speaks for each explanation is gathered, and a probability that it is right learnt and stored."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from seesay.calibration import similarity
from seesay.errors import UnusablePath
from seesay.records import Explanation
from seesay.scorers.config import SCORES, KnownScore
from seesay.split import split_of
from seesay.statistics import calibration_error, coverage_accuracy, reliability
from seesay.store.explanations import StoredSetting, explanations, of_test_features, settings
from seesay.store.run import Run
from seesay.store.scores import scores
from seesay.store.trust import Trusted, set_trust
from seesay.store.ways import in_one_way, way_of
from seesay.trust import THRESHOLDS, fit, with_methods

Key = tuple[int, int, int]
"""Of an explanation: its setting's number, its feature and its sample."""

_NEEDING_NO_TRUTH: list[KnownScore] = [
    name for name, measure in SCORES.items() if measure.of_words and not measure.needs & {"world", "people"}
]
_ALGORITHM = 1
_LEFT_OUT = frozenset({"unanswered", "coefficient"})


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for explanations without the truth.

    Args:
        keys: of the explanations.
        said: themselves.
        methods: of each.
        signals: of each, by name.
    """

    keys: list[Key]
    said: list[Explanation]
    methods: list[str]
    signals: list[dict[str, float]]


def evidence(run: Run) -> Evidence:
    """Gather what speaks for a run's explanations, those of controls left out.

    `likelihood`: how many of the answers about random directions, in the same way, are less probable than this one.
    `agreement: ...`: likeness to what is said of the same feature by other methods, at other strengths, when asked
    otherwise. The rest are scores that need no truth.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: what it says is damaged.
    """
    known = settings(run)
    said = {each.setting_id: explanations(run, each) for each in known if each.control in (None, "random")}
    # Strengths that were only tried on validation features would tell of these what they cannot tell of test features.
    own = [each for each in known if each.control is None and of_test_features(said[each.setting_id])]
    measured = _measured(run)
    found = Evidence([], [], [], [])
    for setting in own:
        random = _random(setting, known, said)
        for feature_id, samples in said[setting.setting_id].items():
            for each in samples:
                if each.status != "ok":
                    continue
                key = (setting.setting_id, feature_id, each.sample)
                found.keys.append(key)
                found.said.append(each)
                found.methods.append(setting.method)
                found.signals.append(
                    _likelihood(each, random)
                    | _agreements(setting, each, own, said)
                    | measured.get((*key, each.text), {})
                )
    return found


def trust(run: Run, is_right: Mapping[Key, bool], source: str) -> dict[str, Any]:
    """Learn from validation features how probable it is that words are right, and store the probability of all.

    Args:
        run: open to be written.
        is_right: of explanations whose truth is known, whether they are right; of validation features for learning, of
            test features for telling how good the probabilities are.
        source: where that is known from, for people.

    Returns:
        How it was learnt, and how well it does on test features, as plain data.

    Raises:
        UnusablePath: the run has no explanations.
        InvalidSetting: too little is known to learn from.
    """
    gathered = evidence(run)
    if not gathered.keys:
        raise UnusablePath(
            f"no explanations in {run.folder}", remedy=f"seesay explain {run.folder}, then seesay score {run.folder}"
        )
    names, signals = with_methods(gathered.signals, gathered.methods)
    feature_ids = np.array([each.feature_id for each in gathered.said])
    is_known = np.array([key in is_right for key in gathered.keys])
    right = np.array([is_right.get(key, False) for key in gathered.keys])
    is_validation = np.array([split_of(feature_id) == "validation" for feature_id in feature_ids.tolist()])
    learnt_on, judged_on = is_known & is_validation, is_known & ~is_validation
    model = fit(names, signals[learnt_on], right[learnt_on], feature_ids[learnt_on])
    probabilities = model.probabilities(signals)
    facts = {
        "algorithm": _ALGORITHM,
        "truth": source,
        **model.as_json(),
        "scores": _ways(run),
        "n_learnt_on": int(learnt_on.sum()),
        "test": _quality(probabilities[judged_on], right[judged_on]) if judged_on.any() else None,
    }
    rows = zip(gathered.keys, gathered.said, probabilities.tolist(), strict=True)
    set_trust(run, facts, [Trusted(*key, each.text, probability) for key, each, probability in rows])
    return facts


def _quality(probabilities: np.ndarray, is_right: np.ndarray) -> dict[str, Any]:
    """How good probabilities are, as plain data."""
    coverage, accuracy = coverage_accuracy(probabilities, is_right)
    return {
        "n": len(probabilities),
        "share_right": round(float(is_right.mean()), 4),
        "calibration_error": round(calibration_error(probabilities, is_right), 4),
        "reliability": [
            [round(each.mean_probability, 4), round(each.share_right, 4), each.n]
            for each in reliability(probabilities, is_right)
        ],
        "kept": {f"{threshold:g}": _kept(probabilities, is_right, threshold) for threshold in THRESHOLDS},
        "coverage": [round(float(each), 4) for each in coverage],
        "accuracy": [round(float(each), 4) for each in accuracy],
    }


def _kept(probabilities: np.ndarray, is_right: np.ndarray, threshold: float) -> dict[str, Any]:
    """How many are at least so sure, and what share of these is right."""
    kept = probabilities >= threshold
    n = int(kept.sum())
    return {"n": n, "right": round(float(is_right[kept].mean()), 4) if n else None}


def _ways(run: Run) -> dict[KnownScore, str]:
    """For each score that needs no truth a hash of how it was computed."""
    return {score: way_of(same[-1]) for score in _NEEDING_NO_TRUTH if (same := in_one_way(run, score))}


def _measured(run: Run) -> dict[tuple[int, int, int, str], dict[str, float]]:
    """The scores of explanations that need no truth, by name, each computed in one way for all.

    They are found by the words, too: a score counts for no others.
    """
    found: dict[tuple[int, int, int, str], dict[str, float]] = {}
    for scoring in (each for score in _NEEDING_NO_TRUTH for each in in_one_way(run, score)):
        measure = scoring.measure
        assert scoring.setting_id is not None, "scores of words are of some setting's"
        for samples in scores(run, scoring).values():
            for each in samples:
                numbers = {} if each.measured.value is None else {measure.value: each.measured.value}
                numbers |= {
                    name if name.startswith(scoring.score) else f"{scoring.score} {name}": number
                    for name, number in each.measured.others.items()
                    if name not in _LEFT_OUT
                }
                key = (scoring.setting_id, each.item.feature_id, each.item.sample, each.item.text)
                found.setdefault(key, {}).update(numbers)
    return found


def _random(
    setting: StoredSetting, known: Sequence[StoredSetting], said: Mapping[int, Mapping[int, Sequence[Explanation]]]
) -> list[float]:
    """Log-probabilities of what was said, in the same way, of random directions or images; sorted."""
    controls = [each for each in known if each.control == "random" and _is_like(each, setting)]
    answers = [each for control in controls for samples in said[control.setting_id].values() for each in samples]
    return sorted(each.mean_log_probability for each in answers if each.mean_log_probability is not None)


def _likelihood(each: Explanation, random: Sequence[float]) -> dict[str, float]:
    if each.mean_log_probability is None or not random:
        return {}
    below = bisect_left(random, each.mean_log_probability) / len(random)
    return {"likelihood": below, "log_probability": each.mean_log_probability}


def _agreements(
    setting: StoredSetting,
    each: Explanation,
    own: Sequence[StoredSetting],
    said: Mapping[int, Mapping[int, Sequence[Explanation]]],
) -> dict[str, float]:
    kinds: dict[str, list[float]] = {}
    for other in own:
        kind = _differing(setting, other)
        words = said[other.setting_id].get(each.feature_id, ())
        if kind is not None and words:
            kinds.setdefault(f"agreement: {kind}", []).append(similarity(each.text, words[0].text))
    return {kind: float(np.mean(values)) for kind, values in kinds.items()}


def _differing(one: StoredSetting, other: StoredSetting) -> str | None:
    """In what two settings differ, if an agreement between them says something."""
    if one.setting_id == other.setting_id:
        return None
    if one.method != other.method:
        return "methods"
    if one.strength != other.strength:
        return "strengths"
    return "ways of asking"


def _is_like(control: StoredSetting, setting: StoredSetting) -> bool:
    return (control.method, control.explainer_hash, control.strength) == (
        setting.method,
        setting.explainer_hash,
        setting.strength,
    )
