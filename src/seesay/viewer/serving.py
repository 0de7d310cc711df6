"""Serving the viewer: the application on a port, and a thread that keeps its catalogue up to date."""

import logging
import threading
from typing import final

import uvicorn

from seesay.errors import SeesayError, UnusablePath
from seesay.viewer.app import create_app
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.guard import Guard

_log = logging.getLogger(__name__)

_EVERY_S = 2.0


@final
class Keeper:
    """Takes over what changes in the runs, until it is stopped.

    Args:
        catalogue: to be kept up to date.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="catalogue", daemon=True)

    def __enter__(self) -> "Keeper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stopped.is_set():
            try:
                self._catalogue.refresh(is_stopped=self._stopped.is_set)
            except SeesayError as error:  # what is shown stays, and whoever opens the feature is told
                _log.warning("%s", error)
            self._stopped.wait(_EVERY_S)


def serve(catalogue: Catalogue, guard: Guard, host: str, port: int) -> None:
    """Serve until Ctrl-C.

    Args:
        catalogue: of the runs.
        guard: who is let in.
        host: address to listen on.
        port: of it.

    Raises:
        UnusablePath: the port cannot be had.
    """
    config = uvicorn.Config(create_app(catalogue, guard), host=host, port=port, log_level="warning", access_log=False)
    try:
        socket = config.bind_socket()
    except SystemExit as error:  # uvicorn's way of saying that the port is taken
        raise UnusablePath(
            f"port {port} of {host}", expected="one that is free", remedy="give another --port"
        ) from error
    with Keeper(catalogue):
        uvicorn.Server(config).run(sockets=[socket])
