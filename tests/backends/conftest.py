"""One Ray for all tests of it: it takes seconds to start."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.backends import tasks


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """Ray, started as seesay starts it, but with room for two crews of two wherever the tests run."""
    from seesay.backends import cluster

    package = cluster._ray(is_own=True)
    package.init(num_cpus=8, include_dashboard=False, _node_ip_address="127.0.0.1", **cluster._QUIET)
    package.cloudpickle.register_pickle_by_value(sys.modules[tasks.__name__])
    yield package
    package.shutdown()
