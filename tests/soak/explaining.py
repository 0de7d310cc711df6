"""`seesay explain`, killed at random moments and started again: the run that comes of it is that of no kill at all.

`make soak` does it fifty times; tests/pipeline/test_explaining.py a few times.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

LONGEST_S = 1.5
"""A kill comes so long after new rows at the latest."""

_ROWS = """SELECT identity, feature_id, sample, status, text, raw_text, reason, coefficient, image_ids, donor_id,
    mean_log_probability FROM explanations JOIN settings USING (setting_id) ORDER BY 1, 2, 3"""
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Request:
    """One call of `seesay explain`.

    Args:
        flags: all but the run.
        n_kills: at most so many.
    """

    flags: tuple[str, ...]
    n_kills: int

    @classmethod
    def of(cls, flags: str, n_kills: int) -> "Request":
        return cls((*flags.split(), "--device", "cpu"), n_kills)


def requests() -> Iterator[Request]:
    """Several ways to explain, round after round; each round pushes harder, so that nothing of it is there yet."""
    for number in count(1):
        strength = f"--strength {1 + number / 4} --strength-unit residual_norm"
        yield Request.of(f"--method steering {strength} --batch-size 2", 20)
        yield Request.of(f"--method hybrid {strength} --batch-size 2 --limit 240", 15)
        yield Request.of(f"--method topk --shown {number} --batch-size 2 --limit 240", 10)
        drawn = f"--temperature 0.7 --samples 3 --batch-size 1 --limit 300 --seed {number}"
        yield Request.of(f"--method steering {strength} --control random {drawn}", 10)
        yield Request.of(f"--method steering {strength} --control permuted --batch-size 2", 5)


def soak(folder: Path, asked: Iterator[Request], n_kills: int, seed: int, tell: Callable[[str], object]) -> None:
    """Kill `seesay explain` so many times.

    Args:
        folder: empty; two runs come to lie in it.
        asked: what to ask, one after the other, until there were enough kills.
        n_kills: how many.
        seed: of the moments.
        tell: told what is done.

    Raises:
        AssertionError: a kill has changed something, or a command fails.
    """
    whole, killed = folder / "whole", folder / "killed"
    collect = ("collect", "--images", "world:120", "--subject", "world:M", "--device", "cpu", "--out", str(whole))
    tell(f"collecting {whole}")
    _finish(collect)
    shutil.copytree(whole, killed)
    rng = random.Random(seed)
    n_done = 0
    for request in asked:
        tell(" ".join(("explain", *request.flags)))
        _finish(("explain", str(whole), *request.flags))
        wanted = _rows(whole)
        n_left = min(request.n_kills, n_kills - n_done)
        while n_left and _kill(killed, request, rng.uniform(0, LONGEST_S), is_first=n_done == 0):
            n_done, n_left = n_done + 1, n_left - 1
            found = _rows(killed)
            tell(f"  kill {n_done} of {n_kills}: {len(found)} of {len(wanted)} are there")
            _check_whole(killed)
            _check_equal({key: wanted[key] for key in found if key in wanted}, found)
        _finish(("explain", str(killed), *request.flags))
        _check_whole(killed)
        _check_equal(wanted, _rows(killed))
        tell(f"  done: all {len(wanted)} are there once, and are those of the run that was not killed")
        if n_done == n_kills:
            return


def _kill(run: Path, request: Request, delay_s: float, *, is_first: bool) -> bool:
    """Start it, and kill it a while after rows have begun to appear; or say that it was done before."""
    n_before = _n_rows(run)
    with _started(("explain", str(run), *request.flags)) as process:
        while process.poll() is None and _n_rows(run) == n_before:
            time.sleep(0.005)
        if is_first and process.poll() is None:
            _check_refused(run, request)
        time.sleep(delay_s)
        if process.poll() is not None:
            _check(process.returncode == 0, f"it ended with {process.returncode}")
            return False
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # it may have come to its end between the two lines above
        _check(process.returncode in (-signal.SIGKILL, 0), f"it ended with {process.returncode}")
        return process.returncode == -signal.SIGKILL


def _check_refused(run: Path, request: Request) -> None:
    """A second one, while the first is at work."""
    second = subprocess.run(
        _command(("explain", str(run), *request.flags)), env=_environment(), capture_output=True, text=True, check=False
    )
    _check(second.returncode == 2, f"a second process was not refused: {second.returncode}, {second.stderr}")
    said = second.stderr
    is_clear = said.startswith("seesay: error: another process is writing") and said.count("\n") == 1
    _check(is_clear, f"a second process was refused by {said!r}")


def _check_whole(run: Path) -> None:
    with closing(_opened(run)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
        _check(found == [("ok",)], f"{run / 'run.db'} is damaged: {found}")
        (n_settings,) = connection.execute("SELECT count(*) - count(DISTINCT identity) FROM settings").fetchone()
        _check(n_settings == 0, f"{run / 'run.db'} holds a setting twice")


def _check_equal(wanted: dict[Any, tuple[Any, ...]], found: dict[Any, tuple[Any, ...]]) -> None:
    _check(wanted.keys() == found.keys(), f"missing or too many: {sorted(wanted.keys() ^ found.keys())[:5]}")
    for key, (*words, log_probability) in wanted.items():
        *others, other = found[key]
        _check(words == others, f"{key} says {others}, and without a kill {words}")
        is_near = log_probability is other or abs(log_probability - other) <= _TOLERANCE
        _check(is_near, f"{key} has a log-probability of {other}, and without a kill of {log_probability}")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _rows(run: Path) -> dict[Any, tuple[Any, ...]]:
    """Every explanation but its time, by the hash of its setting, its feature and sample."""
    with closing(_opened(run)) as connection:
        rows = connection.execute(_ROWS).fetchall()
    found = {row[:3]: row[3:] for row in rows}
    _check(len(found) == len(rows), "an explanation is there twice")
    return found


def _n_rows(run: Path) -> int:
    with closing(_opened(run)) as connection:
        return connection.execute("SELECT count(*) FROM explanations").fetchone()[0]


def _opened(run: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(run / 'run.db').resolve().as_uri()}?mode=ro", uri=True, timeout=60)


@contextmanager
def _started(arguments: Sequence[str]) -> "Iterator[subprocess.Popen[str]]":
    """A process in a session of its own, which does not outlive the test."""
    with subprocess.Popen(
        _command(arguments), env=_environment(), stdout=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _finish(arguments: Sequence[str]) -> None:
    done = subprocess.run(_command(arguments), env=_environment(), capture_output=True, text=True, check=False)
    _check(done.returncode == 0, f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr}")


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "seesay", *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="seesay-soak-"))
    tell(f"{options.kills} kills, seed {options.seed}, in {folder}, which stays if anything is wrong")
    soak(folder, requests(), options.kills, options.seed, tell)
    shutil.rmtree(folder)
    tell(f"{options.kills} kills changed nothing")


if __name__ == "__main__":
    main()
