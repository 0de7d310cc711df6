"""`seesay serve`: what it refuses before anything is loaded or served."""

from pathlib import Path

import pytest

from seesay import cli


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["serve", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_folder_of_runs_is_answered_by_those_in_it(collected_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal([str(collected_world.parent)], capsys)
    assert "a folder of some" in told
    assert str(collected_world) in told


@pytest.mark.parametrize("options", [["--explainer", "world:S"], ["--time-limit", "3"], ["--spread"]])
def test_options_of_a_model_need_one(
    collected_world: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--with-model beside them" in refusal([str(collected_world), *options], capsys)


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf"])
def test_a_time_limit_is_a_time(collected_world: Path, limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "more than 0" in refusal([str(collected_world), "--with-model", f"--time-limit={limit}"], capsys)


def test_a_run_whose_model_is_missing_is_told_before_it_is_served(
    collected_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal([str(collected_world), "--with-model", "--explainer", "./nowhere"], capsys)
    assert "nowhere" in told
