"""The command from end to end, on a small random Gemma 3 and a small random SAE on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file

from seesay import cli
from seesay.commands.steer import explanation_table
from seesay.records import Explanation, Status, Strength
from tests.families import N_BLOCKS, gemma3, save
from tests.tiny import N_FEATURES, tiny_sae


@pytest.fixture(scope="module")
def sae_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny SAE in the format of SAELens."""
    folder = tmp_path_factory.mktemp("sae")
    sae = tiny_sae()
    tensors = {name: getattr(sae, name) for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {"architecture": "topk", "d_in": sae.d_model, "d_sae": N_FEATURES, "k": sae.k, "metadata": {"layer": 1}}
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
def base(checkpoint: Path, sae_folder: Path) -> list[str]:
    return ["steer", "--subject", str(checkpoint), "--sae", str(sae_folder), "--device", "cpu", "--max-new-tokens", "6"]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert cli.main([*arguments, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)["explanations"]


def test_every_feature_asked_for_is_explained_in_order(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    explanations = run([*base, "--features", "9,0-3", "--strength", "5"], capsys)
    assert [explanation["feature_id"] for explanation in explanations] == [9, 0, 1, 2, 3]
    assert all(explanation["coefficient"] == 5.0 for explanation in explanations)


def test_the_batch_size_does_not_change_the_words(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*base, "--features", "0-4", "--strength", "20"]
    at_once, one_by_one = run(asked, capsys), run([*asked, "--batch-size", "1"], capsys)
    assert [each["text"] for each in at_once] == [each["text"] for each in one_by_one]


def test_a_control_says_that_it_is_one(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    explanations = run([*base, "--features", "0-4", "--strength", "5", "--control", "permuted"], capsys)
    assert {each["control"] for each in explanations} == {"permuted"}
    assert all(each["donor_id"] != each["feature_id"] for each in explanations)


def test_the_table_and_the_next_steps_are_for_people(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*base, "--features", "3", "--strength", "-1.5", "--strength-unit", "residual_norm"]) == 0
    shown = capsys.readouterr().out
    assert "log-prob" in shown
    assert "\nNext:\n" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--features", str(N_FEATURES), "--strength", "1"], str(N_FEATURES)),
        (["--features", "1", "--strength", "1", "--layer", str(N_BLOCKS)], str(N_BLOCKS)),
        (["--features", "1", "--strength", "nan"], "finite"),
        (["--features", "1", "--strength", "-inf"], "finite"),
        (["--features", "1", "--strength", "1", "--strength-unit", "max_activation"], "max_activation"),
        (["--features", "1", "--strength", "1", "--control", "permuted"], "at least two"),
        (["--features", "1", "--strength", "1", "--along", "2"], "how hard"),
        (["--features", "1", "--strength", "1", "--along", f"{N_FEATURES}:1"], str(N_FEATURES)),
        (["--features", "1", "--strength", "1", "--mode", "replace", "--along", "2:1"], "pushed along"),
        (["--features", "1", "--strength", "1", "--image", "nowhere.png"], "nowhere.png"),
        (["--features", "1", "--strength", "1", "--image", "nowhere.png", "--empty", "grey"], "--image"),
        (["--features", "1", "--strength", "1", "--prompt", " "], "empty question"),
        (["--features", "1", "--strength", "1", "--prompt", "w1 {phrase}"], "{phrase}"),
        (["--features", "1", "--strength", "1", "--sae", "nowhere"], "nowhere"),
        (["--features", "1", "--strength", "1", "--subject", "./nowhere"], "nowhere"),
        (["--features", "1", "--strength", "1", "--device", "cuda:99"], "cuda:99"),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_that_names_it(
    base: list[str], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*base, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("seesay: error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert captured.out == ""


def test_an_explainer_with_the_subjects_encoder_may_be_another_model(
    base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = gemma3(num_hidden_layers=4)
    eye = gemma3().model.model.vision_tower.state_dict()
    larger.model.model.vision_tower.load_state_dict(eye)
    asked = [*base, "--explainer", str(save(larger, tmp_path)), "--features", "3", "--strength", "20"]
    assert cli.main([*asked, "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["explainer"] == str(tmp_path)
    assert {each["encoder_differs_in"] for each in result["explanations"]} == {""}


def test_an_explainer_with_another_encoder_is_refused_unless_allowed(
    base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = gemma3()
    with torch.no_grad():
        other.model.model.vision_tower.encoder.layers[1].mlp.fc2.bias[3] += 1
    asked = [*base, "--explainer", str(save(other, tmp_path)), "--features", "3", "--strength", "20"]
    assert cli.main(asked) == 2
    assert "encoder.layers.1.mlp.fc2.bias first" in capsys.readouterr().err
    assert cli.main([*asked, "--allow-different-encoder", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {each["encoder_differs_in"] for each in result["explanations"]} == {"encoder.layers.1.mlp.fc2.bias"}


def test_other_prompts_are_asked_and_those_that_are_not_there_refused(
    base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*base, "--features", "0-9", "--strength", "20"]
    usual = run(asked, capsys)
    (tmp_path / "steering.txt").write_text("w1 w2 w3 w4")
    assert run([*asked, "--prompts", str(tmp_path)], capsys) != usual
    assert cli.main([*asked, "--prompts", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_picture_a_question_and_others_pushed_along_are_ones_own(
    base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.effect_noise((90, 60), 90).save(tmp_path / "photo.png")
    asked = [*base, "--features", "0-9", "--strength", "20"]
    usual = run(asked, capsys)
    for options in (["--image", str(tmp_path / "photo.png")], ["--prompt", "w1 w2"], ["--along", "11:60,12:-60"]):
        assert [each["text"] for each in run([*asked, *options], capsys)] != [each["text"] for each in usual]


def test_in_a_process_of_its_own_only_the_result_is_said(base: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seesay", *base, "--features", "1", "--strength", "5", "--json", "r.json"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Written: r.json" in result.stdout
    assert len(json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["explanations"]) == 1


@pytest.mark.parametrize(("status", "shown"), [("ok", "[red] car"), ("empty", "empty"), ("failed", "failed")])
def test_the_table_tells_words_from_their_absence(status: Status, shown: str) -> None:
    explanation = Explanation(
        feature_id=7,
        method="steering",
        control=None,
        text="[red] car" if status == "ok" else "",
        raw_text="",
        status=status,
        strength=Strength(2.0),
        coefficient=2.0,
    )
    console = Console(width=80)
    with console.capture() as capture:
        console.print(explanation_table([explanation]))
    assert shown in capture.get()
