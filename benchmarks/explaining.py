"""Features a second of steering, topk and hybrid, against the naive protocol, in one run and with the same words.

    python benchmarks/explaining.py                          the world's M model, its middle block, 512 features
    python benchmarks/explaining.py --model gemma-3-4b       Gemma 3 of the 4B configuration, random weights, for a GPU:
                                                             steering, time per stage, share of the card's peak

Naive is what a hook makes of it: the whole model for each batch of 8 features, from pictures to words, with the block's
output changed on its way. Exemplars are read and drawn by the same code for both, and both decode greedily. Rounds
alternate, and the best of each counts, since other work on the machine only ever slows.

Pictures that are painted over where a feature is not active (`mask`, as published) look different to each feature, so
that there is nothing to share: their ratio is what batches of another size bring, and no more can be had, as both spend
their time in the same products of matrices. Shown as they are (`plain`), pictures are encoded once for all features.
"""

import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from making.models import CASES, Case
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seesay.exemplars.config import CollectionConfig
from seesay.explainers.config import Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import Gallery, NoImages
from seesay.images.blank import blank_image
from seesay.images.options import Overlay
from seesay.pipeline.collecting import Subject, collect
from seesay.planning.machine import measured
from seesay.records import Decoding, Method
from seesay.store.gallery import RunGallery, explainable
from seesay.store.run import Run
from seesay.vlm import VLM, generation
from seesay.vlm.loading import resolve_device
from seesay.world.pictures import Pictures

NAIVE_BATCH, N_PICTURES, N_SHOWN = 8, 2000, 5
WAYS: dict[str, tuple[Method, Overlay]] = {
    "steering": ("steering", "mask"),
    "topk": ("topk", "mask"),
    "hybrid": ("hybrid", "mask"),
    "topk_plain": ("topk", "plain"),
    "hybrid_plain": ("hybrid", "plain"),
}


@dataclass(frozen=True)
class Bench:
    """What is explained, and from what.

    Args:
        case: the model.
        gallery: the exemplars.
        feature_ids: of the features.
    """

    case: Case
    gallery: Gallery
    feature_ids: Sequence[int]

    def setting(self, method: Method, overlay: Overlay) -> Setting:
        """How."""
        strength = None if method == "topk" else self.case.strength
        return Setting(method, strength, n_images=N_SHOWN, overlay=overlay, decoding=Decoding(self.case.max_new_tokens))

    def explainer(self, setting: Setting) -> Explainer:
        """What `seesay explain` uses."""
        case = self.case
        return Explainer(
            case.vlm, setting, self.gallery, sae=case.sae, layer=case.layer, images_at_once=case.images_at_once
        )

    def fast(self, setting: Setting) -> list[str]:
        """The words of `seesay explain`."""
        batches = self.explainer(setting).explain(self.feature_ids, self.case.batch_size)
        return [said.raw_text for batch in batches for said in batch]


@contextmanager
def hook(case: Case, push: Tensor | None) -> Iterator[None]:
    """Add to what the block puts out."""
    if push is None:
        yield
        return
    handle = case.vlm.encoder.blocks[case.layer].register_forward_hook(
        lambda _block, _inputs, output: output + push.to(output), prepend=True
    )
    try:
        yield
    finally:
        handle.remove()


