"""What every score takes, per thousand features, and how much of that its models do.

    python benchmarks/scoring.py                    all scores, on 300 features of the embedded world
    python benchmarks/scoring.py --scores clip,iou  some of them
    python benchmarks/scoring.py --profile clip     where one of them spends its time

A run of the world is made first (the L model and the SAE of its last block); half of its features are put into words by
steering, half by what their exemplars share, and neither is timed. Then every score is computed as `seesay score` does
it, with nothing remembered: exemplars read, images made, drawn and encoded, numbers written. Loading of models is left
out.

Of the same seconds, those within the models' own forward functions are counted: of networks whatever is called from
outside of one (so the generation loop around judge and explainer is not), the SAE's encoding, and where the world's own
knowledge stands in for a network, its drawing of pictures and masks. The bar: no score takes more than twice what its
models take. Other work on the machine slows both alike, so that their ratio stands on a busy one, too; how long it
waits for a turn it does not count: ratios are of processor time, the seconds are a clock's.
"""

import cProfile
import pstats
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

import seesay
from seesay.exemplars.config import CollectionConfig
from seesay.explainers.config import Setting
from seesay.instruments.instrument import Embedder, Judge
from seesay.instruments.judges import VLMJudge
from seesay.pipeline.collecting import Subject, collect
from seesay.pipeline.explaining import Speaker, explain
from seesay.pipeline.scoring import score
from seesay.pipeline.surveying import Survey
from seesay.records import Decoding
from seesay.sae import SAE, load_sae
from seesay.scorers.activations import Activations
from seesay.scorers.aids import items_of
from seesay.scorers.auroc import Auroc
from seesay.scorers.clip import Clip
from seesay.scorers.config import SCORES, Score, Scoring
from seesay.scorers.detection import Detection
from seesay.scorers.distinctness import Distinctness
from seesay.scorers.faithfulness import Faithfulness
from seesay.scorers.fuzzing import Fuzzing
from seesay.scorers.iou import IoU
from seesay.scorers.scorer import Item, Scorer
from seesay.store.explanations import StoredSetting, explanations, shown_images
from seesay.store.gallery import explainable
from seesay.store.held_out import RunHeldOut
from seesay.store.run import Run
from seesay.store.synthesised import Synthesised, synthesise
from seesay.vlm import VLM
from seesay.world import instruments, pairs, truth
from seesay.world.grammar import parse
from seesay.world.judging import of_nothing
from seesay.world.pictures import Pictures
from seesay.world.scorers.counterfactual import Counterfactual
from seesay.world.scorers.ground_truth import GroundTruth

SAE_NAME, SUBJECT = "world:late", "world:L"
BAR = 2.0
N_SHOWN = 5
N_IN_PROFILE = 40
SCORING = Scoring()

COMPUTED: Sequence[Score] = [name for name in SCORES if name != "people"]
"""What people say is read, not computed."""

MODELS: Sequence[tuple[Any, str]] = (
    (torch.nn.Module, "__call__"),
    (SAE, "encode"),
    (instruments, "synthesise"),  # the world's synthesiser
    (instruments, "sample"),  # its segmenter, with the next two
    (instruments, "render"),
    (instruments, "object_mask"),
    (pairs, "sample"),  # what draws pairs of scenes
    (pairs, "render"),
    (truth, "sample"),  # and the scenes that tell the truth
    (truth, "render"),
)


@dataclass(frozen=True)
class Taken:
    """How long something took.

    Args:
        seconds: by the clock.
        busy: of the processor.
    """

    seconds: float = 0.0
    busy: float = 0.0

    @classmethod
    def now(cls) -> "Taken":
        """Since some time or other."""
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: "Taken") -> "Taken":
        return Taken(self.seconds - other.seconds, self.busy - other.busy)

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.seconds + other.seconds, self.busy + other.busy)


