"""How cost and memory grow: with the number of features that are explained, and of images that are collected.

    python benchmarks/scaling.py

Features are 8192 random directions at the middle block of the world's M model, steered and written into a run as
`seesay explain` does it; images are the world's pictures, collected with its middle SAE. Each is measured in a process
of its own. The bars: cost a feature within 10 % from 512 to 8192, and peaks of memory alike.
"""

import resource
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import torch
from making.models import CASES

from seesay.exemplars.config import CollectionConfig
from seesay.explainers.config import Setting
from seesay.pipeline.collecting import Subject, collect
from seesay.pipeline.explaining import Speaker, explain
from seesay.records import Decoding
from seesay.sae import SAE
from seesay.sae.model import unit_rows
from seesay.store.run import Run
from seesay.world.pictures import Pictures

N_FEATURES = (64, 512, 2048, 8192)
N_IMAGES = (500, 2000, 8000)
N_WARM = 64


def explaining(n: int, folder: Path) -> float:
    """Seconds of explaining so many features."""
    case = CASES["world-m"](torch.device("cpu"))
    draw = torch.Generator().manual_seed(0)
    directions = torch.randn(max(N_FEATURES) + N_WARM, case.vlm.encoder.d_model, generator=draw)
    W_dec, _ = unit_rows(directions)
    sae = SAE(W_dec.T.contiguous(), W_dec, torch.zeros(len(W_dec)), torch.zeros(W_dec.shape[1]), "topk", k=25)
    speaker = Speaker.of(case.vlm, "world:M", sae=sae, layer=case.layer)
    setting = Setting("steering", case.strength, decoding=Decoding(case.max_new_tokens))
    with Run.writing(folder, {"subject": "world:M", "identity": "random"}) as run:
        explain(run, speaker, setting, range(max(N_FEATURES), len(W_dec)))  # caches and kernels are warm
        started = time.perf_counter()
        explain(run, speaker, setting, range(n))
        return time.perf_counter() - started


def collecting(n: int, folder: Path) -> float:
    """Seconds of collecting from so many images."""
    case = CASES["world-m"](torch.device("cpu"))
    subject = Subject(case.vlm.encoder, case.sae, case.layer, {"subject": "world:M", "sae": "world:middle"})
    with Run.writing(folder, subject.as_json()) as run:
        started = time.perf_counter()
        collect(run, subject, Pictures(n), CollectionConfig())
        return time.perf_counter() - started


WORKS = {"features": (explaining, N_FEATURES), "images": (collecting, N_IMAGES)}


def alone(what: str, n: int) -> tuple[float, float]:
    """Seconds and peak memory in MiB of one process."""
    command = [sys.executable, __file__, "--alone", what, "--n", str(n)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    seconds, peak = map(float, found.split())
    return seconds, peak


def measure() -> dict[str, float]:
    """Cost and memory of the largest number, for each of its own, against a sixteenth of it."""
    ratios: dict[str, float] = {}
    for what, (_work, numbers) in WORKS.items():
        found = {n: alone(what, n) for n in numbers}
        for n, (seconds, peak) in found.items():
            print(f"{n:6} {what:9} {seconds:8.2f} s {1000 * seconds / n:8.3f} ms each {peak:8.0f} MiB", flush=True)
        few, many = (512, 8192) if what == "features" else (500, 8000)
        ratios[f"cost_by_{what}"] = (found[many][0] / many) / (found[few][0] / few)
        ratios[f"memory_by_{what}"] = found[many][1] / found[few][1]
    return ratios


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--alone", choices=WORKS, help="one process of it")
    parser.add_argument("--n", type=int, default=512)
    options = parser.parse_args()
    if not options.alone:
        print(measure())
        return
    with tempfile.TemporaryDirectory() as folder:
        seconds = WORKS[options.alone][0](options.n, Path(folder) / "run")
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
