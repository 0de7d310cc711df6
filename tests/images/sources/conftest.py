"""Datasets of a few images, prepared in a place of their own and never over a network."""

from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        yield folder
