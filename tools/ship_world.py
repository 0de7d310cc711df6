"""Put a finished training of the embedded world into the package, with its logs and what it reached beside it.

Run from the repository's root: `python tools/ship_world.py runs/world`. The weights' golden words in
`tests/world/test_weights.py` and the figures in README.md and docs/world.md are then to be renewed by hand.
"""

import argparse
import shutil
from pathlib import Path

import torch

from seesay.files import write_json
from seesay.world import DATA
from seesay.world.targets import evaluate, load_models
from seesay.world.training.config import BLOCKS, SIZES, TRAINING_FILE

DOCS = Path(__file__).parents[1] / "docs" / "training"


def main() -> None:
    """Evaluate, copy, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a training whose stages are all done")
    run: Path = parser.parse_args().run
    parts = [*(f"vlm/{name}" for name in (*SIZES, "judge")), *(f"sae/{name}" for name in BLOCKS), "scorer"]
    needed = [*parts, TRAINING_FILE, *(f"sae/{name}/strength.json" for name in BLOCKS)]
    if missing := [part for part in needed if not (run / part).exists()]:
        parser.error(f"{run} lacks {', '.join(missing)}: finish the training first")
    # Nothing is removed before all of it is known to be whole.
    targets, figures = evaluate(load_models(run, device="cpu"), lambda: print(".", end="", flush=True))
    for kind in ("vlm", "sae", "scorer"):
        shutil.rmtree(DATA / kind, ignore_errors=True)
    for part in parts:
        shutil.copytree(run / part, DATA / part)
    shutil.copy(run / TRAINING_FILE, DATA / TRAINING_FILE)
    shutil.rmtree(DOCS, ignore_errors=True)
    DOCS.mkdir(parents=True)
    for log in sorted(run.glob("*.jsonl")):
        shutil.copy(log, DOCS / log.name)
    made_by = {
        checkpoint.stem: torch.load(checkpoint, map_location="cpu", weights_only=True)["made_by"]
        for checkpoint in sorted((run / "checkpoints").glob("*.pt"))
    }
    write_json(DOCS / "made_by.json", made_by)
    write_json(DOCS / "evaluation.json", {"targets": [target.as_json() for target in targets], "figures": figures})
    print()
    for target in targets:
        print(f"{'met ' if target.met else 'MISS'} {target.name}: {target.reached} (target {target.target})")


if __name__ == "__main__":
    main()
