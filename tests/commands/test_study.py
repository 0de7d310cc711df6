"""`seesay study`: goes on after a stop, chooses on validation features, and looks at test features once."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from seesay import cli
from seesay.explainers.adapter import Adapter
from seesay.explainers.config import Setting
from seesay.explainers.lens import Lens
from seesay.records import Decoding
from seesay.split import split_of
from seesay.store.explanations import explanations, settings
from seesay.store.run import Run
from seesay.store.scores import scored_features, scorings
from seesay.store.taught import find_taught, taught_path
from seesay.study.protocol import ADAPTED, OURS, STEERING_PLUS, TESTED, Candidate, Grid, Study, bound_of
from tests.commands.stopping import stop_before

KEPT = ("as published", "several strengths, one answer", ADAPTED, "lens")
SMALL: Study = replace(
    STEERING_PLUS,
    blocks=STEERING_PLUS.blocks[1:],
    explainers=STEERING_PLUS.explainers[1:2],
    images="world:400",
    n_images=400,
    n_linked_by=200,
    max_correlation=0.8,
    grids=MappingProxyType({
        "steering": Grid("residual_norm", (1.0, 2.0)),
        "hybrid": Grid("max_activation", (1.0, 4.0)),
    }),
    candidates=tuple(each for each in STEERING_PLUS.candidates if each.name in KEPT),
    n_controls=4,
    scores=("ground_truth", "counterfactual", "auroc"),
    at_most=MappingProxyType({"auroc": 2}),
)  # fmt: skip
"""The protocol with less of everything, so that it takes a minute."""

LITTLE = ("--pupils", "30", "--max-features", "8", "--seeds", "2", "--device", "cpu")


def study(out: Path, *more: str) -> int:
    return cli.main(["study", "steering-plus", "--out", str(out), *LITTLE, *more])


@pytest.mark.slow(seconds=100)
@pytest.mark.usefixtures("unchecked", "rough_truth")
def test_a_study_goes_on_and_what_is_judged_touches_neither_teaching_nor_choosing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("seesay.commands.study.STEERING_PLUS", SMALL)
    out = tmp_path / "out"
    stop_before(monkeypatch, "steering, M, middle")
    assert study(out) == 130
    parts = json.loads((out / "notes.json").read_text())["steps"]["part"]["came"]["parts"]
    # nothing but teaching and validation features was asked about until all was chosen
    for block, own in parts.items():
        judged = set(own["test"])
        assert judged
        for name in (block, f"{block}-1"):
            with Run.open(out / name) as run:
                said = {each for setting in settings(run) for each in explanations(run, setting)}
                assert not said & judged
                assert said <= {*own["teaching"], *own["validation"]}
                scored = {each for scoring in scorings(run) for each in scored_features(run, scoring)}
                assert scored <= set(own["validation"])
                for path in taught_path(run, "x", Lens).parent.iterdir():
                    key = path.name.removesuffix(".safetensors")
                    if key.endswith("-adapter"):
                        adapter = find_taught(run, key.removesuffix("-adapter"), Adapter)
                        assert adapter is not None
                        taught = adapter.facts["features"]
                    else:
                        lens = find_taught(run, key, Lens)
                        assert lens is not None
                        taught = lens.facts["references"]
                    assert set(taught) <= set(own["teaching"])
        assert {split_of(each) for each in judged} == {"test"}
    capsys.readouterr()
    file = tmp_path / "told.json"
    assert study(out, "--json", str(file)) == 0
    assert "teach, M, middle: " not in capsys.readouterr().out, "that was done before"
    told: dict[str, Any] = json.loads(file.read_text())
    check_report(told, parts)
    assert told["cut"] in (out / "study.md").read_text("utf-8")
    tables = (out / "study.md").read_text()
    assert "## The target" in tables
    assert "several strengths, one answer" in tables
    page = (out / "study.html").read_text()
    assert "what steering+ gets more" in page
    assert "several strengths, one answer" in page
    # done twice, it says the same, and does nothing
    assert study(out, "--json", str(file)) == 0
    assert json.loads(file.read_text()) == told
    # and not with other numbers in the same folder
    capsys.readouterr()
    assert study(out, "--seed", "1") == 2
    assert "holds a study with another seed: 0; expected 1" in capsys.readouterr().err


def check_report(told: dict[str, Any], parts: dict[str, dict[str, Sequence[int]]]) -> None:
    assert told["cut"].startswith("Not as the protocol says, but with --max-features 8 --pupils 30 --seeds 2: ")
    assert {each["name"] for each in told["tried"]} == set(KEPT)
    means = {each["name"]: each["means"]["ground_truth"]["mean"] for each in told["tried"]}
    assert means[told["best"]] == max(means.values())
    standings = {(each["score"], each["method"], each["size"]): each for each in told["standings"]}
    assert {method for _, method, _ in standings} == set(TESTED)
    n = sum(len(own["test"][:8]) for own in parts.values())
    ours = standings["ground_truth", OURS, "M"]
    assert ours["mean"]["n"] == n
    assert {*ours["controls"]} == {"random", "permuted"}
    assert ours["controls"]["random"]["n"] == 4 * len(parts)
    assert standings["auroc", "topk", "M"]["mean"]["n"] <= 2 * len(parts)
    # of lenses of several seeds each feature's mean counts
    seeds = [each["mean"] for each in told["seeds"] if (each["score"], each["size"]) == ("ground_truth", "M")]
    assert len(seeds) == 2
    assert sum(seeds) / 2 == pytest.approx(ours["mean"]["mean"])
    (target,) = [each for each in told["targets"] if each["lead"]["score"] == "ground_truth"]
    lead = target["lead"]
    assert (lead["size"], lead["rival"], lead["block"]) == ("M", "hybrid", "all")
    assert lead["ours"] - lead["theirs"] == pytest.approx(lead["found"]["difference"]["mean"])
    assert target["bound"] == bound_of(n) == -0.05
    quiet = all(each["mean"] <= 0.05 for each in target["controls"].values())
    assert target["is_reached"] == (quiet and lead["found"]["difference"]["low"] > -0.05)
    assert all(each["seconds"] > 0 for each in told["seconds_a_feature"])
    assert {each["value"] for each in told["strengths"] if each["method"] == "steering"} <= {1.0, 2.0}


def test_the_protocol_names_each_candidate_once() -> None:
    names = [each.name for each in STEERING_PLUS.candidates]
    assert len(set(names)) == len(names) > 15
    assert Candidate("lens", Setting(OURS, decoding=Decoding(24))) in STEERING_PLUS.candidates


def test_with_many_features_the_bound_is_the_narrower_one() -> None:
    assert (bound_of(1999), bound_of(2000)) == (-0.05, -0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["steering-plus", "--seeds", "0"], "0"),
        (["steering-minus"], "steering-minus"),
    ],
)
def test_what_is_no_study_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").touch()
    assert study(tmp_path) == 2
    assert "holds thesis.tex, and no notes of a study" in capsys.readouterr().err
