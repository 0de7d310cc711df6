"""The demo: features of the embedded world's encoder, put into words and held against the truth.

Everything goes through a run, as it does for any other model: collected, explained, kept.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from rich.console import Console
from rich.text import Text

from seesay import world
from seesay.demo.measuring import keep_scores
from seesay.demo.scoring import Outcome, by_kind, constant, hit_rate, outcomes
from seesay.demo.tables import feature_table, summary_table, title_of
from seesay.exemplars.config import CollectionConfig
from seesay.explainers.config import METHODS, Setting
from seesay.files import write_json
from seesay.pipeline.collecting import Subject, collect
from seesay.pipeline.explaining import Speaker, explain
from seesay.pipeline.progress import ProgressBar
from seesay.records import Ablation, Control, Decoding, Explanation, Method, Strength
from seesay.sae import SAE, load_sae
from seesay.split import split_of
from seesay.store.explanations import explanations
from seesay.store.run import Run
from seesay.vlm import VLM
from seesay.world.grammar import parse
from seesay.world.judging import N_SHOWN, of_nothing
from seesay.world.pictures import Pictures
from seesay.world.truth import MAX_NEW_TOKENS, N_SCENES, Truth, measure

_METHODS: tuple[Method, ...] = ("steering", "topk", "hybrid")
_CONTROLS: tuple[Control, ...] = ("random", "permuted")
_ABLATIONS: tuple[tuple[Method, Ablation], ...] = (
    ("steering", "none"),
    ("hybrid", "none"),
    ("hybrid", "random-direction"),
    ("hybrid", "permuted-direction"),
    ("hybrid", "random-images"),
    ("hybrid", "permuted-images"),
)
RUN = "run"
"""The run's folder, beside what the demo writes of it."""

N_IMAGES = 2000
_N_ABLATED = 150
"""Features from which something is taken away: enough to see how much of the words it carried."""

_N_SHOWN = 24
_RULE = (
    "{shown} of {all}; + is right. Right: the first thing named that is not said where there is nothing to see holds"
    " for the feature, to the letter: a clover is no plant here. Of what holds, the best fitting is shown.\n"
)
_BATCH = 128


