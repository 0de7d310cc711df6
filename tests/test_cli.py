import dataclasses
import json
import os
import subprocess
import sys
import time
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest

from seesay import __version__, cli
from seesay.commands.doctor import Doctor
from seesay.commands.options import Options
from seesay.commands.steer import Steer
from seesay.errors import FeatureNotFound

BARE = {
    "steer": ["--features", "42"],
    "inspect": ["world:middle"],
    "train-sae": ["--layer", "3", "--images", "world:8"],
    "collect": ["--images", "world:8", "--out", "x"],
    "features": ["x"],
    "calibrate": ["x"],
    "teach": ["x"],
    "study": ["steering-plus"],
    "explain": ["x"],
    "import": ["x", "y.csv"],
    "show": ["x", "42"],
    "score": ["x"],
    "label": ["x"],
    "compare": ["x"],
    "trust": ["x"],
    "people": ["x"],
    "report": ["x"],
    "serve": ["x"],
    "export": ["x", "--out", "y"],
}
"""What a command cannot do without."""


def parse(name: str, *arguments: str) -> Any:
    return cli.parse([*name.split(), *arguments])


def fields_of(config: type) -> Iterator[tuple[dataclasses.Field[Any], Any, str]]:
    """Every flag of a command: its field, its type, and the group of options that it is in, if it is in one."""
    hints = typing.get_type_hints(config, include_extras=True)
    for field in dataclasses.fields(config):
        kind = typing.get_type_hints(config)[field.name]
        if dataclasses.is_dataclass(kind):
            inner = typing.get_type_hints(kind)
            yield from ((option, inner[option.name], field.name) for option in dataclasses.fields(kind))
        elif "Positional" not in str(hints[field.name]):
            yield field, kind, ""


def another_value(hint: Any, default: Any) -> Any:
    """A value of this type that is not the default."""
    if get_origin(hint) is Annotated:
        return another_value(get_args(hint)[0], default)
    if get_origin(hint) in (typing.Union, types.UnionType):
        return another_value(next(kind for kind in get_args(hint) if kind is not type(None)), default)
    if get_origin(hint) is Literal:
        return next(choice for choice in get_args(hint) if choice != default)
    if get_origin(hint) is tuple:
        return (another_value(get_args(hint)[0], None),)
    if hint is bool:
        return not default
    return {int: 7, float: -2.5, str: "3-5", Path: Path("elsewhere")}[hint]


FLAGS = [
    pytest.param(name, field, hint, group, id=f"{name} --{field.name}")
    for name, config in cli.COMMANDS.items()
    for field, hint, group in fields_of(config)
]


@pytest.mark.parametrize(("name", "field", "hint", "group"), FLAGS)
def test_every_flag_reaches_its_config(name: str, field: dataclasses.Field[Any], hint: Any, group: str) -> None:
    value = another_value(hint, field.default)
    flag = "--" + field.name.replace("_", "-")
    given = [flag] if value is True else [flag, *map(str, value if isinstance(value, tuple) else (value,))]
    bare = list(BARE.get(name, []))
    if flag in bare:
        del bare[bare.index(flag) : bare.index(flag) + 2]
    config = parse(name, *bare, *given)
    assert getattr(getattr(config, group) if group else config, field.name) == value


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_is_a_frozen_config_with_documented_fields(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = parse(name, *BARE.get(name, []))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.common = Options()
    assert cli.main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples:\n  seesay " in shown
    assert "(default: )" not in shown
    for field, _, _ in fields_of(type(config)):
        assert "--" + field.name.replace("_", "-") in shown


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_takes_the_common_options(name: str) -> None:
    given = ["--device", "cpu", "--dtype", "float32", "--seed", "3", "--json", "-", "-v"]
    config = parse(name, *BARE.get(name, []), *given)
    assert config.common == Options(device="cpu", dtype="float32", seed=3, json=Path("-"), verbose=True)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_examples_in_the_help_can_be_parsed(name: str) -> None:
    lines = [line.strip() for line in (cli.COMMANDS[name].__doc__ or "").splitlines()]
    examples = [line.split()[1:] for line in lines if line.startswith("seesay ")]
    assert examples
    assert all(isinstance(cli.parse(example), cli.COMMANDS[name]) for example in examples)


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  seesay {name}" in shown for name in cli.COMMANDS)


def test_no_arguments_show_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "In order of use:" in capsys.readouterr().out


def test_the_overview_fits_into_eighty_columns_but_for_examples_and_the_list_of_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    cli.main(["--help"])
    prose = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("  ", "usage:"))]
    assert max(map(len, prose)) <= 80


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"seesay {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["stear"],
        ["steer"],
        ["steer", "--features"],
        ["world"],
        ["world", "shw"],
        ["demo", "--sed", "3"],
        ["demo", "--max-features", "0"],
    ],
    ids=" ".join,
)
def test_arguments_that_cannot_be_parsed_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "--help" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["steer", "--features", "9-3"], "expected 3-9"),
        (["steer", "--features", "x"], "0-499,777"),
        (["steer", "--features", "1,1"], "selected twice"),
        (["steer", "--features", "1", "--strength-unit", "residual_norm"], "--strength NUMBER"),
        (["steer", "--features", "1", "--sae", "elsewhere"], "--strength NUMBER"),
        (["steer", "--features", "1", "--json", "."], "it is a folder"),
        (["doctor", "--json", "/proc/nowhere/x.json"], "cannot write /proc/nowhere/x.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("seesay: error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_an_interrupt_is_one_line_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: Doctor) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Doctor, "run", interrupted)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "seesay: interrupted\n"


def test_an_error_from_deep_inside_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Steer) -> int:
        raise FeatureNotFound("feature 9000", expected="0 to\n511", remedy="choose\n another")

    monkeypatch.setattr(Steer, "run", refuse)
    assert cli.main(["steer", "--features", "9000"]) == 2
    assert capsys.readouterr().err == "seesay: error: feature 9000; expected 0 to 511; choose another\n"


def test_a_mistake_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Doctor) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(Doctor, "run", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_a_reader_that_has_gone_is_met_with_silence() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.run(
        [sys.executable, "-m", "seesay", "--help"], stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)
    assert (process.returncode, process.stderr) == (1, b"")


def test_help_is_there_within_a_second() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "seesay", "--help"], capture_output=True, check=True)
        return time.perf_counter() - start

    # the best of some tries, because the machine may be busy with something else
    assert min(seconds() for _ in range(5)) < 1.0


def test_doctor_writes_its_report_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["doctor", "--json", "-"])
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["usable"] is (code == 0)
    assert {"seesay", "torch", "transformers", "world", "disk"} <= {check["name"] for check in report["checks"]}
    assert "verdict" in captured.err
