"""`seesay export`: runs for other programs."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from seesay import cli
from seesay.export import hub, parquet
from seesay.export.source import Row, Source
from seesay.store.exemplars import features
from seesay.store.run import Run
from tests.comparison.making import making
from tests.export.serving import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def test_tables_are_written_and_counted(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tables"
    assert cli.main(["export", str(filled), "--out", str(out), "--images", "--json", "-"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["rows"] == {path.stem: pq.ParquetFile(path).metadata.num_rows for path in out.glob("*.parquet")}
    assert told["files"] == {path.name: path.stat().st_size for path in out.iterdir()}
    assert "images" in told["rows"]
    assert "Next:" in captured.err


def test_the_next_step_works_as_it_stands(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(filled), "--out", str(tmp_path / "o")]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "python -c" in line]
    (program, *arguments) = shlex.split(line)[:3]
    assert program == "python"
    shown = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout
    assert "[120 rows x 19 columns]" in shown


@pytest.mark.parametrize("name", ["it's here", 'a "b" $HOME'])
def test_the_next_step_works_whatever_folders_are_called(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert cli.main(["export", str(filled), "--out", str(tmp_path / name)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "python -c" in line]
    command = f"{shlex.quote(sys.executable)} {line.strip().removeprefix('python ').rpartition('   ')[0]}"
    shown = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert "[120 rows x 19 columns]" in shown


def test_several_runs_a_selection_and_a_second_time(filled: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(filled, tmp_path / "other"))
    with Run.open(filled) as run:
        first = [each.feature_id for each in features(run)][:3]
    out = str(tmp_path / "out")
    chosen = ["--features", ",".join(map(str, first)), "--methods", "topk"]
    for _ in range(2):
        assert cli.main(["export", str(filled), str(other), "--out", out, *chosen]) == 0
    found = pq.read_table(f"{out}/explanations.parquet")
    assert sorted(set(found["feature_id"].to_pylist())) == sorted(first)
    assert set(found["run"].to_pylist()) == {filled.name, "other"}
    assert set(found["method"].to_pylist()) == {"topk"}


@pytest.mark.parametrize("form", ["parquet", "neuronpedia", "hub"])
def test_methods_that_said_nothing_in_any_run_are_refused(
    form: str, filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with making(tmp_path / "silent"):
        pass
    out = ["--out", str(tmp_path / "out"), "--format", form]
    assert cli.main(["export", str(filled), *out, "--methods", "topk,dissect,hybrid"]) == 2
    error = capsys.readouterr().err
    assert f"no explanations by hybrid, dissect in {filled}; expected some of topk, steering\n" in error
    assert cli.main(["export", str(tmp_path / "silent"), *out, "--methods", "topk"]) == 2
    assert f"by topk in {tmp_path / 'silent'}; expected runs that are explained\n" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main(["export", str(tmp_path / "silent"), str(filled), *out, "--methods", "topk"]) == 0, "one has them"


def test_a_run_that_is_named_in_several_ways_is_there_once(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(filled, tmp_path / "here" / "early")
    shutil.copytree(filled, tmp_path / "there" / "early")
    (tmp_path / "link").symlink_to(tmp_path / "here" / "early")
    monkeypatch.chdir(tmp_path / "here")
    ways = ["early", str(tmp_path / "here" / "early"), "../here/early", "../link"]
    assert cli.main(["export", "early", "--out", str(tmp_path / "once")]) == 0
    assert cli.main(["export", *ways, "--out", str(tmp_path / "often"), "--format", "hub"]) == 0
    assert "seesay export early --out" in capsys.readouterr().out
    for path in (tmp_path / "once").glob("*.parquet"):
        assert (tmp_path / "often" / path.name).read_bytes() == path.read_bytes()
    assert cli.main(["export", *ways, "../there/early", "--out", str(tmp_path / "two")]) == 0
    runs = pq.read_table(tmp_path / "two" / "runs.parquet")["run"].to_pylist()
    assert runs == ["here/early", "there/early"]
    for path in filter(Path.is_file, [*(tmp_path / "often").iterdir(), *(tmp_path / "two").iterdir()]):
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("is_public", [False, True])
def test_whoever_follows_a_dry_run_uploads_the_same(
    filled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    is_public: bool,
) -> None:
    monkeypatch.setattr(hub, "HuggingFaceHub", partial(hub.HuggingFaceHub, server.address))
    run, out = Path(shutil.copytree(filled, tmp_path / "my run")), tmp_path / "it's out"
    with Run.open(run) as opened:
        ids = [each.feature_id for each in features(opened) if each.split == "test"][:3]
    chosen = ["--features", ", ".join(map(str, ids)), "--methods", "topk", "--split", "test", "--images"]
    said = ["--license", "cc-by-4.0", "--repo", "me/features", *(["--public"] if is_public else [])]
    line = ["export", str(run), "--out", str(out), "--format", "hub", *chosen, *said]
    assert cli.main([*line, "--dry-run"]) == 0
    tried = {path.name: path.read_bytes() for path in out.iterdir()}
    told = capsys.readouterr().out.partition("Next:\n")[2].splitlines()[0]
    command, _, what = told.strip().rpartition("   ")
    assert what == ("upload it, for everyone to read" if is_public else "upload it, private")
    program, *arguments = shlex.split(command)
    assert (program, sorted(arguments)) == ("seesay", sorted(line))
    assert cli.main(arguments) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == tried
    assert server.private is not is_public
    assert set(server.files) == set(tried) - {"export.json"}


def test_neuronpedias_lines_are_written(filled: Path, tmp_path: Path) -> None:
    assert cli.main(["export", str(filled), "--out", str(tmp_path / "o"), "--format", "neuronpedia"]) == 0
    assert (tmp_path / "o" / "world-m" / "5-world-late" / "features" / "batch-0.jsonl.gz").is_file()


def test_a_dry_run_says_what_would_be_uploaded_and_reaches_for_nothing(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HuggingFaceHub", partial(pytest.fail, "the network is asked"))
    out, result = tmp_path / "o", tmp_path / "r.json"
    line = ["export", str(filled), "--out", str(out), "--format", "hub", "--repo", "me/features", "--dry-run"]
    assert cli.main([*line, "--json", str(result)]) == 0
    said = capsys.readouterr().out
    told = json.loads(result.read_text())
    assert told["upload"] == {
        "repo": "me/features",
        "private": True,
        "bytes": sum(path.stat().st_size for path in out.iterdir() if path.name != "export.json"),
        "url": None,
    }
    for name, n_bytes in told["files"].items():
        assert (f"{name} " in said) == (name != "export.json")
        assert name == "export.json" or f" {n_bytes} " in said
    assert "Would be uploaded to me/features, private: 8 files" in said
    assert cli.main([*line, "--public", "--json", str(result)]) == 0
    assert "public: everyone can read it" in capsys.readouterr().out
    assert json.loads(result.read_text())["upload"]["private"] is False


def test_without_the_network_nothing_is_written(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HuggingFaceHub", partial(hub.HuggingFaceHub, "http://127.0.0.1:9"))
    line = ["export", str(filled), "--out", str(tmp_path / "o"), "--format", "hub", "--repo", "me/features"]
    assert cli.main(line) == 2
    assert "cannot be reached for me/features" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_an_upload_is_told_with_its_address(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HuggingFaceHub", partial(hub.HuggingFaceHub, server.address))
    line = ["export", str(filled), "--out", str(tmp_path / "o"), "--format", "hub", "--repo", "me/features"]
    assert cli.main(line) == 0
    assert f"Uploaded to {server.address}/datasets/me/features, private: 8 files" in capsys.readouterr().out
    assert server.private
    assert set(server.files) == {path.name for path in (tmp_path / "o").iterdir()} - {"export.json"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repo", "me/x"], "--repo with --format parquet"),
        (["--dry-run", "--format", "neuronpedia"], "--dry-run with --format neuronpedia"),
        (["--license", "mit"], "--license with --format parquet"),
        (["--public"], "--public with --format parquet"),
        (["--images", "--format", "neuronpedia"], "--images with --format neuronpedia"),
        (["--format", "hub", "--repo", "x"], "the dataset 'x'"),
        (["--format", "hub", "--license", "my own"], "the licence 'my own'"),
        (["--features", "999999"], "feature 999999"),
        (["--methods", "telepathy"], "method 'telepathy'"),
    ],
)
def test_what_cannot_be_is_said_in_a_line_and_leaves_nothing(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.main(["export", str(filled), "--out", str(tmp_path / "o"), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"seesay: error: {said}")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "--out", str(tmp_path / "o")]) == 2
    assert cli.main(["export", str(tmp_path / "nowhere"), "--out", str(tmp_path / "o")]) == 2
    assert "no run" in capsys.readouterr().err


def test_the_runs_own_folder_is_no_place_for_it(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(filled), "--out", str(filled)]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert (filled / "run.db").is_file()


def test_an_interrupt_leaves_the_earlier_export(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_source: Source) -> "list[Row]":
        raise KeyboardInterrupt

    out = tmp_path / "o"
    assert cli.main(["export", str(filled), "--out", str(out)]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(parquet, "_ROWS", {**parquet._ROWS, "scores": interrupted})
    assert cli.main(["export", str(filled), "--out", str(out)]) == 130
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["o"]
