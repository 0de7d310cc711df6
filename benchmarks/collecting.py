"""What collecting takes, beside the paper's own way of it.

    python benchmarks/collecting.py                 the world's encoder: 64 patches an image
    python benchmarks/collecting.py --case gemma-3  Gemma 3's geometry: 4096 patches an image, as in the paper
    python benchmarks/collecting.py --memory        peak memory, on 2000 and 20 000 pictures of the world
    python benchmarks/collecting.py --kill          20 kills at random moments, against an unbroken run

The paper's way (arXiv 2603.22593, the authors' code at commit a62878f) is stated again below in plain torch and Python:
it goes twice through the images, 64 at a time, first for every activation of every image, then for the heatmaps of the
ten largest of each feature, with a loop over all features in both; and it writes a file for each feature. It has no
statistics, no samples, no thumbnails and no other part of the images; seesay's time is with all of them.

Both ways have the same encoder, SAE, images and 8192 features. Encoding (reading and preparing images, the model, the
SAE) is timed within each way, so that what it takes beyond is known however busy the machine is. The bars: at least 20
times faster beyond encoding; at most 1.3 times encoding alone; peaks of memory within 5 %; killed and unbroken runs
equal.
"""

import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, Gemma3Config, Gemma3ForConditionalGeneration
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

import seesay
from seesay.exemplars.config import CollectionConfig
from seesay.images.loading import batches
from seesay.images.sources import ImageSource, open_source
from seesay.images.sources.source import Entry
from seesay.pipeline.collecting import Subject, collect
from seesay.sae.model import SAE, unit_rows
from seesay.store.run import Run
from seesay.vlm import VLM, load_encoder
from seesay.vlm.encoder import Encoder
from seesay.vlm.prompts import PACKAGED, read_prompts
from seesay.world.pictures import Pictures

N_FEATURES, K, N_TOP = 8192, 25, 10
SUBSET = 64  # images that the authors' code encodes before it looks at them
IMAGENET = (500, 375)  # a usual size there


def random_sae(encoder: Encoder, layer: int, source: ImageSource) -> SAE:
    """As many features as the paper's: random directions in whitened residuals, so that all of them are used."""
    generator = torch.Generator().manual_seed(0)
    batch = next(batches(source, batch_size=16, prepare=encoder.prepare))
    rows = encoder.encode_prepared(batch.prepared, layer).residual.flatten(0, 1)
    b_dec = rows.mean(0)
    variances, axes = torch.linalg.eigh((rows - b_dec).T.cov())
    whitening = axes / variances.clamp_min(1e-6 * variances.max()).sqrt() @ axes.T
    W_dec, _ = unit_rows(torch.randn(N_FEATURES, encoder.d_model, generator=generator))
    return SAE(whitening @ W_dec.T, W_dec, torch.zeros(N_FEATURES), b_dec, "topk", k=K)


def world(n_images: int, _folder: Path) -> tuple[Subject, ImageSource, int]:
    """The embedded world's model of the middle size and its pictures."""
    encoder, source = load_encoder(seesay.world.checkpoint("world:M"), device="cpu"), Pictures(n_images)
    return Subject(encoder, random_sae(encoder, 3, source), 3, {"subject": "world:M", "sae": "random"}), source, 32


def gemma_3(n_images: int, folder: Path) -> tuple[Subject, ImageSource, int]:
    """Gemma 3's images and patches (google/gemma-3-4b-it, config.json), in a narrow encoder with random weights."""
    vision = {
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 896,
        "patch_size": 14,
        "vision_use_head": False,
    }
    text = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    tokenizer: Any = AutoTokenizer.from_pretrained(seesay.world.checkpoint("world:M"))
    torch.manual_seed(0)
    config = Gemma3Config(
        vision_config=vision,
        text_config={**text, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32},
        mm_tokens_per_image=256,
        image_token_index=511,
    )
    model = Gemma3ForConditionalGeneration(config).eval().requires_grad_(False)
    eye = Gemma3ImageProcessorPil(size={"height": 896, "width": 896}, do_pan_and_scan=False)
    encoder = VLM(model, eye, tokenizer, read_prompts(PACKAGED)).encoder
    images = folder / "images"
    images.mkdir()
    for number, entry in enumerate(Pictures(n_images).entries()):
        entry.read().resize(IMAGENET, Image.Resampling.BICUBIC).save(images / f"{number:05d}.jpg")
    source = open_source(images)
    return Subject(encoder, random_sae(encoder, 0, source), 0, {"subject": "gemma-3", "sae": "random"}), source, 8