@contextmanager
def clocked() -> Generator[Callable[[], Taken]]:
    """Tell how long models took; what one calls from within another is counted with that."""
    found, is_within = Taken(), False

    def clock(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            nonlocal found, is_within
            if is_within:
                return function(*arguments, **options)
            is_within = True
            started = Taken.now()
            try:  # an encoder is left by an exception where only its first blocks are asked for
                return function(*arguments, **options)
            finally:
                found += Taken.now() - started
                is_within = False

        return timed

    with ExitStack() as patched:
        for owner, name in MODELS:
            patched.enter_context(patch.object(owner, name, clock(getattr(owner, name))))
        yield lambda: found


@contextmanager
def silent(_what: str, *, total: int | None) -> Generator[Callable[[int], None]]:
    """Show no progress."""
    assert total is None or total >= 0
    yield lambda _n: None


class Bench:
    """A run of the world, and what its scores are computed with.

    Args:
        run: new and empty.
        n_pictures: that it is collected from.
        n_features: that are explained.
    """

    def __init__(self, run: Run, vlm: VLM, sae: SAE, n_pictures: int, n_features: int) -> None:
        assert sae.provenance.layer is not None
        self.run, self.vlm, self.sae, self.layer = run, vlm, sae, sae.provenance.layer
        self.pictures = Pictures(n_pictures)
        subject = Subject(vlm.encoder, sae, self.layer, {"subject": SUBJECT, "sae": SAE_NAME})
        collect(run, subject, self.pictures, CollectionConfig())
        feature_ids = explainable(run)[:n_features]
        assert len(feature_ids) == n_features, f"only {len(feature_ids)} features: take more --pictures"
        decoding = Decoding(truth.MAX_NEW_TOKENS)
        ways = (
            Setting("steering", seesay.world.strength(SAE_NAME, SUBJECT), decoding=decoding),
            Setting("topk", n_images=N_SHOWN, decoding=decoding),
        )
        speaker = Speaker.of(vlm, SUBJECT, sae=sae, layer=self.layer)
        self.settings = [
            explain(run, speaker, way, feature_ids[number :: len(ways)]) for number, way in enumerate(ways)
        ]
        self.items = {each.setting_id: items_of(explanations(run, each)) for each in self.settings}
        self.embedder: Embedder = instruments.embedder("cpu")
        self.judge: Judge = VLMJudge(seesay.world.load_vlm("world:judge", device="cpu"))

    def compute(self, name: Score) -> int:
        """Compute a score, as the command does: of all that was said, or of all features that have exemplars.

        Returns:
            How many numbers there are.
        """
        makes = self._scorers(name)
        if not SCORES[name].of_words:
            items = [Item(feature_id) for feature_id in RunHeldOut(self.run).feature_ids()]
            score(self.run, name, makes(self.settings[0]), items)
            return len(items)
        for setting in self.settings:
            score(self.run, name, makes(setting), self.items[setting.setting_id], setting=setting)
        return sum(map(len, self.items.values()))

    def _scorers(self, name: Score) -> Callable[[StoredSetting], Scorer]:
        """A function from settings to scorers, which know of nothing yet."""
        held_out = RunHeldOut(self.run, shown=shown_images(self.run))
        activations = Activations(self.vlm.encoder, self.sae, self.layer)
        match name:
            case "faithfulness":
                return lambda _: Faithfulness(held_out, self.vlm, self.sae, self.layer, SCORING)
            case "ground_truth":
                known = truth.measure(self.vlm, self.sae, self.layer)
                return lambda setting: GroundTruth(known, parse(of_nothing(self.vlm, setting.method)))
            case "iou":
                scorer: Scorer = IoU(held_out, instruments.WorldSegmenter(), SCORING)
            case "clip":
                scorer = Clip(held_out, self.embedder, SCORING)
            case "auroc":
                scorer = self._auroc(held_out, activations)
            case "detection":
                scorer = Detection(held_out, activations, self.judge, SCORING)
            case "fuzzing":
                scorer = Fuzzing(held_out, activations, self.judge, SCORING)
            case "counterfactual":
                scorer = Counterfactual(activations, SCORING)
            case "monosemanticity":
                scorer = Survey(self.pictures, activations, self.embedder, silent)
            case "distinctness":
                scorer = Distinctness(held_out, self.embedder, SCORING)
        return lambda _: scorer

    def _auroc(self, held_out: RunHeldOut, activations: Activations) -> Auroc:
        synthesiser, n = instruments.WorldSynthesiser(), SCORING.n_images
        kept = Synthesised(self.run.folder / "synthesised", synthesiser.facts)
        texts = {item.text for items in self.items.values() for item in items}
        synthesise(kept, sorted(texts - {""}), n, lambda: synthesiser)
        return Auroc(held_out, lambda text: kept.read(text, n), activations, SCORING, kept.facts)


def take(bench: Bench, name: Score) -> tuple[int, Taken, Taken]:
    """How many features were scored, how long that took, and how long models were at work in that time."""
    with clocked() as of_models:
        started = Taken.now()
        n = bench.compute(name)
        return n, Taken.now() - started, of_models()


def profile(bench: Bench, name: Score) -> None:
    """Print where a score spends its time."""
    with cProfile.Profile() as profiler:
        bench.compute(name)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(N_IN_PROFILE)
    pstats.Stats(profiler).sort_stats("cumtime").print_stats(2 * N_IN_PROFILE)


def measure(n_features: int = 100, n_pictures: int = 1000) -> dict[str, float]:
    """How many times as long as its models each score takes."""
    return compute(COMPUTED, n_features, n_pictures)


def compute(
    names: Sequence[Score], n_features: int, n_pictures: int, profiled: Score | None = None
) -> dict[str, float]:
    """Make a run and compute scores, or look where one of them spends its time."""
    torch.set_num_threads(1)
    vlm = seesay.world.load_vlm(SUBJECT, device="cpu")
    sae = load_sae(seesay.world.sae(SAE_NAME))
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, Run.writing(Path(folder) / "run", {"identity": SUBJECT}) as run:
        bench = Bench(run, vlm, sae, n_pictures, n_features)
        if profiled:
            profile(bench, profiled)
            return ratios
        print(f"{n_pictures} pictures; seconds per 1000 features, on one thread")
        print(f"{'score':16} {'features':>8} {'seconds':>9} {'of models':>10} {'ratio':>6}")
        for name in names:
            n, total, of_models = take(bench, name)
            ratios[f"score_{name}"] = ratio = total.busy / of_models.busy
            remark = "" if ratio <= BAR else f"  more than {BAR:g} times its models"
            if not SCORES[name].of_words:
                remark += f"  {1000 * total.seconds / n_pictures:.2f} ms for each picture of the run"
            each, own = 1000 * total.seconds / n, 1000 * of_models.seconds / n
            print(f"{name:16} {n:8} {each:9.1f} {own:10.1f} {ratio:6.2f}{remark}", flush=True)
    return ratios


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=300)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--scores", default=",".join(COMPUTED))
    parser.add_argument("--profile", choices=COMPUTED)
    options = parser.parse_args()
    names = [name for name in COMPUTED if name in options.scores.split(",")]
    compute(names, options.features, options.pictures, options.profile)


if __name__ == "__main__":
    main()
