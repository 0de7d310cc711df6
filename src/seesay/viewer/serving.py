"""Serving the viewer: the application on a port, and threads that keep what it shows up to date."""

import logging
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import final

import uvicorn

from seesay.errors import SeesayError, UnusablePath
from seesay.viewer.app import create_app
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.guard import Guard
from seesay.viewer.laboratory import Laboratory
from seesay.viewer.meaning import Meaning

_log = logging.getLogger(__name__)

_EVERY_S = 2.0
_PATIENCE_S = 10.0
"""How long whoever still sends or awaits something is waited for in the end."""

_PATIENCE_WITH_THREADS_S = 60.0
"""How long threads are: one that is in the midst of an import when Python ends may crash it, or keep it from ending."""


@final
class Keeper:
    """Takes over what changes in the runs, until it is stopped.

    Args:
        refresh: takes over what has changed; it is given what tells whether to stop.
        name: of the thread.
    """

    def __init__(self, refresh: Callable[[Callable[[], bool]], object], name: str) -> None:
        self._refresh = refresh
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)

    def start(self) -> None:
        """Begin. Ctrl-C may come in the midst of it: whoever starts it sees to it before that it is stopped."""
        self._thread.start()

    def stop(self) -> None:
        """End, whether it has been started or not."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_WITH_THREADS_S)

    def _keep(self) -> None:
        while not self._stopped.is_set():
            try:
                self._refresh(self._stopped.is_set)
            # What is shown stays, and it is tried again: a disk may be full, or a device's memory, for a while.
            except (SeesayError, OSError, sqlite3.Error, RuntimeError) as error:
                _log.warning("%s", error)
            self._stopped.wait(_EVERY_S)


def serve(
    catalogue: Catalogue,
    guard: Guard,
    host: str,
    port: int,
    meaning: Meaning | None = None,
    laboratory: Laboratory | None = None,
    *,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until Ctrl-C, or until the process is told to end.

    Args:
        catalogue: of the runs.
        guard: who is let in.
        host: address to listen on.
        port: of it.
        meaning: for search by meaning; None without.
        laboratory: asks the runs' models; None without.
        on_ready: called when the port is had.

    Raises:
        UnusablePath: the port cannot be had.
    """
    config = uvicorn.Config(
        create_app(catalogue, guard, meaning, laboratory),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=round(_PATIENCE_S / 5),
    )
    with ExitStack() as stack:
        listening = stack.enter_context(_listening(host, port))
        on_ready()
        keepers = [Keeper(catalogue.refresh, "catalogue")]
        keepers += [] if meaning is None else [Keeper(meaning.refresh, "meaning")]
        for keeper in keepers:
            stack.callback(keeper.stop)
            keeper.start()
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UnusablePath(
            f"port {port} of {host}: {error.strerror or error}",
            expected="a port that is free, and an address of this machine",
            remedy="give another --port or --host",
        ) from error
    # asyncio does this for sockets that it makes itself: what is small would wait for 40 ms for more
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


@contextmanager
def ending_well() -> Generator[None]:
    """End as by an exception when the process is told to end, or its terminal is closed: what is temporary is removed.

    uvicorn passes on what ended it.
    """
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)
