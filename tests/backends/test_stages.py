"""Collecting, explaining and scoring by Ray's workers: the same rows as by this process, whatever happens to them."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from seesay.backends.cluster import hired
from seesay.backends.crew import Crew
from seesay.cli import main
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

pytestmark = pytest.mark.slow

RAY = ("--backend", "ray", "--workers", "2")
STEERING = Setting(strength=Strength(2.0, "residual_norm"), decoding=Decoding(max_new_tokens=8))
CPU = Options(device="cpu")
LEFT_OUT = {"seconds", "finished_at"}


def collect(out: Path, *more: str) -> Path:
    arguments = ["--subject", "world:S", "--images", "world:50", "--out", str(out), "--device", "cpu"]
    assert main(["collect", *arguments, "--batch-size", "8", *more]) == 0
    return out


def rows(run: Path, table: str) -> list[tuple[Any, ...]]:
    """A table without times, numbers rounded to what does not depend on threads."""
    with Run.open(run) as opened:
        names = [column[1] for column in opened.rows(f"PRAGMA table_info({table})")]
        kept = ", ".join(name for name in names if name not in LEFT_OUT)
        found = opened.rows(f"SELECT {kept} FROM {table}")
    return sorted(
        (tuple(round(each, 5) if isinstance(each, float) else each for each in row) for row in found), key=repr
    )


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collect(tmp_path_factory.mktemp("runs") / "local")


@pytest.fixture
def one(collected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(collected, tmp_path / "one")


@pytest.fixture
def other(collected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(collected, tmp_path / "other")


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


def test_collecting_gives_the_same_rows(ray: Any, collected: Path, tmp_path: Path) -> None:
    shared = collect(tmp_path / "ray", *RAY)
    for table in ("run", "stages", "features", "images", "exemplars"):
        assert rows(shared, table) == rows(collected, table), table
    ours, theirs = (sorted(path.name for path in run.rglob("*.webp")) for run in (collected, shared))
    assert ours == theirs


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


def test_what_one_backend_explained_is_done_for_the_other(ray: Any, one: Path, other: Path) -> None:
    common = ["--limit", "12", "--batch-size", "4", "--max-new-tokens", "8", "--device", "cpu"]
    assert main(["explain", str(one), *common]) == 0
    assert main(["explain", str(other), *common, *RAY]) == 0
    for table in ("settings", "explanations"):
        assert rows(other, table) == rows(one, table)
    before = times(other)
    assert main(["explain", str(other), *common]) == 0
    assert times(other) == before, "nothing was asked again"


def times(run: Path) -> list[tuple[Any, ...]]:
    with Run.open(run) as opened:
        return opened.rows("SELECT feature_id, seconds FROM explanations ORDER BY feature_id")


def test_scoring_gives_the_same_rows(ray: Any, one: Path) -> None:
    words = ["--method", "topk", "--limit", "8", "--max-new-tokens", "8", "--device", "cpu"]
    assert main(["explain", str(one), *words]) == 0
    other = shutil.copytree(one, one.with_name("scored"))
    common = ["--scores", "iou,clip,fuzzing,monosemanticity", "--features", "0-9", "--device", "cpu", "--words-alone"]
    assert main(["score", str(one), *common, "--n-positives", "2", "--tried"]) == 0
    assert main(["score", str(other), *common, "--n-positives", "2", "--tried", *RAY]) == 0
    assert rows(other, "scorings") == rows(one, "scorings")
    assert [row[:4] for row in rows(other, "scores")] == [row[:4] for row in rows(one, "scores")]
    assert [row[4] for row in rows(other, "scores")] == pytest.approx([row[4] for row in rows(one, "scores")], abs=1e-5)


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


def test_what_is_wrong_with_a_workers_models_is_one_line(
    ray: Any, one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "nobody"
    capsys.readouterr()
    assert main(["explain", str(one), "--explainer", str(missing), "--strength", "1", "--device", "cpu", *RAY]) == 2
    error = capsys.readouterr().err
    assert error.startswith("seesay: error: ")
    assert str(missing) in error
    assert error.count("\n") == 1
