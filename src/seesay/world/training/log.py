"""The training's log: one JSON line per entry, and a progress bar for whoever watches."""

import json
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from seesay.errors import UnusablePath

_EVERY = 100
_SMOOTHING = 0.98


class TrainingLog:
    """Writes `<folder>/<stage>.jsonl`; use as a context manager.

    Raises:
        UnusablePath: if it cannot be written.
    """

    def __init__(self, folder: Path, stage: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / f"{stage}.jsonl").open("a", encoding="utf-8")
        except OSError as error:
            raise UnusablePath(f"cannot write to {folder}: {error.strerror}", expected="a folder of yours") from error
        self._stage = stage
        self._loss: float | None = None
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(stage, total=None, loss=float("nan"))

    def __enter__(self) -> "TrainingLog":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._file.close()

    def resumed(self, step: int) -> None:
        """Note where the training starts, 0 or a checkpoint's step."""
        self._write({"resumed_at": step})

    def step(self, step: int, n_steps: int, loss: float) -> None:
        """Count one step; its loss is smoothed before it is shown."""
        self._loss = loss if self._loss is None else _SMOOTHING * self._loss + (1 - _SMOOTHING) * loss
        self._progress.update(self._task, total=n_steps, completed=step, loss=self._loss)
        if step % _EVERY == 0:
            self._write({"step": step, "loss": round(self._loss, 4)})

    def evaluation(self, step: int, figures: dict[str, float]) -> None:
        """Note what was measured on held-out scenes."""
        rounded = {name: round(value, 4) for name, value in figures.items()}
        self._write({"step": step, **rounded})
        shown = "  ".join(f"{name} {value:.3f}" for name, value in rounded.items())
        self._progress.console.print(f"{self._stage} step {step}: {shown}")

    def _write(self, entry: dict[str, float]) -> None:
        entry = {"seconds": round(time.monotonic() - self._started, 1), **entry}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
