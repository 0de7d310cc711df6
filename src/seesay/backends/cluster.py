"""Joining a cluster of Ray, or starting one of this machine alone, without a word of Ray's on the terminal."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from seesay.backends.crew import Models
from seesay.backends.placing import placed
from seesay.backends.ray import RayCrew
from seesay.errors import MissingExtra, UnusableCluster

_TIMEOUT_S, _ANSWER_S = 10.0, 30.0
_QUIET = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}


@contextmanager
def hired(
    load: Callable[[], Models], *, address: str | None = None, n_workers: int | None = None, on_cpu: bool = False
) -> Generator["RayCrew[Models]"]:
    """Join a cluster, or start one of this machine alone, and let workers load models there.

    Where Ray is running in this process already, it is used as it is.

    Args:
        load: loads them; it can be pickled.
        address: of the cluster: `HOST:PORT`, or `auto` for the one that this machine belongs to; None starts one.
        n_workers: how many; None for one on each GPU, or on each machine if there is none.
        on_cpu: leave the GPUs alone.

    Yields:
        The crew, whose workers end with this.

    Raises:
        MissingExtra: Ray is not installed.
        UnusableCluster: the cluster cannot be reached, or has no room for so many.
    """
    ray = _ray(is_own=address is None)
    is_joined = ray.is_initialized()  # by whoever called this, in a notebook or in a test
    if address is not None:
        _check_reachable(address)
    if not is_joined:
        _join(ray, address)
    elif address is not None:
        raise UnusableCluster(f"a cluster at {address}, where this process has one", expected="no address beside it")
    crew: RayCrew[Models] | None = None
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        n, share = placed(nodes, n_workers, on_cpu=on_cpu)
        crew = RayCrew(ray, load, n, share)
        yield crew
    finally:
        if crew is not None:
            crew.dismiss()
        if not is_joined:
            ray.shutdown()


def _ray(*, is_own: bool) -> Any:
    """Ray itself, told to keep quiet before it is imported, which is too late for some of it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of what it will do one day
    if is_own and "RAY_AUTH_MODE" not in os.environ:  # other users of this machine shall not run code as this one
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("--backend ray needs Ray", remedy="pip install 'seesay[ray]'") from error
    # It prints what becomes of its workers on our standard output, which may belong to JSON; that has no switch.
    setattr(sys.modules["ray._private.worker"], "print_to_stdstream", lambda *_arguments, **_options: None)  # noqa: B010
    return ray


def _join(ray: Any, address: str | None) -> None:
    if address is None:
        # "local": it would join whatever cluster this machine has, or had, otherwise
        ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **_QUIET)
        return
    try:
        ray.init(address=address, **_QUIET)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
        raise _unreachable(address, str(error).splitlines()[0]) from error


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes, and then ends the process."""
    if address == "auto":
        return
    if "://" in address:
        raise _unreachable(address, "addresses of Ray's client are not supported")
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error
    # Something listens; whether it is Ray is asked by another process, which can be ended.
    look = "from ray.scripts.scripts import cli; cli()"
    try:
        subprocess.run(
            [sys.executable, "-c", look, "health-check", "--address", address],
            capture_output=True,
            timeout=_ANSWER_S,
            check=True,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise _unreachable(address, "what listens there does not answer as Ray, or wants another token") from error


def _unreachable(address: str, why: str) -> UnusableCluster:
    return UnusableCluster(
        f"no cluster at {address}: {why}",
        expected="HOST:PORT of one that `ray start --head` began, or auto on a machine that belongs to it",
        remedy="start it, or leave --address out for this machine alone",
    )
