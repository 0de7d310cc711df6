"""`seesay serve` as a process: it starts, and however it is ended, nothing of it is left."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seesay.viewer.serving import Keeper


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/version") as answer:
            return answer.status == 200
    except OSError:
        return False


def test_nothing_is_left_of_it_even_if_somebody_still_sends(filled: Path, tmp_path: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    folders = [tmp_path / number.name for number in numbers]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor() as at_once:  # each waits for some seconds
        left = at_once.map(left_by, [filled] * len(numbers), folders, numbers, [free_port() for _ in numbers])
    assert {number.name: each for number, each in zip(numbers, left, strict=True) if each} == {}


def left_by(run: Path, folder: Path, number: signal.Signals, port: int) -> list[Path]:
    """What a viewer leaves in the folder for temporary files when a signal comes."""
    command = [sys.executable, "-m", "seesay", "serve", str(run), "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert f"Open http://127.0.0.1:{port}/" in process.stdout.readline()
            until = time.monotonic() + 60
            while not answers(port) and time.monotonic() < until:
                time.sleep(0.1)
            assert len(left_in(folder)) == 1
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.sendall(b"POST /api/brought HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
                time.sleep(0.5)
                process.send_signal(number)
                process.wait(60)
        finally:
            process.kill()
    return left_in(folder)


def left_in(folder: Path) -> list[Path]:
    return list(folder.glob("seesay-*"))


def test_a_port_that_is_taken_is_told_before_any_address(filled: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "seesay", "serve", str(filled), "--port", str(port)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Open" not in result.stdout
    (line,) = result.stderr.splitlines()
    assert f"port {port}" in line
    assert "--port" in line


def test_a_keeper_that_is_interrupted_while_it_starts_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while the main thread waits for the new one: Python must not end with that one at work."""
    at_work, seen = threading.Event(), list[threading.Thread]()

    def refresh(is_stopped: Callable[[], bool]) -> None:
        seen.append(threading.current_thread())
        at_work.set()
        while not is_stopped():
            pass

    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        assert at_work.wait(10)
        raise KeyboardInterrupt

    keeper = Keeper(refresh, "x")
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keeper.start()
    keeper.stop()
    (thread,) = seen
    assert not thread.is_alive()


def test_a_keeper_that_was_never_started_is_stopped() -> None:
    Keeper(lambda _is_stopped: None, "x").stop()
