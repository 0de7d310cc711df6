"""How fast the viewer answers on a run of many features, and whether it does so to many readers while the run grows.

    python benchmarks/viewer.py                     50 000 features, in a temporary folder
    python benchmarks/viewer.py --features 5000     fewer
    python benchmarks/viewer.py --run FOLDER        the run is made there, or found there from before

The run is made up, and written as runs are: statistics; exemplars of both parts and of every kind, as many as `seesay
collect` keeps; words by three methods, drawn from a vocabulary; scores of them, their levels, and how sure they are. A
few hundred pictures, of the size of photographs and with as much grain, stand for all images.

`seesay serve` is asked over loopback: by one reader at first, no address twice; timed is what that reader sees. Then
fifty readers ask for a mix of pages and pictures while another process adds words to the run, which must be found in
the end. The bars: 95 of 100 answers to pages of the atlas and to searches within 150 ms; the first page below 500 kB
with its style, scripts and all pictures, as they go over the line; no other answer than 200 to anyone. These are no
ratios, and hold for a machine that has nothing else to do: how busy it was is told with them.
"""

import itertools
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import unescape
from http.client import HTTPConnection, HTTPException
from json import loads
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from making.large_run import FRESH, HOW, WHAT, WHERE, make, write
from making.serving import served

from seesay.store.run import Run, exists

BAR_S, BAR_BYTES = 0.150, 500_000
N_REQUESTS, N_READERS = 60, 50


class Reader:
    """Somebody who asks a viewer, over a connection that is kept.

    Args:
        port: of the viewer.
    """

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.seconds: list[float] = []

    def get(self, address: str) -> bytes:
        """Ask, and note how long that took.

        Raises:
            HTTPException: another status than 200.
        """
        started = time.perf_counter()
        self._connection.request("GET", address)
        answer = self._connection.getresponse()
        data = answer.read()
        self.seconds.append(time.perf_counter() - started)
        if answer.status != 200:
            raise HTTPException(f"{answer.status} to {address}")
        return data

    def json(self, address: str) -> dict[str, Any]:
        """Ask for data."""
        return loads(self.get(address))


