"""`seesay serve` as a process of its own, for benchmarks that ask it."""

import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path


@contextmanager
def served(folder: Path, *options: str) -> Generator[tuple[int, int]]:
    """The viewer's port, and the number of its process, when its first page is there.

    Args:
        folder: the run's.
        options: of the command.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "seesay", "serve", str(folder), "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None and not _answers(port):
                time.sleep(0.02)
            yield port, server.pid
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except ConnectionError:
        return False
    finally:
        connection.close()
