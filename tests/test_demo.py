"""The demo: its files, and that what it reports is what it found."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seesay import demo as module
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.demo import demo
from seesay.errors import UnusablePath
from seesay.split import split_of

METHODS = ("steering", "control_random_steering", "control_permuted_steering")


def run(out: Path, max_features: int | None) -> dict[str, Any]:
    return demo(
        out=out,
        max_features=max_features,
        device="cpu",
        dtype="auto",
        seed=0,
        console=Console(quiet=True),
        progress=Output(Options()).progress,
    )


@pytest.fixture
def fewer_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_SCENES", 240)


@pytest.mark.usefixtures("fewer_scenes")
def test_the_summary_counts_what_the_features_file_holds(tmp_path: Path) -> None:
    summary = run(tmp_path, 12)
    assert json.loads((tmp_path / "summary.json").read_text("utf-8")) == summary
    features = json.loads((tmp_path / "features.json").read_text("utf-8"))
    assert len(features) == summary["n_features"] == 12
    assert all(split_of(feature["feature_id"]) == "test" for feature in features)
    scored = [feature for feature in features if feature["concepts"]]
    assert summary["n_features_with_concept"] == len(scored)
    assert (
        sum(kind["n_hits"] for kind in summary["steering_by_kind"].values()) == summary["methods"]["steering"]["n_hits"]
    )
    named = [concept for feature in scored for concept in feature["concepts"]]
    most = max(named.count(concept) for concept in named)
    assert summary["constant"]["ground_truth"] == pytest.approx(most / len(scored), abs=1e-4)
    for method in METHODS:
        hits = [feature["hits"][method] for feature in scored]
        assert summary["methods"][method]["n_hits"] == sum(hits)
        assert summary["methods"][method]["ground_truth"] == pytest.approx(sum(hits) / len(hits), abs=1e-4)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusablePath, match="file"):
        run(tmp_path / "file" / "demo", 1)


@pytest.mark.slow
def test_the_demo_names_most_features_and_its_controls_hardly_any_and_says_the_same_twice(tmp_path: Path) -> None:
    first, second = run(tmp_path / "one", None), run(tmp_path / "two", None)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    one, two = (tmp_path / name / "features.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert first["n_features_with_concept"] >= 100
    assert first["methods"]["steering"]["ground_truth"] >= 0.5
    assert first["methods"]["control_random_steering"]["ground_truth"] <= 0.05
    assert first["methods"]["control_permuted_steering"]["ground_truth"] <= 0.05
