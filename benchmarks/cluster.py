"""What one Ray worker costs beside this process alone: features a second of steering into a run.

    python benchmarks/cluster.py                 512 features of the world's middle block, by its M model
    python benchmarks/cluster.py --features 128

Both ways explain the same features into runs of their own, 64 at a time, and say the same words. Starting Ray and
loading models is left out of the ratio on both sides, and told beside it. Rounds alternate, and the best of each
counts, since other work on the machine only ever slows. The bar: at most 1.10 times as long.
"""

import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from seesay.backends.cluster import hired
from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.options import Options
from seesay.commands.sae_options import SAEOptions
from seesay.commands.speaking import Loading, Named
from seesay.explainers.config import Setting
from seesay.pipeline.explaining import explain
from seesay.pipeline.speakers import Choir, Introducing, Speaker
from seesay.records import Decoding, Strength
from seesay.store.explanations import explanations
from seesay.store.run import Run

N_FEATURES, N_ROUNDS = 512, 7
SETTING = Setting(strength=Strength(2.0, "residual_norm"), decoding=Decoding(max_new_tokens=24))


def loading(device: str) -> Loading:
    named = Named("world:M", "world:middle", SAEOptions(), None)
    return Loading(named, True, ExplainerOptions(), Options(device=device), ())


def explained(speaker: Speaker | Choir, subject: dict[str, object], n_features: int) -> tuple[float, list[str]]:
    """Seconds, and the words."""
    with tempfile.TemporaryDirectory() as folder, Run.writing(Path(folder) / "run", subject) as run:
        started = time.perf_counter()
        stored = explain(run, speaker, SETTING, range(n_features))
        took = time.perf_counter() - started
        return took, [each.text for samples in explanations(run, stored).values() for each in samples]


def measure(n_features: int = N_FEATURES, n_rounds: int = N_ROUNDS, device: str = "cpu") -> dict[str, float]:
    """How many times as long one Ray worker takes as this process; what starting takes is printed."""
    load = loading(device)
    started = time.perf_counter()
    here = load()
    print(f"loading models into this process   {time.perf_counter() - started:7.2f} s")
    subject = dict(here.subject)
    started = time.perf_counter()
    with hired(load, n_workers=1, on_cpu=device == "cpu") as crew:
        choir = Choir(crew.facts(Introducing())["voice"], crew)
        print(f"starting Ray, and loading into one  {time.perf_counter() - started:6.2f} s")
        ways: dict[str, Speaker | Choir] = {"this process": here, "one Ray worker": choir}
        times: dict[str, list[float]] = {name: [] for name in ways}
        said: dict[str, list[str]] = {}
        for who in ways.values():
            explained(who, subject, min(64, n_features))  # kernels are warm
        for _ in range(n_rounds):
            for name, who in ways.items():
                took, said[name] = explained(who, subject, n_features)
                times[name].append(took)
    one, other = said.values()
    for name, took in times.items():
        print(
            f"{name:16} {n_features / min(took):8.2f} features/s; rounds {', '.join(f'{each:.2f} s' for each in took)}"
        )
    print(f"same words {sum(a == b for a, b in zip(one, other, strict=True))} of {n_features}")
    return {"ray_overhead": min(times["one Ray worker"]) / min(times["this process"])}


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--features", type=int, choices=range(1, 1537), default=N_FEATURES, metavar="1..1536")
    parser.add_argument("--rounds", type=int, choices=range(1, 101), default=N_ROUNDS, metavar="1..100")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    for name, ratio in measure(options.features, options.rounds, options.device).items():
        print(f"{name} {ratio:.3f}x")


if __name__ == "__main__":
    main()
