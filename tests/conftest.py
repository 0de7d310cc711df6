"""Shapes are checked in tests: the hook must be in place before anything of seesay is imported."""

import gc

from tests.checking import check_calls_of

check_calls_of("seesay")

# What is imported now stays: looking through it for garbage, over and over, takes a fifth of the time.
gc.disable()

from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

from seesay.sae import SAE  # noqa: E402
from seesay.vlm import VLM, load_vlm  # noqa: E402
from tests.checking import unchecked_calls  # noqa: E402
from tests.collected import collected_world, filled  # noqa: E402
from tests.tiny import save_checkpoint, tiny_sae  # noqa: E402

__all__ = ["collected_world", "filled"]

# The models of the tests are so small that a second thread costs more than it brings, and much more on a busy machine.
torch.set_num_threads(1)

# Speed is for benchmarks: a busy machine must not fail a law.
settings.register_profile("seesay", deadline=None)
settings.load_profile("seesay")


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker has it still to do when the others have nothing left."""
    items.sort(key=seconds_of, reverse=True)


def seconds_of(item: pytest.Item) -> float:
    """About how long it takes, with the others of its group; nothing unless it is said."""
    mark = item.get_closest_marker("slow")
    return mark.kwargs.get("seconds", 0) if mark else 0


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No types and shapes are checked, as for users."""
    with unchecked_calls():
        yield


@pytest.fixture
def rough_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """What features stand for is looked up in a tenth of the scenes: for tests that only need an answer."""
    monkeypatch.setattr("seesay.world.truth.N_SCENES", 300)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small random Gemma 3; copy it before changing it."""
    return save_checkpoint(tmp_path_factory.mktemp("gemma3"))


@pytest.fixture(scope="session")
def vlm(checkpoint: Path) -> VLM:
    """The small Gemma 3, loaded."""
    return load_vlm(checkpoint, device="cpu")


@pytest.fixture(scope="session")
def sae() -> SAE:
    """A random SAE of the small Gemma 3's middle block."""
    return tiny_sae()
