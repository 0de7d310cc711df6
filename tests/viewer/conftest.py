"""A run of the embedded world with words and scores, and the viewer of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from seesay.explainers.config import Setting
from seesay.records import Strength
from seesay.store.exemplars import features
from seesay.store.run import Run
from seesay.store.trust import Trusted, set_trust
from seesay.viewer.app import create_app
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.guard import Guard
from tests.commands.conftest import collected_world
from tests.comparison.making import said, scored

__all__ = ["collected_world"]

STEERING = Setting("steering", Strength(2.0, "residual_norm"))
WORDS = ("a red car", "a green tree", "a dotted pattern", "the top left")


def fill(run: Run) -> None:
    """Words by two methods, which agree on every other feature, with scores, sureness and a control."""
    ids = [each.feature_id for each in features(run)]
    words = {each: WORDS[place % len(WORDS)] for place, each in enumerate(ids)}
    topk = said(run, words)
    others = {each: words[each] if place % 2 else "grass" for place, each in enumerate(ids)}
    scored(run, "iou", said(run, others, STEERING), dict.fromkeys(ids, 0.2), others)
    said(run, dict.fromkeys(ids, "nothing"), Setting("topk", control="random"))
    scored(run, "iou", topk, {each: place / len(ids) for place, each in enumerate(ids)}, words)
    set_trust(run, {}, [Trusted(topk.setting_id, each, 0, words[each], 0.9) for each in ids[:10]])


@pytest.fixture(scope="session")
def filled(collected_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by many; whoever changes it copies it."""
    folder = Path(shutil.copytree(collected_world, tmp_path_factory.mktemp("viewed") / "run"))
    with Run.writing(folder) as run:
        fill(run)
    return folder


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
