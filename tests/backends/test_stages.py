"""Explaining by workers that are there already: the same rows as by this process, whatever happens to them."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from seesay.backends.cluster import hired
from seesay.backends.crew import Crew
from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.options import Options
from seesay.commands.sae_options import SAEOptions
from seesay.commands.speaking import Loading, Named
from seesay.explainers.config import Setting
from seesay.pipeline.explaining import explain
from seesay.pipeline.speakers import Choir, Introducing, Speaker
from seesay.records import Decoding, Strength
from seesay.store.gallery import explainable
from seesay.store.run import Run
from tests.backends.runs import rows

pytestmark = pytest.mark.slow

STEERING = Setting(strength=Strength(2.0, "residual_norm"), decoding=Decoding(max_new_tokens=8))
CPU = Options(device="cpu")


@pytest.fixture(scope="module")
def crew(ray: Any) -> Iterator[Crew[Speaker]]:
    named = Named("world:S", "world:late", SAEOptions(), None)
    with hired(Loading(named, True, ExplainerOptions(), CPU, ()), n_workers=2, on_cpu=True) as crew:
        yield crew


@pytest.fixture
def choir(crew: Crew[Speaker]) -> Choir:
    return Choir(crew.facts(Introducing())["voice"], crew)


def local() -> Speaker:
    return Loading(Named("world:S", "world:late", SAEOptions(), None), True, ExplainerOptions(), CPU, ())()


@pytest.mark.parametrize(
    "setting",
    [
        replace(STEERING, strength=Strength(1.0, "max_activation"), control="permuted", seed=1),
        replace(STEERING, method="topk", strength=None),
        replace(STEERING, method="hybrid", control="random-images"),
    ],
    ids=lambda setting: setting.method,
)
def test_explaining_gives_the_same_rows(setting: Setting, choir: Choir, one: Path, other: Path) -> None:
    for run, who in ((one, local()), (other, choir)):
        with Run.writing(run) as opened:
            explain(opened, who, setting, explainable(opened)[:12], batch_size=4)
    for table in ("settings", "explanations"):
        assert rows(other, table) == rows(one, table)
    assert len(rows(other, "explanations")) == 12


def at_first(act: Callable[[], None]) -> Callable[[int], None]:
    """Told how many are done, act when the first are."""
    told: list[int] = []

    def on_batch(n: int) -> None:
        told.append(n)
        if len(told) == 2:  # the first is of what was done before
            act()

    return on_batch


def kill_a_worker() -> None:
    own = psutil.Process().children(recursive=True)
    workers = [each for each in own if each.cmdline()[:1] and each.cmdline()[0].startswith("ray::Worker")]
    assert workers
    workers[0].kill()


def test_a_worker_that_is_killed_in_between_loses_nothing(choir: Choir, one: Path, other: Path) -> None:
    with Run.writing(one) as run:
        feature_ids = explainable(run)[:40]
        explain(run, local(), STEERING, feature_ids, batch_size=4)
    with Run.writing(other) as run:
        explain(run, choir, STEERING, feature_ids, batch_size=4, on_batch=at_first(kill_a_worker))
    for table in ("settings", "explanations"):
        assert rows(other, table) == rows(one, table)
    assert len(rows(other, "explanations")) == 40


def test_ctrl_c_keeps_what_is_done_and_the_rest_follows(choir: Choir, one: Path, other: Path) -> None:
    with Run.writing(one) as run:
        feature_ids = explainable(run)[:80]
        explain(run, local(), STEERING, feature_ids, batch_size=4)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Run.writing(other) as run, pytest.raises(KeyboardInterrupt):
            interrupt = at_first(lambda: os.kill(os.getpid(), signal.SIGINT))
            explain(run, choir, STEERING, feature_ids, batch_size=4, on_batch=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    n = len(rows(other, "explanations"))
    assert 4 <= n < 80
    with Run.writing(other) as run:
        done: list[int] = []
        explain(run, choir, STEERING, feature_ids, batch_size=4, on_batch=done.append)
    assert done[0] == n
    assert rows(other, "explanations") == rows(one, "explanations")
