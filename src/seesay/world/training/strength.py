"""Choosing the default strength of every language model on every SAE, on validation features alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from seesay.errors import UnusablePath
from seesay.explainers.steering import explain
from seesay.files import write_json
from seesay.records import Strength
from seesay.sae import SAE, load_sae
from seesay.split import split_of
from seesay.training_log import TrainingLog
from seesay.vlm import VLM
from seesay.world.grammar import parse
from seesay.world.truth import MAX_NEW_TOKENS, Truth, is_hit, measure

GRID = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
"""In mean residual norms of the empty image."""

FILE = "strength.json"


def hit_rate(vlm: VLM, sae: SAE, truth: Truth, feature_ids: list[int], layer: int, strength: Strength) -> float:
    """Share of features, at least one, for which steering names a concept that holds."""
    [nothing] = explain(vlm, sae, feature_ids[:1], layer=layer, strength=Strength(0.0), max_new_tokens=MAX_NEW_TOKENS)
    unsteered = parse(nothing.text)
    explanations = explain(vlm, sae, feature_ids, layer=layer, strength=strength, max_new_tokens=MAX_NEW_TOKENS)
    hits = [is_hit(e.text, truth.concepts(e.feature_id), unsteered) for e in explanations]
    return sum(hits) / len(hits)


def choose_strengths(vlms: Mapping[str, VLM], out: Path, name: str, layer: int) -> None:
    """Try the grid on the validation features that have a concept, and write curves and choices beside the SAE.

    The scenes that say what a validation feature stands for are those of the `explaining` stream, so that nothing that
    is reported later takes part.

    Args:
        vlms: the language models by name, on one encoder.
        out: the training's folder; `strength.json` goes to `out/sae/<name>`.
        name: of the SAE.
        layer: the block that it reads.

    Raises:
        UnusablePath: if no validation feature of the SAE has a concept.
    """
    with TrainingLog(out, f"strength-{name}") as log:
        log.resumed(0)
        record = _choose(vlms, out / "sae" / name, layer)
        best = {f"{size}_best": max(p["ground_truth"] for p in curve) for size, curve in record["curves"].items()}
        log.evaluation(len(vlms) * len(GRID), best)
    write_json(out / "sae" / name / FILE, record)


def _choose(vlms: Mapping[str, VLM], folder: Path, layer: int) -> dict[str, Any]:
    sae = load_sae(folder).to(next(iter(vlms.values())).encoder.device)
    truth = measure(next(iter(vlms.values())), sae, layer, stream="explaining")
    chosen_on = [i for i in truth.live if split_of(i) == "validation" and truth.concepts(i)]
    if not chosen_on:
        raise UnusablePath(f"{folder}: no validation feature has a concept", expected="a longer training")
    curves: dict[str, dict[float, float]] = {name: {} for name in vlms}
    tries = [(name, value) for name in vlms for value in GRID]
    for name, value in track(
        tries, description=f"strengths {folder.name}", transient=True, console=Console(stderr=True)
    ):
        strength = Strength(value, "residual_norm")
        curves[name][value] = hit_rate(vlms[name], sae, truth, chosen_on, layer, strength)
    best = {name: max(curve, key=lambda value: (curve[value], -value)) for name, curve in curves.items()}
    return {
        "chosen": {name: {"value": value, "unit": "residual_norm"} for name, value in best.items()},
        "chosen_by": "ground_truth of steering on validation features",
        "n_features": len(chosen_on),
        "curves": {
            name: [{"value": value, "ground_truth": round(rate, 4)} for value, rate in curve.items()]
            for name, curve in curves.items()
        },
    }
