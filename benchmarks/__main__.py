"""What is compared in one go: `make bench`, or `python benchmarks --out bench.json`.

Every figure is a ratio of two measurements of the same run, so that it stands on any machine and beside other work.
The other modules of this folder are measured by themselves: they take longer, or need what is not everywhere.
"""

import json
import platform
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import cluster
import collecting
import explaining
import scaling
import scoring
import torch
import transformers

PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "explaining": explaining.measure,
    "collecting": collecting.measure,
    "scoring": scoring.measure,
    "scaling": scaling.measure,
    "cluster": cluster.measure,
}


def main() -> None:
    """Measure, print and write."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    parser.add_argument("--only", choices=PARTS, action="append", help="some of it; may be given more than once")
    options = parser.parse_args()
    n_threads, ratios, taken = torch.get_num_threads(), dict[str, float](), dict[str, float]()
    for name in options.only or PARTS:
        print(f"\n{name}", flush=True)
        torch.set_num_threads(n_threads)
        started = time.perf_counter()
        ratios |= PARTS[name]()
        taken[name] = time.perf_counter() - started
    machine = {
        "threads": n_threads,
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    found = {"ratios": {name: round(value, 4) for name, value in ratios.items()}, "seconds": taken, "machine": machine}
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print("\n" + "\n".join(f"{name:24} {value:8.2f}" for name, value in ratios.items()))
    print(f"In {options.out}, after {sum(taken.values()):.0f} s.")


if __name__ == "__main__":
    main()
