"""What training an SAE takes: memory as the image set grows, and what the world's preset reaches in how long.

    python benchmarks/sae_training.py           peak memory, reading 2000 and 20 000 images once
    python benchmarks/sae_training.py --reach   the embedded world's preset on its middle block, with held-out figures

The bars: peaks within 5 % of each other; at least 0.90 variance explained and less than 5 % dead features within five
minutes on two cores.
"""

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import seesay
from seesay.sae import load_sae
from seesay.sae.quality import measure
from seesay.sae.training import PRESETS
from seesay.sae.training.training import Task, train_sae
from seesay.vlm import load_encoder
from seesay.world.pictures import Pictures

LAYER = 3
PATCHES_PER_IMAGE = 64


def train(n_images: int, n_steps: int, out: Path) -> float:
    """Train on the world's middle block, and return the seconds it took."""
    encoder = load_encoder(seesay.world.checkpoint("world:M"), device="cpu")
    started = time.perf_counter()
    config = replace(PRESETS["world"], n_steps=n_steps)
    train_sae(config, Task(encoder, LAYER, Pictures(n_images), "world:M"), out)
    return time.perf_counter() - started


def peak_mib(n_images: int) -> float:
    """Peak memory of a process that trains on every image once."""
    command = [sys.executable, __file__, "--once", str(n_images)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(said.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    match sys.argv[1:]:
        case ["--once", number]:
            n_steps = int(number) * PATCHES_PER_IMAGE // PRESETS["world"].batch_size
            with tempfile.TemporaryDirectory() as folder:
                train(int(number), n_steps, Path(folder))
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        case ["--reach"]:
            with tempfile.TemporaryDirectory() as folder:
                took = train(12_000, PRESETS["world"].n_steps, Path(folder))
                encoder = load_encoder(seesay.world.checkpoint("world:M"), device="cpu")
                quality = measure(load_sae(folder), encoder, LAYER, Pictures(1000, 100_000))
            print(f"{took:.0f} s: variance explained {quality.variance_explained:.4f}, dead {quality.dead_share:.2%}")
        case _:
            few, many = peak_mib(2000), peak_mib(20_000)
            print(f"peak at  2 000 images {few:7.0f} MiB")
            print(f"peak at 20 000 images {many:7.0f} MiB ({many / few:.3f}x)")


if __name__ == "__main__":
    main()
