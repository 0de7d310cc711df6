"""The training's log: one JSON line per entry, and a progress bar for whoever watches."""

import fcntl
import json
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from seesay.errors import UnusablePath

_EVERY = 100
_SAID_EVERY_S = 30.0  # into a file, where no bar can move
_SMOOTHING = 0.98


def seconds_logged(folder: Path, stage: str) -> float:
    """What a stage took since it last began from nothing, killed runs too up to their last entry.

    Raises:
        UnusablePath: if its log is missing or damaged.
    """
    file = folder / f"{stage}.jsonl"
    total, last = 0.0, 0.0
    try:
        entries = logged(file)
        if not entries:
            raise ValueError("nothing noted")
        for entry in entries:
            match entry.get("resumed_at"):
                case None:
                    pass
                case 0:
                    total = 0.0
                case _:
                    total += last
            last = float(entry["seconds"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusablePath(f"{file} is missing or damaged", remedy="remove the folder, or the line at fault") from error
    return round(total + last, 1)


def logged(file: Path) -> list[dict[str, float]]:
    """What a training has noted; a line that a kill or a full disk left half written is passed over.

    Raises:
        OSError: the log cannot be read.
    """
    entries: list[dict[str, float]] = []
    for line in file.read_text("utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            entries.append(json.loads(line))
    return entries


class TrainingLog:
    """Writes `<folder>/<stage>.jsonl`; use as a context manager.

    Raises:
        UnusablePath: if it cannot be written, or if another process is at this stage in this folder.
    """

    def __init__(self, folder: Path, stage: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / f"{stage}.jsonl").open("a", encoding="utf-8")
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.write("\n" if _ends_within_a_line(folder / f"{stage}.jsonl") else "")
        except BlockingIOError as error:
            self._file.close()
            raise UnusablePath(
                f"another process is at {stage} in {folder}", remedy="wait for it, or give another --out"
            ) from error
        except OSError as error:
            raise UnusablePath(f"cannot write to {folder}: {error.strerror}", expected="a folder of yours") from error
        self._stage = stage
        self._loss: float | None = None
        self._figures = ""
        self._started = self._said_at = time.monotonic()
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            TaskProgressColumn(),
            TextColumn("loss {task.fields[loss]:.4g}{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(stage, total=None, loss=float("nan"), figures="")

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._loss is not None:
            self._progress.stop()
        self._file.close()

    def resumed(self, step: int) -> None:
        """Note where the training starts, 0 or a checkpoint's step."""
        self._write({"resumed_at": step})
        if step:
            self.say(f"going on from step {step}")

    def say(self, text: str) -> None:
        """Tell whoever watches."""
        self._progress.console.print(f"{self._stage}: {text}", highlight=False, soft_wrap=True)

    def step(self, step: int, n_steps: int, loss: float) -> None:
        """Count one step; its loss is smoothed before it is shown. The first one starts the progress bar."""
        if self._loss is None:
            self._progress.start()
        self._loss = loss if self._loss is None else _SMOOTHING * self._loss + (1 - _SMOOTHING) * loss
        self._progress.update(self._task, total=n_steps, completed=step, loss=self._loss)
        if step % _EVERY == 0:
            self._write({"step": step, "loss": round(self._loss, 4)})
        if not self._progress.console.is_terminal and time.monotonic() - self._said_at >= _SAID_EVERY_S:
            self._said_at = time.monotonic()
            self.say(f"step {step} of {n_steps}  loss {self._loss:.4g}{self._figures}")

    def figures(self, step: int, figures: dict[str, float], shown: str) -> None:
        """Note what was measured on the batch that was just learnt from, and show it in few words beside the loss."""
        self._figures = f"  {shown}"
        self._progress.update(self._task, figures=self._figures)
        self._write({"step": step, **{name: round(value, 4) for name, value in figures.items()}})

    def evaluation(self, step: int, figures: dict[str, float]) -> None:
        """Note what was measured on held-out scenes."""
        rounded = {name: round(value, 4) for name, value in figures.items()}
        self._write({"step": step, **rounded})
        shown = "  ".join(f"{name} {value:.3f}" for name, value in rounded.items())
        self.say(f"step {step}: {shown}")

    def _write(self, entry: dict[str, float]) -> None:
        entry = {"seconds": round(time.monotonic() - self._started, 1), **entry}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


def _ends_within_a_line(file: Path) -> bool:
    text = file.read_bytes()
    return bool(text) and not text.endswith(b"\n")
