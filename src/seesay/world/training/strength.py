"""Choosing the world's default strength, on validation features alone."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from seesay.explainers.steering import explain
from seesay.records import Strength
from seesay.sae import SAE
from seesay.split import split_of
from seesay.vlm import VLM
from seesay.world.grammar import parse
from seesay.world.truth import MAX_NEW_TOKENS, Truth, is_hit, measure

GRID = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
"""In mean residual norms of the empty image."""


def hit_rate(vlm: VLM, sae: SAE, truth: Truth, feature_ids: list[int], layer: int, strength: Strength) -> float:
    """Share of features, at least one, for which steering names a concept that holds."""
    [nothing] = explain(vlm, sae, feature_ids[:1], layer=layer, strength=Strength(0.0), max_new_tokens=MAX_NEW_TOKENS)
    unsteered = parse(nothing.text)
    explanations = explain(vlm, sae, feature_ids, layer=layer, strength=strength, max_new_tokens=MAX_NEW_TOKENS)
    hits = [is_hit(e.text, truth.concepts(e.feature_id), unsteered) for e in explanations]
    return sum(hits) / len(hits)


def choose_strength(vlm: VLM, sae: SAE, layer: int, out: Path) -> dict[str, Any]:
    """Try the grid on the validation features that have a concept, and write curve and choice beside the SAE.

    The scenes that say what a validation feature stands for are those of the `explaining` stream, so that nothing that
    is reported later takes part.
    """
    truth = measure(vlm, sae, layer, stream="explaining")
    chosen_on = [i for i in truth.live if split_of(i) == "validation" and truth.concepts(i)]
    assert chosen_on, "the SAE has no validation feature with a concept"
    curve = {
        value: hit_rate(vlm, sae, truth, chosen_on, layer, Strength(value, "residual_norm"))
        for value in track(GRID, description="strengths", transient=True, console=Console(stderr=True))
    }
    best = max(curve, key=lambda value: (curve[value], -value))
    record = {
        "chosen": {"value": best, "unit": "residual_norm"},
        "chosen_by": "ground_truth of steering on validation features",
        "n_features": len(chosen_on),
        "curve": [{"value": value, "ground_truth": round(rate, 4)} for value, rate in curve.items()],
    }
    (out / "strength.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record
