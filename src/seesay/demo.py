"""The demo: features of the embedded world's encoder, put into words by steering and held against the truth."""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy.stats import binomtest

from seesay import world
from seesay.errors import UnusablePath
from seesay.explainers.steering import Control, explain
from seesay.files import write_json
from seesay.records import Explanation, Strength
from seesay.sae import SAE, load_sae
from seesay.split import split_of
from seesay.vlm import VLM
from seesay.world.concepts import Concept
from seesay.world.grammar import parse, phrase
from seesay.world.truth import MAX_NEW_TOKENS, N_SCENES, Truth, is_hit, measure, names_any

_METHODS: dict[str, Control | None] = {
    "steering": None,
    "control_random_steering": "random",
    "control_permuted_steering": "permuted",
}
_N_SHOWN = 24
_RULE = (
    "{shown} of {all}. Right: the first thing named that the picture does not get unsteered ('{unsteered}') holds for"
    " the feature, to the letter: a clover is no plant here. Of what holds, the best fitting is shown.\n"
)
_BATCH = 128


@runtime_checkable
class ProgressBar(Protocol):
    """Shows how far a piece of work is; the value it enters with is told how many more are done."""

    def __call__(self, what: str, *, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Start a bar."""
        ...


@dataclass(frozen=True)
class Outcome:
    """One feature of the demo.

    Args:
        feature_id: of the SAE.
        concepts: what it truly stands for, best first; empty if no word of the world fits.
        explanations: by method.
        hits: by method, whether the first concept that the explanation names is one of them; empty without concepts.
        names_any: the same of any concept that it names.
    """

    feature_id: int
    concepts: tuple[Concept, ...]
    explanations: dict[str, Explanation]
    hits: dict[str, bool]
    names_any: dict[str, bool]


def demo(
    *,
    subject: str,
    sae_name: str,
    out: Path,
    max_features: int | None,
    device: str,
    dtype: str,
    seed: int,
    console: Console,
    progress: ProgressBar,
) -> dict[str, Any]:
    """Explain the live test features of the world's SAE by steering, with two controls, and check every one.

    Args:
        subject: which of the world's models: `world:S`, `world:M`, `world:L`, or `world`.
        sae_name: which of its SAEs: `world:early`, `world:middle` or `world:late`.
        out: folder for `summary.json` and `features.json`.
        max_features: explain the first so many; None for all.
        device: where to compute.
        dtype: number format of the weights.
        seed: of the controls.
        console: where the tables go.
        progress: shows how far the work is.

    Returns:
        The summary: how many features, how long it took, and each method's share of hits.

    Raises:
        UnusablePath: if `out` cannot be written.
        UnreadableModel: if the world has no such model.
        UnreadableSAE: if it has no such SAE.
    """
    started = time.monotonic()
    strength = world.strength(sae_name, subject)
    _make_folder(out)
    vlm = world.load_vlm(subject, device=device, dtype=dtype)
    sae = load_sae(world.sae(sae_name)).to(vlm.encoder.device)
    layer = sae.provenance.layer
    assert layer is not None, "the world's SAEs say which block they are for"
    with progress("truth", total=N_SCENES) as advance:
        truth = measure(vlm, sae, layer, n_scenes=N_SCENES, on_batch=advance)
    feature_ids = [feature_id for feature_id in truth.live if split_of(feature_id) == "test"][:max_features]
    [nothing] = explain(vlm, sae, feature_ids[:1], layer=layer, strength=Strength(0.0), max_new_tokens=MAX_NEW_TOKENS)
    said: dict[str, list[Explanation]] = {}
    for method, control in _METHODS.items():
        with progress(method, total=len(feature_ids)) as advance:
            said[method] = _explain(vlm, sae, feature_ids, layer, strength, control, seed, advance)
    outcomes = _outcomes(feature_ids, truth, said, unsteered=parse(nothing.text))
    seconds = round(time.monotonic() - started, 1)
    summary: dict[str, Any] = {
        "subject": f"world:{world.checkpoint(subject).name}",
        "sae": sae_name,
        "n_features": len(feature_ids),
        "n_live_features": len(truth.live),
        "n_features_with_concept": sum(bool(outcome.concepts) for outcome in outcomes),
        "seconds": seconds,
        "seed": seed,
        "strength": asdict(strength),
        "unsteered": nothing.text,
        "methods": {method: _hit_rate(outcomes, method) for method in _METHODS},
        "steering_by_kind": _by_kind(outcomes),
        "constant": _constant(outcomes),
    }
    write_json(out / "summary.json", summary)
    write_json(out / "features.json", [_as_json(outcome) for outcome in outcomes])
    shown = [outcome for outcome in outcomes if outcome.concepts][:_N_SHOWN]
    console.print(feature_table(shown))
    n_shown, n_all = len(shown), summary["n_features_with_concept"]
    console.print(Text(_RULE.format(shown=n_shown, all=n_all, unsteered=nothing.text)))
    console.print(summary_table(summary))
    console.print(
        Text(f"{len(feature_ids)} features in {seconds:.0f} s; all of them, with their words: {out / 'features.json'}")
    )
    return summary


def _explain(
    vlm: VLM,
    sae: SAE,
    feature_ids: Sequence[int],
    layer: int,
    strength: Strength,
    control: Control | None,
    seed: int,
    advance: Callable[[int], None],
) -> list[Explanation]:
    return explain(
        vlm,
        sae,
        feature_ids,
        layer=layer,
        strength=strength,
        control=control,
        seed=seed,
        batch_size=_BATCH,
        max_new_tokens=MAX_NEW_TOKENS,
        on_batch=lambda batch: advance(len(batch)),
    )


def _outcomes(
    feature_ids: Sequence[int], truth: Truth, said: dict[str, list[Explanation]], unsteered: Sequence[Concept]
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for row, feature_id in enumerate(feature_ids):
        concepts = truth.concepts(feature_id)
        explanations = {method: rows[row] for method, rows in said.items()}
        said_of = explanations.items() if concepts else ()
        hits = {method: is_hit(e.text, concepts, unsteered) for method, e in said_of}
        anywhere = {method: names_any(e.text, concepts, unsteered) for method, e in said_of}
        outcomes.append(Outcome(feature_id, concepts, explanations, hits, anywhere))
    return outcomes


def _hit_rate(outcomes: Sequence[Outcome], method: str) -> dict[str, Any]:
    """Share of the features with a concept that a method names rightly, with its 95 % Wilson interval."""
    hits = [outcome.hits[method] for outcome in outcomes if outcome.concepts]
    if not hits:
        return {"ground_truth": None, "interval": None, "n_hits": 0, "n": 0, "names_any": None}
    anywhere = sum(outcome.names_any[method] for outcome in outcomes if outcome.concepts)
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return {
        "ground_truth": round(sum(hits) / len(hits), 4),
        "interval": [round(float(interval.low), 4), round(float(interval.high), 4)],
        "n_hits": sum(hits),
        "n": len(hits),
        "names_any": round(anywhere / len(hits), 4),
    }


def _by_kind(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """Steering's hits by the kind of each feature's best concept."""
    kinds: dict[str, dict[str, int]] = {}
    for outcome in outcomes:
        if outcome.concepts:
            counts = kinds.setdefault(outcome.concepts[0].kind, {"n_hits": 0, "n": 0})
            counts["n_hits"] += outcome.hits["steering"]
            counts["n"] += 1
    return kinds


def _constant(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What the best single answer to every feature would score, chosen after the fact: a bar that is not zero."""
    scored = [outcome.concepts for outcome in outcomes if outcome.concepts]
    if not scored:
        return {"concept": None, "ground_truth": None}
    [(concept, n_hits)] = Counter(concept for concepts in scored for concept in concepts).most_common(1)
    return {"concept": str(concept), "ground_truth": round(n_hits / len(scored), 4)}


def feature_table(outcomes: Sequence[Outcome]) -> Table:
    """Features with a known concept: what steering says, what is true, and whether they agree."""
    table = Table(title="What the model says of its own features", title_justify="left", header_style="bold")
    table.add_column("feature", justify="right")
    table.add_column("explanation by steering", overflow="fold")
    table.add_column("stands for", overflow="fold")
    table.add_column("")
    for outcome in outcomes:
        right = outcome.hits["steering"]
        table.add_row(
            str(outcome.feature_id),
            Text(outcome.explanations["steering"].text),
            Text(phrase(outcome.concepts[0])),
            Text("right", style="green") if right else Text("wrong", style="red"),
        )
    return table


def summary_table(summary: dict[str, Any]) -> Table:
    """Each method's share of hits, with its interval."""
    n = summary["n_features_with_concept"]
    title = f"Named rightly, of {n} features that a word of the world fits (oracle: the scenes' own records)"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("method")
    table.add_column("right", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("said anywhere", justify="right")
    for method, figures in summary["methods"].items():
        if figures["n"] == 0:
            table.add_row(method, "-", "-", "-")
            continue
        low, high = figures["interval"]
        table.add_row(
            method, f"{figures['ground_truth']:.1%}", f"{low:.1%} to {high:.1%}", f"{figures['names_any']:.1%}"
        )
    constant = summary["constant"]
    if constant["concept"] is not None:
        table.add_row(f"always {constant['concept']} *", f"{constant['ground_truth']:.1%}", "", "")
        table.caption = "* one answer for all, chosen after the fact: it tells no feature from another"
        table.caption_justify = "left"
    return table


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "feature_id": outcome.feature_id,
        "concepts": [str(concept) for concept in outcome.concepts],
        "explanations": {method: asdict(explanation) for method, explanation in outcome.explanations.items()},
        "hits": outcome.hits,
        "names_any": outcome.names_any,
    }


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusablePath(f"cannot write to {out}: {error.strerror}", expected="a folder of yours") from error
    if not os.access(out, os.W_OK):
        raise UnusablePath(f"cannot write to {out}: no permission", expected="a folder of yours")
