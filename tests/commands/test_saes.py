"""`seesay inspect` and `seesay train-sae`, from the command line to what they write."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from seesay.cli import main, parse
from seesay.commands.inspect import facts_table, quality_table
from seesay.commands.train_sae import TrainSAE
from seesay.sae import load_sae
from seesay.sae.quality import Quality
from seesay.sae.training import PRESETS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of transformer-lens, by itself

FLAGS = "--layer 3 --images world:40 --features 64 --k 8 --steps 30 --batch-size 128 --buffer 4 --device cpu"
SMALL = FLAGS.split()


def trained(out: Path, *more: str) -> int:
    return main(["train-sae", *SMALL, "--out", str(out), *more])


def config_of(*arguments: str) -> Any:
    command = parse(["train-sae", "--layer", "3", "--images", "x", *arguments])
    assert isinstance(command, TrainSAE)
    return command.config


def test_an_sae_is_trained_and_inspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained(tmp_path / "sae", "--json", str(tmp_path / "t.json")) == 0
    said = json.loads((tmp_path / "t.json").read_text())
    assert load_sae(tmp_path / "sae").n_features == 64
    assert "64 features, k 8: 30 batches of 128 patches" in capsys.readouterr().out
    code = main(["inspect", str(tmp_path / "sae"), "--images", "world:40@50000", "--json", str(tmp_path / "i.json")])
    assert code == 0
    found = json.loads((tmp_path / "i.json").read_text())
    assert (found["features"], found["d_model"], found["k"], found["layer"]) == (64, 128, 8, 3)
    assert found["l0"] == pytest.approx(said["l0"], rel=0.1)
    assert found["n_images"] == 40
    assert isinstance(found["b_dec_norm"], float)
    shown = capsys.readouterr().out
    assert "--strength 1 --strength-unit residual_norm" in shown, "an SAE of one's own has no calibrated strength"


def test_a_training_says_what_resuming_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained(tmp_path, "--resume") == 0
    assert "nothing in" in capsys.readouterr().out
    assert trained(tmp_path, "--resume") == 0
    assert "was trained to its end before" in capsys.readouterr().out
    assert trained(tmp_path) == 2
    assert "finished training" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--k 65", "k 65; expected 1 to 64"),
        ("--learning-rate nan", "learning_rate nan; expected a finite number above 0"),
        ("--learning-rate 1e30", "the loss is"),
        ("--batch-size 1", "batch_size 1"),
        ("--features 900000000", "900000000 features, batches of 128 patches"),
        ("--buffer 900000000", "900000000 of them in the buffer, and no memory left"),
        ("--checkpoint-minutes -1", "--checkpoint-minutes -1.0"),
        ("--layer 6", "block 6"),
        ("--images nowhere", "nowhere"),
        ("--subject world:XL", "world:XL"),
    ],
)
def test_bad_input_is_one_line(wrong: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained(tmp_path / "sae", *wrong.split()) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("seesay: error: ")
    assert message in error


def test_every_flag_reaches_the_configuration() -> None:
    flags = "--arch jumprelu --features 7 --k 3 --steps 9 --batch-size 11 --learning-rate 0.5 --buffer 2 --seed 4"
    config = config_of(*flags.split())
    assert (config.architecture, config.n_features, config.k, config.n_steps) == ("jumprelu", 7, 3, 9)
    assert (config.batch_size, config.learning_rate, config.buffer_batches, config.seed) == (11, 0.5, 2, 4)
    assert config.scales_inputs


def test_the_worlds_models_take_the_worlds_preset_and_all_others_the_papers() -> None:
    assert config_of() == config_of("--subject", "world:L") == PRESETS["world"]
    assert config_of("--subject", "google/gemma-3-4b-it") == PRESETS["paper"]
    assert config_of("--preset", "paper") == PRESETS["paper"]


def shown(table: object) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_histogram_counts_every_feature_that_is_active() -> None:
    frequency = torch.tensor([1.0, 0.5, 0.02, 1e-9, 0.0])
    text = shown(quality_table(Quality(0.9, 2.0, 0.2, frequency, 10, 640)))
    counts = [int(line.split("patches")[1].split()[0]) for line in text.splitlines() if "active on" in line]
    assert sum(counts) == 4
    assert counts[-1] == 2


def test_names_from_files_are_no_markup() -> None:
    text = shown(facts_table({"subject": "[/red]\x1b[31mworld[link=x]", "layer": None}))
    assert "[/red][31mworld[link=x]" in text
    assert "\x1b" not in text


def test_a_block_that_the_sae_was_not_made_for_is_remarked_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "world:late", "--layer", "3", "--images", "world:20@50000"]) == 0
    assert "made for block 5, and is used on block 3" in " ".join(capsys.readouterr().out.split())
