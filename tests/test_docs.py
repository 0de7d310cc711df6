"""Commands of all pages are real: make's are targets, seesay's are parsed, and what is quick and offline is run.

Those of the README are all run by tests/test_readme.py.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from seesay import cli
from seesay.vlm.families import ENCODERS, VLMS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

NOT_RUN = (
    "seesay world train",
    "seesay train-sae",
    "seesay collect --backend ray",
    "seesay collect --images photos",
    "seesay collect --subject google/",
    "seesay inspect DIR",
    "seesay steer --subject google/",
    "seesay steer --subject openai/",
    "seesay features",
    "seesay calibrate",
    "seesay teach",
    "seesay study",
    "seesay explain",
    "seesay import",
    "seesay show",
    "seesay score",
    "seesay label",
    "seesay compare",
    "seesay trust",
    "seesay people",
    "seesay report",
    "seesay serve",
    "seesay reproduce",
    "seesay export",
)
"""Too long for a test, in need of a model from the hub, or of a run that another command has made (which
the tests of commands go through): these are only parsed."""

DEMO = "seesay demo --out runs/demo"
EVALUATE = "seesay world evaluate"
"""Minutes long, and run as they stand by tests that look at all that comes of them: tests/test_demo.py and
tests/world/test_targets.py."""


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of a page in these languages."""
    fences = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for language, text in fences if language in languages]


def commands(program: str, pages: Sequence[Path] = PAGES) -> list[str]:
    """Every command line of a program in the pages' shell blocks, once each and without comments."""
    lines = [line for page in pages for text in blocks(page, "sh", "bash", "console") for line in text.splitlines()]
    found = [shlex.join(shlex.split(line.removeprefix("$ "), comments=True)) for line in lines]
    return [line for line in dict.fromkeys(found) if line.split(maxsplit=1)[:1] == [program]]


def test_the_readme_starts_with_the_two_commands() -> None:
    assert blocks(ROOT / "README.md", "sh")[0] == "make demo\nmake test\n"


@pytest.mark.parametrize("line", commands("make"))
def test_a_make_command_is_a_target(line: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(shlex.split(line)[1:]) <= set(targets)


def test_make_without_a_target_lists_every_target_with_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    shown = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    assert all(re.search(rf"^  make {target} +\S", shown, re.MULTILINE) for target in phony[1].split())


@pytest.mark.parametrize("line", commands("seesay"))
def test_a_seesay_command_can_be_parsed(line: str) -> None:
    assert isinstance(cli.parse(shlex.split(line)[1:]), tuple(cli.COMMANDS.values()))


@pytest.mark.slow(seconds=60)
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "line",
    [line for line in commands("seesay") if not line.startswith(NOT_RUN) and line not in commands("seesay", PAGES[:1])],
)
def test_a_seesay_command_does_what_it_says(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line)[1:]
    assert cli.main(arguments) == 0
    assert "\nNext:\n" in capsys.readouterr().out
    if "--out" in arguments:
        assert (tmp_path / arguments[arguments.index("--out") + 1]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("session", blocks(ROOT / "README.md", "python"))
def test_the_python_session_says_something(session: str, tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-c", session], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^61 \w", result.stdout, re.MULTILINE)


def test_the_readme_tells_what_the_kept_report_says() -> None:
    report = (ROOT / "docs" / "reproduction" / "world.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search("commit [0-9a-f]{40}, seed 0", report), "of changed sources"
    table = report.partition("## ground\\_truth")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    told = {(row[0], row[1]): [f"{100 * float(cell):.1f} %" for cell in (row[2], row[4], row[5])] for row in rows[2:]}
    for method in ("steering", "topk", "hybrid"):
        means = [told[method, size][0] for size in "SML"]
        assert f"| {method} | {' | '.join([*means, *told[method, 'L'][1:]])} |" in readme
    verdicts = re.findall(r"^\| \*\*\d\*\* \|.*\*\*([a-z ]+)\*\* \|$", report, re.MULTILINE)
    assert verdicts == ["not supported", "undecided", "not supported"], "README and docs/reproduction.md say so"


def test_the_figures_of_steering_plus_are_those_of_the_study() -> None:
    report = (ROOT / "docs" / "steering-plus" / "world.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "steering-plus.md").read_text(encoding="utf-8")
    assert re.search("Commit [0-9a-f]{40} and [0-9a-f]{40}", report), "of changed sources"

    def rows_of(section: str) -> list[list[str]]:
        table = report.partition(f"\n## {section}")[2].partition("\n## ")[0]
        lines = [line.replace("*", "") for line in table.splitlines() if line.startswith("| ")]
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]

    means = {(row[0], row[1]): float(row[2]) for row in rows_of("ground\\_truth")}
    assert len(means) == 18
    for method in ("steering", "topk", "hybrid", "steering+"):
        told = " | ".join(f"{100 * means[method, size]:.1f} %" for size in "SML")
        assert f"| {method} | {told} |" in readme
    for size in "SML":
        told = [f"{means[method, size]:.3f}".removeprefix("0") for method in ("topk", "hybrid", "steering+", "topk+")]
        assert " | ".join([*told[:2], f"**{told[2]}**", told[3]]) in page
    assert [row[-1] for row in rows_of("The target")] == ["yes"] * 4, "README and docs/steering-plus.md say so"


def test_every_family_has_a_row_in_the_table() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs" / "families.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {"model_type"} == {*VLMS, *ENCODERS}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "docs"], ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    for session in blocks(page, "python"):
        result = subprocess.run(
            [sys.executable, "-c", session], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert any(line.startswith(f"seesay {name}") for line in commands("seesay"))


def test_every_picture_and_page_that_the_readme_points_at_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in targets if not (ROOT / target).exists()] == []
