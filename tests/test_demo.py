"""The demo: its files, and that what it reports is what it found."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seesay import demo as module
from seesay import world
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.demo import demo
from seesay.errors import SeesayError, UnreadableModel, UnreadableSAE, UnusablePath
from seesay.split import split_of
from seesay.store.explanations import settings
from seesay.store.run import Run
from tests.test_docs import DEMO

METHODS = ("steering", "topk", "hybrid")
N_FEW = 12
CONTROLS = [f"control_{control}_{method}" for method in METHODS for control in ("random", "permuted")]


def run(
    out: Path,
    max_features: int | None,
    subject: str = "world",
    sae_name: str = "world:late",
    console: Console | None = None,
) -> dict[str, Any]:
    return demo(
        subject=subject,
        sae_name=sae_name,
        out=out,
        max_features=max_features,
        device="cpu",
        dtype="auto",
        seed=0,
        console=console or Console(quiet=True),
        progress=Output(Options()).progress,
    )


@contextmanager
def of_fewer_scenes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "N_SCENES", 240)
        patch.setattr(module, "N_IMAGES", 200)
        yield


@pytest.fixture
def fewer_scenes() -> Iterator[None]:
    with of_fewer_scenes():
        yield


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo of few features; copy it before going on with it."""
    out = tmp_path_factory.mktemp("demo")
    with of_fewer_scenes(), (out / "printed.txt").open("w", encoding="utf-8") as file:
        summary = run(out, N_FEW, console=Console(file=file, width=120))
    assert json.loads((out / "summary.json").read_text("utf-8")) == summary
    return out


def test_the_summary_counts_what_the_features_file_holds(few: Path) -> None:
    summary, features = (json.loads((few / f"{name}.json").read_text("utf-8")) for name in ("summary", "features"))
    assert len(features) == summary["n_features"] == N_FEW
    assert all(split_of(feature["feature_id"]) == "test" for feature in features)
    assert summary["n_features_with_concept"] == N_FEW
    assert all(feature["concepts"] for feature in features)
    for method in METHODS:
        hits_by_kind = [kind["n_hits"][method] for kind in summary["by_kind"].values()]
        assert sum(hits_by_kind) == summary["methods"][method]["n_hits"]
    named = [concept for feature in features for concept in feature["concepts"]]
    most = max(named.count(concept) for concept in named)
    assert summary["constant"]["ground_truth"] == pytest.approx(most / len(features), abs=1e-4)
    figures = summary["methods"] | summary["ablations"]
    assert figures.keys() >= {*METHODS, *CONTROLS, "none_steering", "none_hybrid", "random_images_hybrid"}
    assert summary["methods"].keys() == {*METHODS, *CONTROLS}
    for method, figure in figures.items():
        hits = [feature["hits"][method] for feature in features]
        assert figure["n_hits"] == sum(hits)
        assert figure["ground_truth"] == pytest.approx(sum(hits) / len(hits), abs=1e-4)
        anywhere = [feature["names_any"][method] for feature in features]
        assert figure["names_any"] == pytest.approx(sum(anywhere) / len(anywhere), abs=1e-4)
        assert all(said or not hit for hit, said in zip(hits, anywhere, strict=True))


def test_its_table_tells_of_controls_in_words(few: Path) -> None:
    printed = (few / "printed.txt").read_text("utf-8")
    for title in ("steering", "steering, random", "topk, permuted", "hybrid, nothing pushed", "hybrid, random-images"):
        assert re.search(rf"^│ {title} +│ ", printed, re.MULTILINE)
    assert not re.search(r"control_|none_|_hybrid", printed)
    assert "permuted: another feature's" in " ".join(printed.split())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusablePath, match="file"):
        run(tmp_path / "file" / "demo", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_scenes")
@pytest.mark.parametrize(("subject", "sae_name"), [("world:M", "world:middle"), ("world:S", "world:early")])
def test_any_of_the_worlds_models_explains_any_of_its_saes(tmp_path: Path, subject: str, sae_name: str) -> None:
    summary = run(tmp_path, 4, subject, sae_name)
    assert (summary["subject"], summary["sae"]) == (subject, sae_name)
    assert summary["n_features"] == 4
    for method in ("steering", "hybrid"):
        assert summary["strengths"][method] == asdict(world.strength(sae_name, subject, method))


@pytest.mark.parametrize(
    ("subject", "sae_name", "error"),
    [
        ("world:judge", "world:middle", UnreadableModel),
        ("world:XL", "world:middle", UnreadableModel),
        ("world", "world:top", UnreadableSAE),
        ("world", "runs/world/sae/middle", UnreadableSAE),
    ],
)
def test_what_the_world_has_not_is_refused_before_anything_is_written(
    tmp_path: Path, subject: str, sae_name: str, error: type[SeesayError]
) -> None:
    with pytest.raises(error, match="world:"):
        run(tmp_path / "demo", 1, subject, sae_name)
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_scenes")
def test_the_demo_is_a_run_that_goes_on(few: Path, tmp_path: Path) -> None:
    shutil.copytree(few, tmp_path, dirs_exist_ok=True)
    assert json.loads((tmp_path / "summary.json").read_text("utf-8"))["n_features"] == N_FEW
    assert run(tmp_path, N_FEW + 4)["n_features"] == N_FEW + 4
    with Run.open(tmp_path / module.RUN) as opened:
        told = {each.title for each in settings(opened)}
    assert told >= {"steering", "topk", "hybrid", "hybrid, random", "topk, permuted", "hybrid, permuted-images"}
    with pytest.raises(UnusablePath, match="holds a run of"):
        run(tmp_path, 4, "world", "world:early")


@pytest.mark.slow(seconds=230)
def test_the_demo_names_more_than_its_controls_do_and_finds_its_words_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seesay", *shlex.split(DEMO)[1:], "--device", "cpu"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "\nNext:\n" in result.stdout
    out = tmp_path / "runs" / "demo"
    first = json.loads((out / "summary.json").read_text("utf-8"))
    one = (out / "features.json").read_bytes()
    assert first["n_features_with_concept"] >= 300
    for method in METHODS:
        for control in (f"control_random_{method}", f"control_permuted_{method}"):
            assert first["methods"][control]["ground_truth"] <= 0.05
            assert first["methods"][method]["interval"][0] > first["methods"][control]["interval"][1]
    second = run(out, None)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert (out / "features.json").read_bytes() == one
