"""How fast the embedded world draws: scenes a second on one core, and what the truth about them adds.

    python benchmarks/world.py

The bar is 1000 pictures a second a core. Best of several rounds, since other work on the machine only ever slows.
"""

import time
from collections.abc import Callable

from seesay.world.masks import coverage
from seesay.world.rendering import render
from seesay.world.scenes import sample

N_SCENES = 1000
N_ROUNDS = 5


def best_rate(work: Callable[[int], object]) -> float:
    """Calls a second over one round, the best of `N_ROUNDS`."""
    rates: list[float] = []
    for _ in range(N_ROUNDS):
        started = time.perf_counter()
        for seed in range(N_SCENES):
            work(seed)
        rates.append(N_SCENES / (time.perf_counter() - started))
    return max(rates)


def main() -> None:
    """Measure and print."""
    render(sample(0))  # the atlas and the tables are loaded once
    drawn = best_rate(lambda seed: render(sample(seed)))
    known = best_rate(lambda seed: coverage(render(sample(seed))))
    print(f"scene and picture             {drawn:7.0f} images/s")
    print(f"with coverage of all concepts {known:7.0f} images/s ({drawn / known:.2f}x the time)")


if __name__ == "__main__":
    main()