CASES = {"world": world, "gemma-3": gemma_3}


def encoded(subject: Subject, source: ImageSource, batch_size: int) -> Iterator[Tensor]:
    """The residual stream of one batch after another, image by patch by width."""
    encoder = subject.encoder
    for batch in batches(source, batch_size=batch_size, prepare=encoder.prepare):
        found = encoder.encode_prepared(batch.prepared, subject.layer)
        yield torch.stack([found.residual[row, each.position_of_patch] for row, each in enumerate(found.geometries)])


@contextmanager
def clocked() -> Generator[Callable[[], float]]:
    """Tell how many seconds went into reading, preparing and encoding of images, by model and SAE."""
    seconds = 0.0

    def clock(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            nonlocal seconds
            started = time.perf_counter()
            found = function(*arguments, **options)
            seconds += time.perf_counter() - started
            return found

        return timed

    parts = [(Entry, "read"), (Encoder, "prepare"), (Encoder, "encode_prepared"), (SAE, "encode")]
    with ExitStack() as patched:
        for owner, name in parts:
            patched.enter_context(patch.object(owner, name, clock(getattr(owner, name))))
        yield lambda: seconds


def one_pass(
    subject: Subject, source: ImageSource, batch_size: int, folder: Path, checkpoint_seconds: float = 60.0
) -> None:
    """seesay's way, with all that is written."""
    with Run.writing(folder, subject.as_json()) as run:
        collect(
            run, subject, source, CollectionConfig(), images_at_once=batch_size, checkpoint_seconds=checkpoint_seconds
        )


def dense_subsets(subject: Subject, source: ImageSource, batch_size: int) -> Iterator[Tensor]:
    """Activations of the authors' subsets, image by patch by feature; images that fill none are left out by them."""
    whole: Tensor | None = None  # made once, as a second one of 4096 patches an image would not fit
    n = 0
    for residual in encoded(subject, source, batch_size):
        codes = subject.sae.encode(residual)
        whole = residual.new_empty(SUBSET, residual.shape[1], N_FEATURES) if whole is None else whole
        whole[n : n + len(residual)].zero_().scatter_(2, codes.feature_ids, codes.values)
        n += len(residual)
        if n == SUBSET:
            yield whole
            n = 0


def two_passes(subject: Subject, source: ImageSource, batch_size: int, folder: Path) -> None:
    """The paper's way."""
    values: dict[int, list[Tensor]] = {feature_id: [] for feature_id in range(N_FEATURES)}
    ids: dict[int, list[Tensor]] = {feature_id: [] for feature_id in range(N_FEATURES)}
    n_before = 0
    for dense in dense_subsets(subject, source, batch_size):
        means = dense.mean(1)
        for feature_id in range(N_FEATURES):
            activations = means[:, feature_id]
            image_ids = torch.arange(n_before, n_before + len(means))
            is_active = activations > 0
            if is_active.any():
                values[feature_id].append(activations[is_active])
                ids[feature_id].append(image_ids[is_active])
        n_before += len(means)
    found: dict[int, dict[str, list[Any]]] = {}
    for feature_id in range(N_FEATURES):
        of_feature, of_images = values[feature_id] or [torch.empty(0)], ids[feature_id] or [torch.empty(0).long()]
        best = torch.cat(of_feature).argsort(descending=True)[:N_TOP]
        found[feature_id] = {
            "ids": torch.cat(of_images)[best].tolist(),
            "values": torch.cat(of_feature)[best].tolist(),
            "heatmaps": [None] * len(best),
        }
    n_before = 0
    for dense in dense_subsets(subject, source, batch_size):
        for row in range(len(dense)):
            for feature_id in range(N_FEATURES):
                of_feature = found[feature_id]
                if n_before + row in of_feature["ids"]:
                    place = of_feature["ids"].index(n_before + row)
                    of_feature["heatmaps"][place] = dense[row, :, feature_id].numpy().copy()
        n_before += len(dense)
    for feature_id in range(N_FEATURES):
        torch.save(found[feature_id], folder / f"{feature_id}.pt")


def measure() -> dict[str, float]:
    """How much faster than the paper's way collecting is, beyond encoding, and with it."""
    beyond, whole = compare("world", 2000)
    return {"collect": beyond, "collect_with_encoding": whole}


def compare(case: str, n_images: int) -> tuple[float, float]:
    """Time both ways, and tell how much faster seesay is: beyond encoding, and altogether."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subject, source, batch_size = CASES[case](n_images, folder)
        assert not subject.encoder.n_workers, "with workers, encoding goes on beside all else: time it on the CPU"
        beyond: list[float] = []
        totals: list[float] = []
        for label, way in (("seesay", one_pass), ("the paper's way", two_passes)):
            (out := folder / way.__name__).mkdir()  # beside the images, not among them
            started = time.perf_counter()
            with clocked() as encoding:
                way(subject, source, batch_size, out)
            total = time.perf_counter() - started
            beyond.append(total - encoding())
            totals.append(total)
            print(f"{label:16}{total:7.1f} s, {encoding():.1f} of them encoding: {total / encoding():.2f} times that")
        print(f"beyond encoding, seesay is {beyond[1] / beyond[0]:.1f} times faster")
        return beyond[1] / beyond[0], totals[1] / totals[0]


def peak_mib(way: str, n_images: int) -> float:
    """Peak memory of a process of its own: the least of three, as what the allocator holds back varies by a tenth."""
    command = [sys.executable, __file__, "--alone", way, "--images", str(n_images)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return min(float(run.stdout.splitlines()[-1]) for run in runs)


def memory() -> None:
    """Measure peaks on two numbers of pictures."""
    few, many = (peak_mib("collect", n) - peak_mib("encode", n) for n in (2000, 20_000))
    print(f"beyond encoding, at  2 000 pictures {few:7.0f} MiB")
    print(f"beyond encoding, at 20 000 pictures {many:7.0f} MiB ({many / few:.3f} times that)")


def rows(folder: Path) -> dict[str, list[Any]]:
    """All that a run has found out."""
    connection = sqlite3.connect(folder / "run.db")
    tables = ("run", "features", "images", "exemplars")
    found = {table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in tables}
    connection.close()
    files = [path.name for path in (folder / "images").rglob("*.webp")]
    return {**found, "files": sorted(files)}


def kill(n_images: int, n_kills: int) -> None:
    """Kill a run again and again, and see whether it ends as one that was left alone."""
    moments = random.Random(0)

    def start(run: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, __file__, "--alone", "collect", "--images", str(n_images), "--out", str(run)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    with tempfile.TemporaryDirectory() as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        started = time.perf_counter()
        start(whole).wait()
        seconds = time.perf_counter() - started
        n_done = 0
        while n_done < n_kills:
            with start(killed) as process:
                try:
                    process.wait(moments.uniform(0, seconds))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    n_done += 1
                else:  # it came to its end: once more from the beginning
                    assert rows(killed) == rows(whole)
                    killed = killed.with_name(f"killed-{n_done}")
        start(killed).wait()
        is_same = rows(killed) == rows(whole)
        print(f"after {n_kills} kills within {seconds:.0f} s each: {'equal' if is_same else 'NOT equal'}")
        sys.exit(0 if is_same else 1)


def alone(way: str, n_images: int, out: Path) -> None:
    """Do one thing, and print this process's peak memory."""
    subject, source, batch_size = world(n_images, out)
    if way == "collect":
        one_pass(subject, source, batch_size, out, checkpoint_seconds=0.5)  # often, for --kill
    else:
        for residual in encoded(subject, source, batch_size):
            subject.sae.encode(residual)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, default="world")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--alone", choices=("collect", "encode"), help="one process of --memory and --kill")
    parser.add_argument("--out", type=Path, help="its run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.alone:
            alone(options.alone, options.images, options.out or Path(name))
        elif options.memory:
            memory()
        elif options.kill:
            kill(options.images, 20)
        else:
            compare(options.case, options.images)


if __name__ == "__main__":
    main()
