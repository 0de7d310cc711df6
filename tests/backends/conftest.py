"""One Ray for all tests of it: it takes seconds to start."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends import tasks
from tests.backends.runs import collect


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """Ray, started as seesay starts it, but with room for two workers wherever the tests run."""
    from seesay.backends import cluster

    package = cluster._ray(is_own=True)
    package.init("local", num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", **cluster._QUIET)
    package.cloudpickle.register_pickle_by_value(sys.modules[tasks.__name__])
    yield package
    package.shutdown()


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collect(tmp_path_factory.mktemp("runs") / "local")


@pytest.fixture
def one(collected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(collected, tmp_path / "one")


@pytest.fixture
def other(collected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(collected, tmp_path / "other")
