"""A small run of the embedded world, and what is in one."""

from pathlib import Path
from typing import Any

from seesay.cli import main
from seesay.store.run import Run

LEFT_OUT = {"seconds", "finished_at"}


def collect(out: Path, *more: str) -> Path:
    arguments = ["--subject", "world:S", "--images", "world:50", "--out", str(out), "--device", "cpu"]
    assert main(["collect", *arguments, "--batch-size", "8", *more]) == 0
    return out


def rows(run: Path, table: str) -> list[tuple[Any, ...]]:
    """A table without times, numbers rounded to what does not depend on threads."""
    with Run.open(run) as opened:
        names = [column[1] for column in opened.rows(f"PRAGMA table_info({table})")]
        kept = ", ".join(name for name in names if name not in LEFT_OUT)
        found = opened.rows(f"SELECT {kept} FROM {table}")
    return sorted(
        (tuple(round(each, 5) if isinstance(each, float) else each for each in row) for row in found), key=repr
    )
