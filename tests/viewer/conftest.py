"""The viewer of a run of the embedded world with words and scores."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from seesay.viewer.app import create_app
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.guard import Guard


@pytest.fixture
def catalogue(filled: Path) -> Iterator[Catalogue]:
    found = Catalogue([filled])
    found.refresh()
    yield found
    found.close()


@pytest.fixture
def client(catalogue: Catalogue) -> TestClient:
    return client_of(catalogue)


def client_of(catalogue: Catalogue, guard: Guard | None = None, name: str = "127.0.0.1:8765") -> TestClient:
    """A browser that asks for pages by a name, without following where it is sent."""
    app = create_app(catalogue, guard or Guard())
    return TestClient(app, base_url=f"http://{name}", raise_server_exceptions=True, follow_redirects=False)
