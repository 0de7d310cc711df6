"""`seesay collect` and `seesay features`, from the command line to what they write."""

import json
from pathlib import Path

import pytest
from datasets import Dataset

from seesay.cli import main, parse
from seesay.commands.collect import Collect


def collect(out: Path, *more: str) -> int:
    return main(["collect", "--images", "world:60", "--out", str(out), "--device", "cpu", *more])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "x"
    assert collect(out) == 0
    return out


def test_a_run_is_collected_and_listed(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(run, "--json", str(tmp_path / "c.json")) == 0
    said = json.loads((tmp_path / "c.json").read_text())
    assert (said["n_images"], said["n_features"], said["layer"]) == (60, 1536, 5)
    words = " ".join(capsys.readouterr().out.split())
    assert f"features active: {said['n_live_features']} of 1536" in words
    assert "It is collected already." in words
    for sort, field in (("frequency", "frequency"), ("images", "image_frequency"), ("max", "max_activation")):
        file = tmp_path / f"{sort}.json"
        assert main(["features", str(run), "--sort", sort, "--rows", "5", "--json", str(file)]) == 0
        values = [each[field] for each in json.loads(file.read_text())["features"]]
        assert values == sorted(values, reverse=True)
        assert len(values) == 5
    assert "5 of 1536" in capsys.readouterr().out


def test_features_that_are_like_one_come_with_their_cosines(run: Path, tmp_path: Path) -> None:
    assert main(["features", str(run), "--like", "42", "--json", str(tmp_path / "f.json")]) == 0
    found = json.loads((tmp_path / "f.json").read_text())["features"]
    assert found[0]["feature_id"] == 42
    nearest = [[each["feature_id"], each["cosine"]] for each in found]
    assert nearest == [[42, 1.0], *found[0]["nearest"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("features {tmp}/none", "no run"),
        ("features {tmp}", "no run.db"),
        ("features {run} --like 5000", "feature 5000; expected 0 to 1535"),
        ("collect --images world:30 --out {run}", "images world:60, and images world:30 was asked for"),
        (
            "collect --images world:60 --sae world:early --out {run}",
            "sae world:late, and sae world:early was asked for",
        ),
        ("collect --images world:60 --top 3 --out {run}", "n_top 10, and n_top 3 was asked for"),
        ("collect --images {tmp} --out {run}-new", "no images in"),
        ("collect --images {tmp} --out {tmp}/new", "within the images"),
        ("collect --images world:60 --quantiles 2000 --out {tmp}/new", "n_quantiles 2000; expected 1 to 1000"),
        ("features {run} --like 99999999999999999999", "feature 99999999999999999999; expected 0 to 1535"),
        ("collect --images {table} --out {tmp}/new", "has images; expected one of images"),
        ("collect --images world:60 --out {run}/run.db", "run.db"),
        ("collect --images world:60 --layer 9 --out {tmp}/new", "block 9"),
    ],
)
def test_bad_input_is_one_line(
    arguments: str, message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path.with_name(f"{tmp_path.name}-table")
    table.mkdir()
    Dataset.from_dict({"words": ["no", "picture"]}).to_parquet(table / "rows.parquet")
    assert main(arguments.format(tmp=tmp_path, run=run, table=table).split()) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("seesay: error: ")
    assert message in error
    assert main(["features", str(run), "--rows", "1"]) == 0, "what there was is there"


def test_every_flag_reaches_the_configuration() -> None:
    flags = "--by max --top 7 --quantiles 3 --per-quantile 2 --inactive 5"
    command = parse(["collect", "--images", "x", "--out", "y", *flags.split()])
    assert isinstance(command, Collect)
    config = command.config
    assert (config.reduction, config.n_top, config.n_quantiles) == ("max", 7, 3)
    assert (config.n_per_quantile, config.n_sampled, config.n_inactive) == (2, 12, 5)
