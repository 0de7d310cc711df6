import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from seesay import cli
from seesay.commands.explain import Explain
from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.reproduce import Reproduce, commit_of_sources
from seesay.commands.reproducing import Means, Steps, work_of
from seesay.commands.sharing import SharingOptions
from seesay.commands.step_notes import Notes
from seesay.commands.timing import Timing
from seesay.records import Strength
from seesay.report.sections import Column, Row, Section, Sentence, Table, as_markdown
from seesay.reproduction.ablations import images_of, variations
from seesay.reproduction.protocol import METHODS, PRESETS, WORLD, Calibrating
from seesay.reproduction.reading import base
from seesay.world import DATA
from tests.commands.stopping import stop_before

SMALL = replace(
    WORLD,
    blocks=WORLD.blocks[1:2],
    explainers=WORLD.explainers[:2],
    images="world:200",
    n_images=200,
    calibrating=MappingProxyType({
        "steering": Calibrating("residual_norm", (2.0, 4.0), "agreement"),
        "hybrid": Calibrating("max_activation", (1.0, 4.0), "kl"),
    }),
    n_validation=6,
    max_features=8,
    n_controls=5,
    scores=("iou", "ground_truth"),
)  # fmt: skip
"""The world's protocol with less of everything, so that it takes seconds."""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seeds", "3"], "seesay world train --out DIR --seeds 3, then --weights DIR"),
        (["--preset", "gemma-3", "--weights", "x"], "--weights for gemma-3"),
        (["--models", "."], "--models for the embedded world"),
        (["--preset", "gemma-3", "--models", "no-such-folder"], "no folder no-such-folder"),
        (["--prompts", "no-such-folder"], "no-such-folder"),
        (["--explainer", "world:S"], "the preset says who explains"),
        (["--scores", "beauty"], "score 'beauty'"),
        (["--scores", "faithfulness"], "score 'faithfulness'"),
        (["--images", "no-such-folder"], "whose truth is that of its own pictures"),
        (["--weights", "no-such-training"], "no-such-training"),
        (["--assume-tflops", "3"], "without --plan"),
        (["--tensor-parallel"], "--tensor-parallel for reproduce"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["reproduce", "--out", str(tmp_path / "out"), *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert expected in line
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("seesay.vlm.loading.find_spec", lambda _package: None)
    assert cli.main(["reproduce", "--out", str(tmp_path / "out"), "--quantize", "4bit"]) == 2
    assert "pip install 'seesay[large]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "early").mkdir()
    assert notes_in(tmp_path).features("early") is None, "a first run whose making was killed is gone on with"
    (tmp_path / "thesis.tex").touch()
    assert cli.main(["reproduce", "--out", str(tmp_path)]) == 2
    assert "holds thesis.tex, and no notes of a reproduction" in capsys.readouterr().err


def test_damaged_notes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (
        "[1]",
        "{",
        "[" * 100_000,
        '{"x": 1}',
        '{"steps": {"collect, early": 3}}',
        '{"steps": {"collect, early": {"seconds": NaN}}}',
        '{"steps": {"collect, early": {"commit": 5}}}',
        '{"steps": {"collect, early": {"came": []}}}',
        '{"steps": {"collect, early": {"came": {"x": NaN}}}}',
        '{"steps": {"collect, early": {"seconds": 1' + 400 * "0" + "}}}",
    ):
        (tmp_path / "notes.json").write_text(text)
        assert cli.main(["reproduce", "--out", str(tmp_path)]) == 2
        assert "notes.json is damaged" in capsys.readouterr().err
    assert cli.main(["reproduce", "--out", str(tmp_path / ("x" * 300))]) == 2
    assert "cannot be" in capsys.readouterr().err


def notes_in(folder: Path) -> Notes:
    return Notes(folder, work_of(WORLD, None, ExplainerOptions(), Options()))


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes_in(tmp_path).add_features("early", [3])
    assert notes_in(tmp_path).features("early") == [3]
    for flags, differs in (
        (["--seed", "1"], "seed: 0"),
        (["--max-features", "12"], "max_features: None"),
        (["--dtype", "bfloat16"], "dtype: 'auto'"),
        (["--images", "world:200"], "images: 'world:4000, at most 4000'"),
    ):
        assert cli.main(["reproduce", "--out", str(tmp_path), *flags]) == 2
        assert f"holds a reproduction with another {differs}" in capsys.readouterr().err


def test_what_was_done_in_a_run_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    notes = notes_in(tmp_path)
    for name in ("collect, early", "topk, S, early", "collect, middle", "strength 2 times: topk, M, middle-250"):
        notes.add_step(name, "x", 1.0, None, {"setting": name})
    notes.add_features("early", [3])
    notes.forget("early")
    assert notes_in(tmp_path).features("early") is None
    assert not notes_in(tmp_path).step("topk, S, early")
    assert notes_in(tmp_path).came_of("collect, middle") == {"setting": "collect, middle"}


def test_the_kill_of_a_step_leaves_it_to_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is: a step is noted with what came of it, or not at all."""
    steps = Steps(tmp_path, WORLD, Means(ExplainerOptions(), SharingOptions(), Options()), None, None, OUTPUT)
    timing = Timing(tmp_path, (1,), Strength(1.0), 24, ExplainerOptions(), Options())
    monkeypatch.setattr(Timing, "run", lambda self: self.rounds.append([1.0, 2.0]))
    monkeypatch.setattr("seesay.commands.step_notes.write_json", broken)
    with pytest.raises(KeyboardInterrupt):
        steps._stepper.do("time, S, middle", timing)
    assert not notes_in(tmp_path).step("time, S, middle")
    monkeypatch.undo()
    monkeypatch.setattr(Timing, "run", lambda self: self.rounds.append([3.0, 4.0]))
    timing.rounds.clear()
    again = Steps(tmp_path, WORLD, Means(ExplainerOptions(), SharingOptions(), Options()), None, None, OUTPUT)
    again._stepper.do("time, S, middle", timing)
    assert notes_in(tmp_path).came_of("time, S, middle") == {"rounds": [[3.0, 4.0]]}


def broken(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text("")
    assert cli.main(["reproduce", "--out", str(tmp_path / "x")]) == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.slow(seconds=25)
def test_the_world_can_be_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.json"
    assert cli.main(["reproduce", "--plan", "--out", str(tmp_path / "out"), "--json", str(file)]) == 0
    told = json.loads(file.read_text())
    assert [each["explainer"] for each in told["work"][::3]] == ["S", "M", "L"]
    assert all(each["seconds"] > 0 and each["fits"] for each in told["work"])
    # of each of three blocks 500 features, random directions beside 150 of them, and 13 strengths on 100 features
    assert told["work"][0]["n_questions"] == 3 * (500 + 150 + 13 * 100)
    assert not (tmp_path / "out").exists()
    assert "at least" in capsys.readouterr().out


def test_a_preset_whose_models_are_out_of_reach_is_planned_as_far_as_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    file = tmp_path / "plan.json"
    assert cli.main(["reproduce", "--preset", "internvl-3", "--plan", "--json", str(file)]) == 0
    told = json.loads(file.read_text())
    assert {each["seconds"] for each in told["work"]} == {None}
    assert told["disk_gib"]["OpenGVLab/InternVL3-14B-hf"] == 28.2
    assert "OpenGVLab/InternVL3-14B-hf: " in capsys.readouterr().out


OUTPUT = Output(Options())


def test_every_variation_can_be_asked_for_on_the_command_line(tmp_path: Path) -> None:
    strengths = {"steering": Strength(2.0), "hybrid": Strength(4.0)}
    bases = [replace(base(WORLD, method), strength=strengths.get(method)) for method in METHODS]
    means = Means(ExplainerOptions(), SharingOptions(), Options())
    steps = Steps(tmp_path, WORLD, means, 3, None, Output(Options()))
    steps._notes.add_features("middle", [1, 2, 3, 4])
    for each in variations(bases, images_of(4000)):
        command = steps._explain(tmp_path, each.setting, WORLD.explainers[1], WORLD.blocks[1])
        assert isinstance(command, Explain)
        assert command._setting().facts == each.setting.facts
        assert command.features == "1,2,3"


def test_sources_in_a_checkout_have_a_commit() -> None:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        pytest.skip("the sources are no checkout")
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert (commit_of_sources() or "").rstrip("+") == head.stdout.strip()


def test_markdown_acts_on_nothing_that_anyone_wrote() -> None:
    table = Table((Column("a|b", is_words=True), Column("n")), (Row(("<b>*x*</b> `y`", "1"), "strong"), Row(("", "2"))))
    found = as_markdown([Section("# [t](u)", " more", (Sentence("one\ntwo"),), (table,), (Sentence("last"),))])
    assert found.splitlines() == [
        r"## \# \[t\](u)",
        "",
        "more",
        "",
        "one two",
        "",
        r"| a\|b | n |",
        "| --- | ---: |",
        r"| **&lt;b&gt;\*x\*&lt;/b&gt; \`y\`** | **1** |",
        "|  | 2 |",
        "",
        "last",
    ]


def claims_in(folder: Path) -> list[str]:
    """The lines of the report but for times, ablations, and what made it."""
    text = (folder / "reproduce.md").read_text()
    kept = re.split("^## (?:One thing changed|How it was made)", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [line for line in kept.splitlines() if line and not re.match("Seconds that|.*: time, ", line)]


@pytest.mark.slow(seconds=40)
@pytest.mark.usefixtures("unchecked", "rough_truth")
def test_models_of_a_training_of_ones_own_are_judged_over_their_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if two of each size had been trained: the second of a size is the first of another one."""
    monkeypatch.setattr("seesay.commands.reproduce.PRESETS", {**PRESETS, "world": SMALL})
    weights = tmp_path / "trained"
    for part in ("vlm/S", "vlm/M", "sae/middle"):
        shutil.copytree(DATA / part, weights / part)
    shutil.copytree(DATA / "vlm" / "L", weights / "vlm" / "S-1")
    shutil.copytree(DATA / "vlm" / "S", weights / "vlm" / "M-1")
    shutil.copy(DATA / "training.json", weights)
    assert Reproduce(out=tmp_path / "out", weights=weights, seeds=2).run() == 0
    told = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    ways = told["scores"]["ground_truth"]["ways"]
    assert {(each["explainer"], each["seed"]) for each in ways} == {("S", 0), ("S", 1), ("M", 0), ("M", 1)}
    assert len(ways) == 3 * 4
    _, growth, _ = told["claims"]
    assert {each["explainer"] for each in growth["figures"]} >= {"seed 0", "seed 1"}
    assert "2 trainings of each size" in (tmp_path / "out" / "reproduce.md").read_text()


@pytest.mark.slow(seconds=110)
@pytest.mark.usefixtures("unchecked", "rough_truth")
def test_a_reproduction_goes_on_and_a_second_one_gives_the_same_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("seesay.commands.reproduce.PRESETS", {**PRESETS, "world": SMALL})
    # one smaller set of images instead of four
    monkeypatch.setattr("seesay.reproduction.ablations.images_of", lambda n_images: (n_images // 2,))
    stop_before(monkeypatch, "hybrid, M, middle")
    assert cli.main(["reproduce", "--out", str(tmp_path / "one"), "--ablations"]) == 130
    assert "calibrate hybrid, M, middle" in capsys.readouterr().out
    assert cli.main(["reproduce", "--out", str(tmp_path / "one"), "--ablations"]) == 0
    assert "calibrate" not in capsys.readouterr().out.partition("The claims")[0]
    told = json.loads((tmp_path / "one" / "reproduce.json").read_text())
    assert [each["claim"] for each in told["claims"]] == [*dict.fromkeys(each["claim"] for each in told["claims"])]
    assert {each["verdict"] for each in told["claims"]} == {"undecided"}
    assert told["scores"]["ground_truth"]["n"] == 8
    factors = {each["factor"] for each in told["ablations"]}
    assert {"base", "empty image", "strength", "overlay", "images to choose from", "scored on"} <= factors
    assert Reproduce(out=tmp_path / "two").run() == 0
    assert claims_in(tmp_path / "one") == claims_in(tmp_path / "two")
