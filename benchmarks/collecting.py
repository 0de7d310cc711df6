"""What collecting takes, beside the paper's own way of it.

    python benchmarks/collecting.py            seconds, on 2000 pictures and 8192 features
    python benchmarks/collecting.py --memory   peak memory, on 2000 and 20 000 pictures

The paper's way (arXiv 2603.22593, the authors' code at commit a62878f) is stated again below in plain torch and Python:
it goes twice through the images, first for each feature's largest activations, then for the heatmaps of those, with a
loop over all features for every batch. Both ways have the same encoder, SAE and pictures. What they take is measured
beside what encoding alone takes, which neither can do without.

The bars: at least 20 times faster, encoding taken off both; at most 1.3 times encoding alone; peaks within 5 %.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import seesay
from seesay.exemplars.config import CollectionConfig
from seesay.images.loading import batches
from seesay.pipeline.collecting import Subject, collect
from seesay.sae.model import SAE, unit_rows
from seesay.store.run import Run
from seesay.vlm import load_encoder
from seesay.world.pictures import Pictures

LAYER, N_FEATURES, K, BATCH = 3, 8192, 25, 32
N_TOP = 10


def subject() -> Subject:
    """The world's encoder, and an SAE of as many features as the paper's; that they are random costs nothing else."""
    encoder = load_encoder(seesay.world.checkpoint("world:M"), device="cpu")
    generator = torch.Generator().manual_seed(0)
    W_dec, _ = unit_rows(torch.randn(N_FEATURES, encoder.d_model, generator=generator))
    residual = next(iter(encoded(encoder, Pictures(200))))
    b_dec = residual.reshape(-1, encoder.d_model).mean(0)
    sae = SAE(W_dec.T.contiguous(), W_dec, torch.zeros(N_FEATURES), b_dec, "topk", k=K)
    return Subject(encoder, sae, LAYER, {"subject": "world:M", "sae": "random"})


def encoded(encoder: seesay.vlm.Encoder, pictures: Pictures) -> Iterator[Tensor]:
    """The residual stream of one batch after another."""
    for batch in batches(pictures, batch_size=BATCH, prepare=encoder.prepare):
        found = encoder.encode_prepared(batch.prepared, LAYER)
        yield found.residual[found.is_patch].reshape(len(batch), -1, encoder.d_model)


def encode_alone(task: Subject, pictures: Pictures) -> float:
    """Seconds for encoder and SAE alone."""
    started = time.perf_counter()
    for residual in encoded(task.encoder, pictures):
        task.sae.encode(residual.flatten(0, 1))
    return time.perf_counter() - started


def one_pass(task: Subject, pictures: Pictures, folder: Path) -> float:
    """Seconds for seesay's way, with all that is written."""
    started = time.perf_counter()
    with Run.writing(folder, task.as_json()) as run:
        collect(run, task, pictures, CollectionConfig())
    return time.perf_counter() - started


def two_passes(task: Subject, pictures: Pictures) -> float:
    """Seconds for the paper's way."""
    started = time.perf_counter()
    top: dict[int, list[tuple[float, int]]] = {feature_id: [] for feature_id in range(N_FEATURES)}
    for number, residual in enumerate(encoded(task.encoder, pictures)):
        activations = task.sae.encode(residual).dense(N_FEATURES).mean(1)
        for feature_id in range(N_FEATURES):
            for row in range(len(activations)):
                top[feature_id].append((activations[row, feature_id].item(), number * BATCH + row))
            top[feature_id] = sorted(top[feature_id], reverse=True)[:N_TOP]
    wanted = {feature_id: [image_id for _, image_id in found] for feature_id, found in top.items()}
    heatmaps: dict[int, dict[int, Tensor]] = {feature_id: {} for feature_id in range(N_FEATURES)}
    for number, residual in enumerate(encoded(task.encoder, pictures)):
        dense = task.sae.encode(residual).dense(N_FEATURES)
        for feature_id in range(N_FEATURES):
            for row in range(len(dense)):
                if number * BATCH + row in wanted[feature_id]:
                    heatmaps[feature_id][number * BATCH + row] = dense[row, :, feature_id].clone()
    return time.perf_counter() - started


def peak_mib(n_images: int) -> float:
    """Peak memory of a process that collects, less what encoding alone takes."""
    said = [
        float(
            subprocess.run(
                [sys.executable, __file__, *way, str(n_images)], capture_output=True, text=True, check=True
            ).stdout.splitlines()[-1]
        )
        for way in (("--collect",), ("--encode",))
    ]
    return said[0] - said[1]


def main() -> None:
    """Measure and print."""
    match sys.argv[1:]:
        case [("--collect" | "--encode") as way, number]:
            with tempfile.TemporaryDirectory() as folder:
                pictures = Pictures(int(number))
                _ = (
                    one_pass(subject(), pictures, Path(folder))
                    if way == "--collect"
                    else encode_alone(subject(), pictures)
                )
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        case ["--memory"]:
            few, many = peak_mib(2000), peak_mib(20_000)
            print(f"beyond encoding, at  2 000 pictures {few:7.0f} MiB")
            print(f"beyond encoding, at 20 000 pictures {many:7.0f} MiB ({many / few:.3f}x)")
        case _:
            n_images = 2000
            task, pictures = subject(), Pictures(n_images)
            encode_alone(task, Pictures(200))
            alone = encode_alone(task, pictures)
            with tempfile.TemporaryDirectory() as folder:
                ours = one_pass(task, pictures, Path(folder))
            theirs = two_passes(task, Pictures(n_images // 10)) * 10
            ratio = (theirs - 2 * alone) / (ours - alone)
            print(f"encoding alone   {alone:7.1f} s")
            print(f"seesay           {ours:7.1f} s, {ours / alone:.2f} times that")
            print(f"the paper's way  {theirs:7.1f} s (from a tenth of the pictures), {ratio:.0f}x without encoding")


if __name__ == "__main__":
    main()