def asked(n_features: int) -> Mapping[str, tuple[Callable[[int], str], bool]]:
    """What is asked for, from how often it was before, and whether the bar is for it."""
    draw = random.Random(2)
    looks, things, places = HOW.split(), WHAT.split(), WHERE.split()
    deep = max(1, n_features // 24 - 2 * N_REQUESTS if n_features < 40_000 else 1000)
    return {
        "atlas, first pages": (lambda n: f"/?page={n + 1}", True),
        "atlas, deep pages": (lambda n: f"/?page={deep + n}", True),
        "sorted by a score": (lambda n: f"/?order=iou&page={n + 1}", True),
        "filtered": (lambda n: f"/?method=topk&level=high-level&score=iou&at_least={n / 100}", True),
        "filtered and sorted": (lambda n: f"/?split=test&least_sure={n / 100}&order=disagreement", True),
        "search, one word": (lambda n: f"/?text={things[n % len(things)]}", True),
        "search, one begun": (lambda n: f"/?text={looks[n % len(looks)]}+{things[n % len(things)][:2]}", True),
        "search, by relevance": (lambda n: f"/?text={things[n % len(things)][:1]}&order=relevance", True),
        "a feature": (lambda _: f"/runs/0/features/{draw.randrange(n_features)}", False),
        "JSON of a page": (lambda n: f"/api/features?text={places[n % len(places)]}&page={n + 1}", False),
        "JSON of a feature": (lambda _: f"/api/runs/0/features/{draw.randrange(n_features)}", False),
    }


def p95(seconds: Sequence[float]) -> float:
    """What 95 of 100 stay below."""
    return statistics.quantiles(seconds, n=20)[-1]


def told(name: str, value: str, is_kept: bool | None = None) -> bool:
    """Print a line of the table; a bar that is missed is told, and returned."""
    mark = "" if is_kept is None else "  holds" if is_kept else "  MISSED"
    print(f"{name:34}{value:>34}{mark}", flush=True)
    return is_kept is not False


def weigh(port: int) -> dict[str, int]:
    """Bytes of the first page: of itself, and of all that it asks for."""
    reader = Reader(port)
    page = reader.get("/").decode()
    pictures = {unescape(each) for each in re.findall(r'src="(/pictures/[^"]+)"', page)}
    parts = {unescape(each) for each in re.findall(r'(?:src|href)="(/static/[^"]+)"', page)}
    return {
        "page": len(page.encode()),
        "style and scripts": sum(len(reader.get(each)) for each in parts),
        "pictures": sum(len(reader.get(each)) for each in pictures),
    }


def crowd(port: int, folder: Path, n_features: int, seconds: float) -> Iterator[bool]:
    """Fifty readers, and one who writes."""
    errors: list[str] = []
    ends = time.monotonic() + seconds
    kinds = [make_address for make_address, _ in asked(n_features).values()]
    pictures = re.findall(r'src="(/pictures/[^"]+)"', Reader(port).get("/").decode())
    kinds += [lambda _: unescape(random.choice(pictures))] * 3

    def read(reader: Reader, number: int) -> None:
        for turn in itertools.count(number):
            if time.monotonic() > ends:
                return
            try:
                reader.get(kinds[turn % len(kinds)](turn % N_REQUESTS))
            except (OSError, HTTPException) as error:
                errors.append(repr(error))

    readers = [Reader(port) for _ in range(N_READERS)]
    threads = [threading.Thread(target=read, args=each) for each in zip(readers, range(N_READERS), strict=True)]
    command = [sys.executable, __file__, "--write", str(folder), "--seconds", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        n_written = int(writer.communicate()[0])
    taken = [each for reader in readers for each in reader.seconds]
    yield told(f"{N_READERS} readers for {seconds:.0f} s", f"{len(taken)} answers, p95 {p95(taken):.2f} s")
    yield told("  answers that were none", str(len(errors)), not errors)
    for each in sorted(set(errors))[:5]:
        print(f"    {each}")
    started, n_found = time.perf_counter(), 0
    while n_found < n_written and time.perf_counter() - started < 60:
        n_found = Reader(port).json(f"/api/features?text={quote_plus(FRESH)}")["n"]
        time.sleep(0.1)
    took = time.perf_counter() - started
    yield told(
        "  features written meanwhile", f"{n_found} of {n_written} found, {took:.1f} s later", n_found == n_written
    )


def measure(folder: Path, n_features: int, seconds: float) -> Iterator[bool]:
    """Every line of the table: whether its bar, if there is one, is kept."""
    load = os.getloadavg()[0]
    print(f"{n_features} features; {os.cpu_count()} processors, of which {load:.1f} were busy before")
    started = time.perf_counter()
    with served(folder) as (port, _):
        until_first = time.perf_counter() - started
        yield told("first page after", f"{until_first:.1f} s")
        reader = Reader(port)
        while (at := reader.json("/api/version"))["done"] < at["total"] or not at["total"]:
            time.sleep(0.1)
        took = time.perf_counter() - started - until_first
        yield told("all features after", f"{took:.1f} s more, {n_features / took:.0f} a second")
        for name, (address, has_bar) in asked(n_features).items():
            reader = Reader(port)
            for number in range(N_REQUESTS):
                reader.get(address(number))
            half, most = statistics.median(reader.seconds), p95(reader.seconds)
            value = f"p50 {1000 * half:.0f} ms, p95 {1000 * most:.0f} ms"
            yield told(name, value, most < BAR_S if has_bar else None)
        weights = weigh(port)
        total = sum(weights.values())
        yield told("first page and what it asks for", f"{total / 1000:.0f} kB", total < BAR_BYTES)
        for name, n_bytes in weights.items():
            yield told(f"  {name}", f"{n_bytes / 1000:.0f} kB")
        yield from crowd(port, folder, n_features, seconds)


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=50_000)
    parser.add_argument("--run", type=Path, help="the run's folder")
    parser.add_argument("--seconds", type=float, default=30.0, help="for which fifty read")
    parser.add_argument("--write", type=Path, help="the run that one process writes to")
    options: Namespace = parser.parse_args()
    if options.write:
        write(options.write, options.seconds)
        return
    with tempfile.TemporaryDirectory() as name:
        folder: Path = options.run or Path(name) / "run"
        if not exists(folder):
            started = time.perf_counter()
            make(folder, options.features)
            print(f"made in {time.perf_counter() - started:.0f} s")
        with Run.open(folder) as run:
            ((n_features,),) = run.rows("SELECT count(*) FROM features")
        kept = list(measure(folder, n_features, options.seconds))
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
