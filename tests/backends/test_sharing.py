"""Commands with `--backend ray`, from the command line to the rows that they write."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from seesay.cli import main
from seesay.store.run import Run
from tests.backends.runs import collect, rows

pytestmark = pytest.mark.slow

RAY = ("--backend", "ray", "--workers", "2")


def test_collecting_gives_the_same_rows(ray: Any, collected: Path, tmp_path: Path) -> None:
    shared = collect(tmp_path / "ray", *RAY)
    for table in ("run", "stages", "features", "images", "exemplars"):
        assert rows(shared, table) == rows(collected, table), table
    ours, theirs = (sorted(path.name for path in run.rglob("*.webp")) for run in (collected, shared))
    assert ours == theirs


def test_what_one_backend_explained_is_done_for_the_other(ray: Any, one: Path, other: Path) -> None:
    common = ["--limit", "12", "--batch-size", "4", "--max-new-tokens", "8", "--device", "cpu"]
    assert main(["explain", str(one), *common]) == 0
    assert main(["explain", str(other), *common, *RAY]) == 0
    for table in ("settings", "explanations"):
        assert rows(other, table) == rows(one, table)
    before = times(other)
    assert main(["explain", str(other), *common]) == 0
    assert times(other) == before, "nothing was asked again"


def times(run: Path) -> list[tuple[Any, ...]]:
    with Run.open(run) as opened:
        return opened.rows("SELECT feature_id, seconds FROM explanations ORDER BY feature_id")


def test_scoring_gives_the_same_rows(ray: Any, one: Path) -> None:
    words = ["--method", "topk", "--limit", "8", "--max-new-tokens", "8", "--device", "cpu"]
    assert main(["explain", str(one), *words]) == 0
    other = shutil.copytree(one, one.with_name("scored"))
    common = ["--scores", "iou,clip,fuzzing,monosemanticity", "--features", "0-9", "--device", "cpu", "--words-alone"]
    assert main(["score", str(one), *common, "--n-positives", "2", "--tried"]) == 0
    assert main(["score", str(other), *common, "--n-positives", "2", "--tried", *RAY]) == 0
    assert rows(other, "scorings") == rows(one, "scorings")
    assert [row[:4] for row in rows(other, "scores")] == [row[:4] for row in rows(one, "scores")]
    assert [row[4] for row in rows(other, "scores")] == pytest.approx([row[4] for row in rows(one, "scores")], abs=1e-5)


def test_what_is_wrong_with_a_workers_models_is_one_line(
    ray: Any, one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "nobody"
    capsys.readouterr()
    assert main(["explain", str(one), "--explainer", str(missing), "--strength", "1", "--device", "cpu", *RAY]) == 2
    error = capsys.readouterr().err
    assert error.startswith("seesay: error: ")
    assert str(missing) in error
    assert error.count("\n") == 1