@final
@dataclass(frozen=True, eq=False)
class _Explained:
    """One model and one SAE of the world, in a run."""

    run: Run
    vlm: VLM
    speaker: Speaker
    strengths: dict[Method, Strength]
    seed: int
    progress: ProgressBar

    def say(
        self, name: str, method: Method, control: Control | Ablation | None, feature_ids: Sequence[int]
    ) -> dict[int, Explanation]:
        """What is said of each feature."""
        strength = None if control == "none" else self.strengths.get(method)
        setting = Setting(
            method,
            strength,
            control,
            n_images=N_SHOWN,
            decoding=Decoding(MAX_NEW_TOKENS),
            seed=self.seed,
        )
        with self.progress(name, total=len(feature_ids)) as advance:
            stored = explain(self.run, self.speaker, setting, feature_ids, batch_size=_BATCH, on_batch=advance)
        return {feature_id: said[0] for feature_id, said in explanations(self.run, stored, feature_ids).items()}


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
    """Explain those test features of the world's SAE that stand for something there is a word for, and check every one.

    Args:
        subject: which of the world's models: `world:S`, `world:M`, `world:L`, or `world`.
        sae_name: which of its SAEs: `world:early`, `world:middle` or `world:late`.
        out: folder for `summary.json`, `features.json` and the run.
        max_features: explain the first so many; None for all.
        device: where to compute.
        dtype: number format of the weights.
        seed: of the controls.
        console: where the tables go.
        progress: shows how far the work is.

    Returns:
        The summary: how many features, how long it took, and each method's share of hits.

    Raises:
        UnusablePath: if `out` cannot be written, or is a run of something else.
        UnreadableModel: if the world has no such model.
        UnreadableSAE: if it has no such SAE.
    """
    started = time.monotonic()
    strengths: dict[Method, Strength] = {
        method: world.strength(sae_name, subject, method) for method in _METHODS if METHODS[method].steers
    }
    vlm = world.load_vlm(subject, device=device, dtype=dtype)
    sae = load_sae(world.sae(sae_name)).to(vlm.encoder.device)
    layer = sae.provenance.layer
    assert layer is not None, "the world's SAEs say which block they are for"
    name = f"world:{world.checkpoint(subject).name}"
    features_of = Subject(vlm.encoder, sae, layer, {"subject": name, "sae": sae_name, "sae_options": {}})
    with Run.writing(out / RUN, features_of.as_json()) as run:
        truth = _measured(vlm, sae, layer, progress)
        with progress("collecting", total=N_IMAGES) as advance:
            collect(run, features_of, Pictures(N_IMAGES), CollectionConfig(), on_batch=advance)
        speaker = Speaker.of(vlm, name, sae=sae, layer=layer)
        explained = _Explained(run, vlm, speaker, strengths, seed, progress)
        found, unsteered = _outcomes(explained, truth, max_features)
        keep_scores(run, truth, unsteered, seed, progress)
    summary: dict[str, Any] = {
        "subject": name,
        "sae": sae_name,
        "n_features": len(found),
        "n_live_features": len(truth.live),
        "n_features_with_concept": len(found),
        "seconds": round(time.monotonic() - started, 1),
        "seed": seed,
        "strengths": {method: asdict(strength) for method, strength in strengths.items()},
        "unsteered": unsteered,
        "methods": {name: hit_rate(found, name) for name, *_ in _in_methods()},
        "ablations": {name: hit_rate(found, name) for name, *_ in _in_ablations()},
        "by_kind": by_kind(found, _METHODS),
        "constant": constant(found),
    }
    write_json(out / "summary.json", summary)
    write_json(out / "features.json", [outcome.as_json() for outcome in found])
    _print(console, summary, found, out)
    return summary


def _measured(vlm: VLM, sae: SAE, layer: int, progress: ProgressBar) -> Truth:
    with progress("truth", total=N_SCENES) as advance:
        return measure(vlm, sae, layer, n_scenes=N_SCENES, on_batch=advance)


def _outcomes(explained: _Explained, truth: Truth, max_features: int | None) -> tuple[list[Outcome], dict[Method, str]]:
    """The features, and what each method says of nothing."""
    test_features = [feature_id for feature_id in truth.live if split_of(feature_id) == "test"]
    feature_ids = [feature_id for feature_id in test_features if truth.concepts(feature_id)][:max_features]
    said = {name: explained.say(name, method, control, feature_ids) for name, method, control in _in_methods()}
    for name, method, ablation in _in_ablations():
        said[name] = explained.say(name, method, ablation, feature_ids[:_N_ABLATED])
    unsteered: dict[Method, str] = {method: of_nothing(explained.vlm, method) for method in _METHODS}
    return outcomes(feature_ids, truth, said, {method: parse(text) for method, text in unsteered.items()}), unsteered


def _in_methods() -> Iterator[tuple[str, Method, Control | None]]:
    for method in _METHODS:
        yield method, method, None
        for control in _CONTROLS:
            yield f"control_{control}_{method}", method, control


def _in_ablations() -> Iterator[tuple[str, Method, Ablation]]:
    for method, ablation in _ABLATIONS:
        yield f"{ablation.replace('-', '_')}_{method}", method, ablation


def _print(console: Console, summary: dict[str, Any], found: Sequence[Outcome], out: Path) -> None:
    shown = found[:_N_SHOWN]
    console.print(feature_table(shown, _METHODS))
    console.print(Text(_RULE.format(shown=len(shown), all=summary["n_features_with_concept"])))
    titles = {name: title_of(method, control) for name, method, control in (*_in_methods(), *_in_ablations())}
    console.print(summary_table(summary, titles))
    n, seconds = summary["n_features"], summary["seconds"]
    console.print(Text(f"{n} features in {seconds:.0f} s; all of them, with their words: {out / 'features.json'}"))