class Naive:
    """The whole model, with a hook, for each batch.

    Args:
        bench: what is explained.
        setting: how.
        batch_size: features at a time.
    """

    def __init__(self, bench: Bench, setting: Setting, batch_size: int) -> None:
        self._bench, self._setting, self._batch_size = bench, setting, batch_size
        vlm = bench.case.vlm
        blank = blank_image("white", vlm.encoder.image_size)
        (self._one,) = vlm.encode([blank])
        # Made once: naive code need not be slow code.
        self._blank = vlm.plain_inputs(vlm.prompts["steering"], [[blank]] * batch_size)
        self._alphas = {
            case.feature_id: case.coefficient for case in map(bench.explainer(setting)._cases.of, bench.feature_ids)
        }

    @torch.no_grad()
    def say(self) -> list[str]:
        """Its words."""
        case, said = self._bench.case, list[str]()
        generate: Any = case.vlm.model.generate
        for start in range(0, len(self._bench.feature_ids), self._batch_size):
            batch = self._bench.feature_ids[start : start + self._batch_size]
            inputs, push = self._shown(batch) if self._setting.way.shows else self._steered(batch)
            with hook(case, push):
                generated = generate(**inputs, max_new_tokens=case.max_new_tokens, do_sample=False)
            said += case.vlm.decode(generated[:, inputs["input_ids"].shape[1] :])
        return said

    def _steered(self, batch: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        alphas = torch.tensor([self._alphas[each] for each in batch])
        directions = self._bench.case.sae.directions(batch)
        inputs = {name: value[: len(batch)] for name, value in self._blank.items()}
        return inputs, alphas.to(directions)[:, None, None] * directions[:, None]

    def _shown(self, batch: Sequence[int]) -> tuple[dict[str, Tensor], Tensor | None]:
        vlm, gallery, overlay = self._bench.case.vlm, self._bench.gallery, self._setting.overlay
        rows = [gallery.exemplars(each, "top", N_SHOWN) for each in batch]
        flat = [exemplar for row in rows for exemplar in row]
        pictures = [each.drawn(overlay, gallery.picture(each.image), vlm.prompts.mask_fill) for each in flat]
        prompt = vlm.prompts[self._setting.way.prompt or ""]
        text = vlm._inputs(prompt, [[self._one] * len(row) for row in rows])
        inputs = {**text, **vlm.encoder.pictures(pictures)}
        if not self._setting.way.steers:
            return inputs, None
        geometry = vlm.encoder.geometry(pictures[0].size)
        active = [
            torch.from_numpy(each.active_in(overlay, picture.size, geometry.grid, geometry.box)).flatten()
            for each, picture in zip(flat, pictures, strict=True)
        ]
        alphas = torch.tensor([self._alphas[each.feature_id] for each in flat])
        directions = alphas[:, None] * self._bench.case.sae.directions([each.feature_id for each in flat])
        return inputs, torch.stack(active)[:, :, None] * directions[:, None]


def seconds(work: Callable[[], list[str]], device: torch.device) -> tuple[float, list[str]]:
    """How long something takes, and what comes of it."""
    started = time.perf_counter()
    said = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started, said


def compare(bench: Bench, names: Sequence[str], rounds: int) -> dict[str, float]:
    """How many times as fast as the naive protocol each way is."""
    device, n = bench.case.vlm.encoder.device, len(bench.feature_ids)
    ratios: dict[str, float] = {}
    for name in names:
        setting = bench.setting(*WAYS[name])
        ways = (Naive(bench, setting, NAIVE_BATCH).say, lambda setting=setting: bench.fast(setting))
        few = replace(bench, feature_ids=bench.feature_ids[:NAIVE_BATCH])
        Naive(few, setting, NAIVE_BATCH).say(), few.fast(setting)  # caches and kernels are warm
        found = [[seconds(way, device) for way in ways] for _ in range(rounds)]
        (naive, plainly), (fast, said) = (min(each) for each in zip(*found, strict=True))
        same = sum(one == other for one, other in zip(plainly, said, strict=True))
        ratios[name] = naive / fast
        print(
            f"{name:14} naive {n / naive:8.2f}, seesay {n / fast:8.2f} features/s: {ratios[name]:5.2f} times;"
            f" same words {same} of {n}",
            flush=True,
        )
        assert device.type != "cpu" or same == n, "other words"
    return ratios


def coarsely(bench: Bench, factors: Sequence[int]) -> None:
    """How much faster steering is on a coarser grid, and how often it says the same."""
    exact = bench.setting(*WAYS["steering"])
    device = bench.case.vlm.encoder.device
    before, expected = min(seconds(lambda: bench.fast(exact), device) for _ in range(2))
    for coarse in factors:
        setting = replace(exact, coarse=coarse)
        took, said = min(seconds(lambda setting=setting: bench.fast(setting), device) for _ in range(2))
        same = sum(one == other for one, other in zip(expected, said, strict=True))
        print(f"coarse {coarse:7} {before / took:5.2f} times as fast as exactly; same words {same} of {len(said)}")


@contextmanager
def clocked(device: torch.device) -> Generator[dict[str, float]]:
    """Add up the seconds of each stage."""
    taken: dict[str, float] = {}

    def clock(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            found = function(*arguments, **options)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken[stage] = taken.get(stage, 0.0) + time.perf_counter() - started
            return found

        return timed

    parts: tuple[tuple[Any, str, str], ...] = (
        (VLM, "encode_from", "encoding from the block on"),
        (generation._Batch, "begin", "reading"),
        (generation._Batch, "step", "saying"),
    )
    with ExitStack() as patched:
        for owner, name, stage in parts:
            patched.enter_context(patch.object(owner, name, clock(stage, getattr(owner, name))))
        yield taken


def stages(bench: Bench) -> None:
    """Where the time of steering goes, and how much of the machine's peak it reaches."""
    case, setting = bench.case, bench.setting(*WAYS["steering"])
    device, n = case.vlm.encoder.device, len(bench.feature_ids)
    few = replace(bench, feature_ids=bench.feature_ids[: case.batch_size])
    with FlopCounterMode(display=False) as counter:
        few.fast(setting)
    each = counter.get_total_flops() / len(few.feature_ids)
    with clocked(device) as taken:
        whole, _ = seconds(lambda: bench.fast(setting), device)
    for stage, took in taken.items():
        print(f"{stage:28} {took:8.2f} s of {whole:.2f}")
    peak = measured(device, case.vlm.model.dtype).flops_per_second
    share = n * each / whole / peak
    print(f"{each / 1e9:.3f} GFLOP a feature, {share:.0%} of the {peak / 1e12:.3f} TFLOP/s of a product of matrices")


def world_bench(case: Case, n_features: int, folder: Path) -> Bench:
    """Features of the world, with exemplars."""
    subject = Subject(case.vlm.encoder, case.sae, case.layer, {"subject": "world:M", "sae": "world:middle"})
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(N_PICTURES), CollectionConfig())
    run = Run.open(folder)
    return Bench(case, RunGallery(run), explainable(run)[:n_features])


def measure(n_features: int = 512, rounds: int = 3) -> dict[str, float]:
    """Ratios on the embedded world."""
    case = CASES["world-m"](torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        bench = world_bench(case, n_features, Path(folder) / "run")
        print(f"world:M, world:middle, {len(bench.feature_ids)} features, on {torch.get_num_threads()} threads")
        ratios = compare(bench, list(WAYS), rounds)
        coarsely(bench, (2, 4, 8))
        stages(bench)
        return ratios


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=CASES, default="world-m")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.model == "world-m":
        measure(options.features, options.rounds)
        return
    case = CASES[options.model](resolve_device(options.device))
    bench = Bench(case, NoImages(range(options.features)), range(options.features))
    print(f"{options.model} on {case.vlm.encoder.device}, {options.features} features")
    stages(bench)
    few = replace(bench, feature_ids=range(min(128, options.features)))
    compare(few, ["steering"], options.rounds)
    coarsely(few, (2, 4))


if __name__ == "__main__":
    main()
