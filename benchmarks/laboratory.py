"""Whether the viewer's models answer a crowd, leave its pages usable meanwhile, and take no more memory as they go on.

    python benchmarks/laboratory.py RUN                  a run of the embedded world, or of any model
    python benchmarks/laboratory.py RUN --requests 50    fewer questions

Asked over loopback, of `seesay serve --with-model`, is what people ask: pictures, and pushes of features. First one
person asks until the memory is measured; the same number of questions again tells what is taken for good: the bar is
1 % of it, and the figures after every tenth part are printed, as a leak is a slope. Then twenty people ask at once, as
many times each as `--turns` says, while another reads pages of the atlas: the bars are that every answer is a result
or a line that others are served first, and that 95 of 100 pages come within a second. How much slower they are than
before, in the same run, is printed as a ratio.
"""

import io
import json
import os
import statistics
import threading
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from making.serving import served
from PIL import Image

N_PEOPLE, BAR_GROWTH, BAR_S = 20, 0.01, 1.0
N_PAGES = 40


class Person:
    """Somebody who asks, over a connection that is kept.

    Args:
        port: of the viewer.
    """

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=600)

    def ask(self, address: str, body: Any) -> tuple[int, list[dict[str, Any]]]:
        """Ask for something, and read all of the answer: its status and its lines."""
        data = body if isinstance(body, bytes) else json.dumps(body)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        self._connection.request("POST", address, data, {"content-type": kind})
        answer = self._connection.getresponse()
        return answer.status, [json.loads(line) for line in answer.read().splitlines()]

    def look(self, address: str) -> float:
        """Read a page; the seconds that it took."""
        started = time.perf_counter()
        self._connection.request("GET", address)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        return time.perf_counter() - started

    def bring(self, seed: int) -> str:
        """A picture of its own."""
        pixels = np.random.default_rng(seed).integers(0, 256, (240, 320, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((640, 480)).save(file, "JPEG")
        status, (told,) = self.ask("/api/brought", file.getvalue())
        assert status == 200, told
        return told["picture"]


def question(person: Person, number: int) -> tuple[str, dict[str, Any]]:
    """The questions, in turn: a picture, a push on nothing, a push on a picture."""
    push = {"run": 0, "feature": number % 64, "strengths": [1.0], "unit": "residual_norm", "max_new_tokens": 16}
    match number % 3:
        case 0:
            return "/api/ask", {"run": 0, "picture": person.bring(number)}
        case 1:
            return "/api/steer", push
        case _:
            return "/api/steer", {**push, "picture": person.bring(number), "along": "65:0.5"}


def resident(pid: int) -> int:
    """Bytes that a process holds."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return 1024 * int(line.split()[1])


def told(name: str, value: str, is_kept: bool | None = None) -> bool:
    """Print a line of the table; a bar that is missed is told, and returned."""
    mark = "" if is_kept is None else "  holds" if is_kept else "  MISSED"
    print(f"{name:38}{value:>40}{mark}", flush=True)
    return is_kept is not False


def grow(port: int, pid: int, n_requests: int) -> Iterator[bool]:
    """What many questions leave behind."""
    person, part = Person(port), max(1, n_requests // 10)
    sizes: list[int] = []
    started = time.perf_counter()
    for number in range(2 * n_requests):
        status, lines = person.ask(*question(person, number))
        assert status == 200 and "refused" not in lines[-1], lines[-1]
        if (number + 1) % part == 0:
            sizes.append(resident(pid))
    took = (time.perf_counter() - started) / (2 * n_requests)
    yield told(f"{2 * n_requests} questions", f"{took:.2f} s each")
    before, after = sizes[len(sizes) // 2 - 1], sizes[-1]
    for name, half in (("first", sizes[: len(sizes) // 2]), ("second", sizes[len(sizes) // 2 :])):
        yield told(f"  MiB after each tenth, {name} half", " ".join(f"{each / 2**20:.0f}" for each in half))
    growth = (after - before) / before
    yield told(f"  growth over the last {n_requests}", f"{growth:+.2%}", growth <= BAR_GROWTH)


def crowd(port: int, turns: int) -> Iterator[bool]:
    """Twenty people at once, and one who reads pages."""
    reader = Person(port)
    alone = [reader.look(f"/?page={number % 5 + 1}") for number in range(N_PAGES)]
    ends: Counter[str] = Counter()
    problems: list[str] = []

    def ask(start: int) -> None:
        person = Person(port)
        for turn in range(turns):
            status, lines = person.ask(*question(person, 3 * start + 7 * turn + 1))
            is_line = status == 429 or (status == 200 and bool(lines) and set(lines[-1]) & {"result", "sighting"})
            refused = lines[-1].get("refused") if lines else None
            ends["answered" if status == 200 and not refused else "told to come again"] += 1
            if not (is_line or refused):
                problems.append(f"{status} {lines[-1:]}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(N_PEOPLE)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    busy: list[float] = []
    while any(thread.is_alive() for thread in threads):
        busy.append(reader.look(f"/?page={len(busy) % 5 + 1}"))
        time.sleep(0.05)
    took = time.perf_counter() - started
    asked = ", ".join(f"{n} {how}" for how, n in sorted(ends.items()))
    yield told(f"{N_PEOPLE} people, {turns} questions each", f"{asked}, {took:.0f} s")
    yield told("  answers that were neither", str(len(problems)), not problems)
    for each in problems[:5]:
        print(f"    {each}")
    slow = statistics.quantiles(busy, n=20)[-1] if len(busy) > 1 else busy[0]
    ratio = statistics.median(busy) / statistics.median(alone)
    yield told("  pages meanwhile", f"p95 {slow:.2f} s, {ratio:.1f} times as slow as before", slow <= BAR_S)


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, of which {os.getloadavg()[0]:.1f} were busy before")
    with served(options.run, "--with-model") as (port, pid):
        kept = [*grow(port, pid, options.requests), *crowd(port, options.turns)]
    raise SystemExit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
