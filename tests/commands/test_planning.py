"""`--plan`: what a command tells instead of doing it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from seesay import cli, world

ELSEWHERE = ("--assume-tflops", "100", "--assume-gbps", "1000")


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main([*arguments, "--plan", "--device", "cpu", "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert cli.main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_configuration_and_a_tokenizer_suffice_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(
        world.checkpoint("world:S"),
        folder,
        ignore=shutil.ignore_patterns("*.safetensors", "generation*", "processor_config.json"),
    )
    arguments = ("--subject", str(folder), "--layer", "2", "--sae", "someone/sae", "--features", "0-99", *ELSEWHERE)
    before = files(tmp_path)
    found = planned(capsys, "explain", str(tmp_path / "run"), *arguments)
    assert files(tmp_path) == before
    assert not (tmp_path / "run").exists()
    assert (found["n_features"], found["sae_bytes"], found["fits"]) == (100, None, None)
    assert found["seconds"] > 99 * sum(found["seconds_per_feature"].values())


@pytest.mark.slow
def test_a_run_is_only_read_for_what_is_left(
    collected_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(collected_world, tmp_path / "run")
    strength = ("--method", "steering", "--strength", "2", "--strength-unit", "residual_norm", "--max-new-tokens", "4")
    whole = planned(capsys, "explain", str(run), *strength)
    done = cli.main(["explain", str(run), *strength, "--limit", "10", "--device", "cpu"])
    before = files(run)
    left = planned(capsys, "explain", str(run), *strength)
    other = planned(capsys, "explain", str(run), *strength, "--control", "random")
    assert done == 0
    assert whole["n_features"] == other["n_features"] == left["n_features"] + 10
    assert {path: value for path, value in files(run).items() if path.suffix in ("", ".db")} == {
        path: value for path, value in before.items() if path.suffix in ("", ".db")
    }
    assert left["sae_bytes"] == 4 * sum(
        each.numel() for each in _tensors(world.sae("world:late") / "sae_weights.safetensors")
    )


def _tensors(path: Path) -> list[Any]:
    from safetensors.torch import load_file

    return list(load_file(path).values())


def test_steering_without_a_run_can_be_planned(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, "steer", "--features", "0-63", "--subject", "world:S", "--sae", "world:middle")
    assert found["machine"]["is_measured"]
    assert found["fits"]
    assert found["weights"]["vision tower"]["n_bytes"] == 4 * found["weights"]["vision tower"]["n_parameters"]


@pytest.mark.slow
def test_few_bits_are_fewer_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("steer", "--features", "0", "--subject", "world:M", *ELSEWHERE)
    plain, few = planned(capsys, *arguments), planned(capsys, *arguments, "--quantize", "4bit")
    assert few["total_bytes"] < plain["total_bytes"]
    assert few["flops_per_feature"] == plain["flops_per_feature"]


def test_what_does_not_fit_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["steer", "--features", "0-63", "--subject", "world:S", "--plan", *ELSEWHERE]
    assert cli.main([*arguments, "--assume-gb", "0.01"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "does not fit" in told
    assert all(remedy in told for remedy in ("--batch-size", "--quantize 4bit", "--spread"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--assume-tflops", "5"), "without --plan"),
        (("--plan", "--assume-tflops", "5"), "--assume-gbps"),
        (("--plan", "--assume-tflops", "-5", "--assume-gbps", "5"), "a number above 0"),
        (("--plan", "--sae", "someone/sae"), "expected --layer L"),
        (("--plan", "--layer", "99"), "block 99"),
        (("--plan", "--subject", "./nowhere"), "no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_planned_is_one_line(
    more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, "steer", "--features", "0", *more)


def test_dissect_has_no_plan(collected_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "explain", str(collected_world), "--method", "dissect", "--plan", *ELSEWHERE)
    assert "asks no vision-language model" in told


def test_a_new_run_needs_to_know_which_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "explain", str(tmp_path / "x"), "--sae", "world:late", "--plan", *ELSEWHERE)
    assert "--features" in told
