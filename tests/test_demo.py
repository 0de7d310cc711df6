"""The demo: its files, and that what it reports is what it found."""

import json
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

METHODS = ("steering", "control_random_steering", "control_permuted_steering")


def run(out: Path, max_features: int | None, subject: str = "world", sae_name: str = "world:late") -> dict[str, Any]:
    return demo(
        subject=subject,
        sae_name=sae_name,
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
        anywhere = [feature["names_any"][method] for feature in scored]
        assert summary["methods"][method]["names_any"] == pytest.approx(sum(anywhere) / len(anywhere), abs=1e-4)
        assert all(said or not hit for hit, said in zip(hits, anywhere, strict=True))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusablePath, match="file"):
        run(tmp_path / "file" / "demo", 1)


@pytest.mark.usefixtures("fewer_scenes")
@pytest.mark.parametrize(("subject", "sae_name"), [("world:S", "world:middle"), ("world:M", "world:early")])
def test_any_of_the_worlds_models_explains_any_of_its_saes(tmp_path: Path, subject: str, sae_name: str) -> None:
    summary = run(tmp_path, 4, subject, sae_name)
    assert (summary["subject"], summary["sae"]) == (subject, sae_name)
    assert summary["n_features"] == 4
    assert summary["strength"] == asdict(world.strength(sae_name, subject))


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
def test_the_demo_names_more_than_its_controls_do_and_says_the_same_twice(tmp_path: Path) -> None:
    first, second = run(tmp_path / "one", None), run(tmp_path / "two", None)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    one, two = (tmp_path / name / "features.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert first["n_features_with_concept"] >= 100
    for control in ("control_random_steering", "control_permuted_steering"):
        assert first["methods"][control]["ground_truth"] <= 0.05
        assert first["methods"]["steering"]["interval"][0] > first["methods"][control]["interval"][1]
