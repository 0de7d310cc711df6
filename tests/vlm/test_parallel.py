"""One language model over two processes, which torchrun starts: on the CPU, by gloo."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from seesay.errors import InvalidSetting, NotEnoughMemory
from seesay.sae import save_sae
from seesay.vlm import load_vlm, parallel
from seesay.vlm.batches import halving
from tests.families import TEXT, gemma3, qwen3_vl, save
from tests.tiny import save_checkpoint, tiny_sae


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model whose heads two processes can share, and an SAE."""
    monkeypatch.setitem(TEXT, "num_key_value_heads", 2)
    save_sae(tiny_sae(), tmp_path / "sae")
    return ["--subject", str(save_checkpoint(tmp_path / "model")), "--sae", str(tmp_path / "sae"), "--layer", "1"]


def seesay(*arguments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    start = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *start, "-m", "seesay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def rows(run: Path) -> tuple[list[Any], list[Any]]:
    with closing(sqlite3.connect(run / "run.db")) as connection:
        settings = connection.execute("SELECT identity FROM settings").fetchall()
        said = connection.execute("SELECT feature_id, status, raw_text FROM explanations ORDER BY feature_id")
        return settings, said.fetchall()


@pytest.mark.slow
def test_two_processes_write_what_one_writes_and_go_on_where_one_stopped(models: list[str], tmp_path: Path) -> None:
    more = ["--strength", "5", "--max-new-tokens", "6", "--batch-size", "3", "--tensor-parallel"]
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert seesay("explain", str(alone), *models, *more[:-1], "--features", "0-8").returncode == 0
    assert seesay("explain", str(together), *models, *more[:-1], "--features", "0-2").returncode == 0
    found = seesay("explain", str(together), *models, *more, "--features", "0-8", "--json", "-", processes=2)
    assert found.returncode == 0, found.stderr
    assert rows(together) == rows(alone)
    assert len(json.loads(found.stdout)["explanations"]) == 9, "one of them prints"
    assert not (together / "run.db-wal").exists()


@pytest.mark.slow
def test_two_processes_begin_a_run(models: list[str], tmp_path: Path) -> None:
    more = ["--strength", "5", "--max-new-tokens", "4", "--features", "0-2", "--control", "random"]
    found = seesay("explain", str(tmp_path / "run"), *models, *more, "--tensor-parallel", processes=2)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("as given.") == 1, "one of them prints"
    assert [status in ("ok", "empty") for _, status, _ in rows(tmp_path / "run")[1]] == [True] * 3


@pytest.mark.slow
def test_exemplars_are_shown_to_a_model_over_two_processes(collected: Path, models: list[str], tmp_path: Path) -> None:
    (Path(models[1]) / "prompts" / "topk.txt").write_text("what is in the image ?", encoding="utf-8")
    more = ["--method", "topk", "--explainer", models[1], "--max-new-tokens", "4", "--limit", "3"]
    found = seesay("explain", str(collected), *more, "--tensor-parallel", processes=2)
    assert found.returncode == 0, found.stderr
    assert len(rows(collected)[1]) == 3


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    assert seesay("collect", "--images", "world:60", "--subject", "world:S", "--out", str(folder)).returncode == 0
    return folder


@pytest.mark.slow
def test_what_two_processes_cannot_share_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_sae(tiny_sae(), tmp_path / "sae")
    common = ["--sae", str(tmp_path / "sae"), "--layer", "1", "--strength", "5", "--features", "0", "--tensor-parallel"]
    for parts, said in ((gemma3(), "num_key_value_heads is 1"), (qwen3_vl(), "has no plan")):
        folder = save(parts, tmp_path / parts.model.config.model_type)
        found = seesay("steer", "--subject", str(folder), *common, processes=2)
        assert found.returncode != 0
        assert said in found.stderr


def test_a_single_process_has_nobody_to_share_with(checkpoint: Path) -> None:
    with pytest.raises(InvalidSetting, match="torchrun --nproc-per-node"):
        load_vlm(checkpoint, tensor_parallel=True)


@pytest.mark.parametrize("options", [{"spread": True}, {"quantize": "4bit"}])
def test_it_goes_with_nothing_else(checkpoint: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="with quantize or spread"):
        load_vlm(checkpoint, tensor_parallel=True, **options)


def test_a_process_alone_leads_and_shares_with_itself() -> None:
    assert parallel.leads()
    assert parallel.shared("words") == "words"
    weight = torch.ones(2)
    assert parallel.gathered(weight) is weight


def test_batches_are_not_halved_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_batch: object) -> None:
        raise MemoryError

    monkeypatch.setattr("seesay.vlm.batches.in_step", lambda: True)
    with pytest.raises(NotEnoughMemory, match="2 at once do not fit.*fewer"):
        list(halving([1, 2], 2, full))
