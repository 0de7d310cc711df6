"""The examples do what they are there to show."""

import ast
import re
import runpy
import shutil
from pathlib import Path

import pytest

from seesay import cli
from seesay.store.explanations import explanations, settings
from seesay.store.gallery import explainable
from seesay.store.run import Run

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPLAINER = EXAMPLES / "own_explainer.py"


def n_lines_of_code(path: Path) -> int:
    """Lines with code on them: neither empty, nor comments, nor docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    told = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(path.read_text("utf-8").splitlines(), start=1)
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") and n not in told for n, line in lines)


def test_an_own_explainer_takes_thirty_lines() -> None:
    assert n_lines_of_code(EXPLAINER) <= 30


def test_an_own_explainer_stands_beside_the_methods(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copytree(filled, tmp_path / "run"))
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr("sys.argv", [str(EXPLAINER), str(path)])
    for _ in range(2):  # once more changes nothing
        runpy.run_path(str(EXPLAINER), run_name="__main__")
        with Run.open(path) as run:
            setting = settings(run)[-1]
            said = explanations(run, setting)
            assert (setting.method, setting.explainer) == ("imported", "mean colour")
            assert list(said) == explainable(run)
    texts = {samples[0].text for samples in said.values()}
    assert all(re.fullmatch(r"the colour \w+", text) for text in texts)
    assert len(texts) > 2, "it looks at the pictures"
    assert cli.main(["score", str(path), "--scores", "clip", "--device", "cpu", "--words-alone"]) == 0
    assert cli.main(["compare", str(path), "--scores", "clip"]) == 0
    assert re.search(r"^imported, by mean colour.* \d\.\d{3} ", capsys.readouterr().out, re.MULTILINE)
