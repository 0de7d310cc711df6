"""`seesay serve` as a person has it: a process of its own, on a free port."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

_STARTING_S = 120.0
"""A busy machine may take long to start it."""


@contextmanager
def served(*folders: Path, options: Sequence[str] = ()) -> Generator[str]:
    """The address of a viewer that has read its runs.

    Args:
        folders: of the runs.
        options: of the command.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    command = [sys.executable, "-m", "seesay", "serve", *map(str, folders), "--port", str(port), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(process, address)
            yield address
        finally:
            process.send_signal(signal.SIGINT)  # Ctrl-C, as a person ends it


def _wait(process: "subprocess.Popen[bytes]", address: str) -> None:
    """Until it answers, and every feature there was is in its catalogue."""
    until = time.monotonic() + _STARTING_S
    while time.monotonic() < until:
        assert process.poll() is None, f"seesay serve ended with {process.returncode}"
        try:
            with urllib.request.urlopen(f"{address}/api/version") as answer:
                told = json.load(answer)
        except OSError:
            told = None
        if told and told["version"] and told["done"] == told["total"]:
            return
        time.sleep(0.05)
    raise AssertionError(f"{address} was not ready after {_STARTING_S:.0f} s")
