"""What the demo's words are worth: held against what each feature truly stands for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import binomtest

from seesay.records import Explanation
from seesay.world.concepts import Concept
from seesay.world.truth import Truth, is_hit, names_any


@dataclass(frozen=True)
class Outcome:
    """One feature of the demo.

    Args:
        feature_id: of the SAE.
        concepts: what it truly stands for, best first; at least one.
        explanations: by method, control and ablation; some features have none by ablations.
        hits: by the same, whether the first concept that the explanation names is one of them.
        names_any: the same of any concept that it names.
    """

    feature_id: int
    concepts: tuple[Concept, ...]
    explanations: Mapping[str, Explanation]
    hits: Mapping[str, bool]
    names_any: Mapping[str, bool]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "feature_id": self.feature_id,
            "concepts": [str(concept) for concept in self.concepts],
            "explanations": {method: _as_json(explanation) for method, explanation in self.explanations.items()},
            "hits": dict(self.hits),
            "names_any": dict(self.names_any),
        }


def outcomes(
    feature_ids: Sequence[int],
    truth: Truth,
    said: Mapping[str, Mapping[int, Explanation]],
    unsteered: Mapping[str, Sequence[Concept]],
) -> list[Outcome]:
    """Hold words against the truth.

    Args:
        feature_ids: of the features that were explained.
        truth: what each stands for.
        said: by method (or control, or ablation), then by feature.
        unsteered: by method, the concepts that it names where there is nothing to see: these do not count.
    """
    found: list[Outcome] = []
    for feature_id in feature_ids:
        concepts = truth.concepts(feature_id)
        explanations = {name: words[feature_id] for name, words in said.items() if feature_id in words}
        hits = {name: is_hit(each.text, concepts, unsteered[each.method]) for name, each in explanations.items()}
        anywhere = {name: names_any(each.text, concepts, unsteered[each.method]) for name, each in explanations.items()}
        found.append(Outcome(feature_id, concepts, explanations, hits, anywhere))
    return found


def hit_rate(found: Sequence[Outcome], method: str) -> dict[str, Any]:
    """Share of the features that a method names rightly, with its 95 % Wilson interval.

    Args:
        found: all features.
        method: a key of their explanations.
    """
    hits = [outcome.hits[method] for outcome in found if method in outcome.hits]
    if not hits:
        return {"ground_truth": None, "interval": None, "n_hits": 0, "n": 0, "names_any": None}
    anywhere = sum(outcome.names_any[method] for outcome in found if method in outcome.names_any)
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return {
        "ground_truth": round(sum(hits) / len(hits), 4),
        "interval": [round(float(interval.low), 4), round(float(interval.high), 4)],
        "n_hits": sum(hits),
        "n": len(hits),
        "names_any": round(anywhere / len(hits), 4),
    }


def by_kind(found: Sequence[Outcome], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How many features each method names rightly, by the kind of each feature's best concept.

    Args:
        found: all features.
        methods: keys of their explanations.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for outcome in found:
        counts = kinds.setdefault(outcome.concepts[0].kind, {"n": 0, "n_hits": dict.fromkeys(methods, 0)})
        counts["n"] += 1
        for method in methods:
            counts["n_hits"][method] += outcome.hits[method]
    return kinds


def constant(found: Sequence[Outcome]) -> dict[str, Any]:
    """What the best single answer to every feature would score, chosen after the fact: a bar that is not zero.

    Args:
        found: all features.
    """
    if not found:
        return {"concept": None, "ground_truth": None}
    [(concept, n_hits)] = Counter(concept for outcome in found for concept in outcome.concepts).most_common(1)
    return {"concept": str(concept), "ground_truth": round(n_hits / len(found), 4)}


def _as_json(explanation: Explanation) -> dict[str, Any]:
    return {name: value for name, value in asdict(explanation).items() if name != "seconds"}
