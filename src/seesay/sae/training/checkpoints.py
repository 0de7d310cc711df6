"""What a training leaves in its folder: checkpoints while it runs, a record of it once it is done.

Checkpoints are written aside, synced and renamed; the newest two are kept.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from textwrap import shorten
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from seesay.errors import UnusablePath
from seesay.files import replaced_folder, unwritable, write_json
from seesay.sae.training.patches import PatchStream

_N_KEPT = 2
_IDENTITY, _STREAM = "identity.json", "stream.safetensors"
_RECORD, _SAE = "training.json", "cfg.json"
_WEIGHTS = "sae_weights.safetensors"
_SHOWN = 120  # characters of a reason
_OURS = frozenset({_RECORD, _SAE, _WEIGHTS, "training.jsonl", "report.html", "checkpoints", ".sae.partial"})
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError)
_HASHES = frozenset({"images", "encoder"})
_LOG = logging.getLogger(__name__)


class DamagedCheckpoint(UnusablePath):
    """A checkpoint or record that cannot be read."""


@final
class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: of the training.
        identity: what must not change between its beginning and its end, as plain data.
        resume: whether to go on with what is there; if not, there must be nothing.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
        self._training, self._folder = folder, folder / "checkpoints"
        self._identity, self._resume = dict(identity), resume

    def finished(self) -> dict[str, float] | None:
        """What the training reached, if it has come to its end before.

        Raises:
            UnusablePath: the folder holds something else, or this training and nobody asked for it, or the record of
                it is damaged.
        """
        self._check_room()
        record, is_begun = self._training / _RECORD, bool(self._written())
        is_finished = record.exists() and (self._training / _SAE).exists()
        if (is_begun or is_finished) and not self._resume:
            raise UnusablePath(
                f"{self._training} holds {'a finished' if is_finished else 'an unfinished'} training",
                expected="an empty folder",
                remedy="add --resume if it is the same, or give another --out",
            )
        if not is_finished:
            return None
        found = _read(record)
        self._check_same(found.get("identity"))
        figures = found.get("figures")
        if not isinstance(figures, dict):
            raise _unusable(record, ValueError("no figures in it"))
        return figures

    def save(self, trainer: Any, stream: PatchStream) -> None:
        """Write one more, and let go of the oldest.

        Args:
            trainer: sae-lens' trainer, with its SAE.
            stream: what it learns from.

        Raises:
            UnusablePath: it cannot be written.
        """
        with replaced_folder(self._folder / f"{trainer.n_training_steps:08d}") as aside:
            try:
                trainer.sae.save_model(aside)
                trainer.save_trainer_state(aside)
                state = {name: tensor.cpu() for name, tensor in stream.state_dict().items()}
                save_file({**state, "torch": torch.get_rng_state()}, aside / _STREAM)
            except (OSError, RuntimeError, SafetensorError) as error:
                shutil.rmtree(aside, ignore_errors=True)  # it may be what fills the disk
                raise unwritable(aside, shorten(str(error), _SHOWN)) from error
            write_json(aside / _IDENTITY, self._identity)
        for old in sorted(self._folder.glob("[0-9]*"))[:-_N_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self, trainer: Any, stream: PatchStream) -> None:
        """Put a training back to where it was when the last checkpoint was written; to its beginning if there is none.

        A checkpoint that cannot be read gives way to the one before it.

        Args:
            trainer: a new trainer of the same configuration.
            stream: a new stream with the same arguments.

        Raises:
            UnusablePath: checkpoints are of another training, or none can be read.
        """
        for left_over in self._folder.glob(".*"):  # by a process that was killed while it wrote
            shutil.rmtree(left_over, ignore_errors=True)
        failures: list[UnusablePath] = []
        for path in reversed(self._written()):
            try:
                self._check_same(_read(path / _IDENTITY))
                _load(path, trainer, stream)
            except DamagedCheckpoint as error:
                failures.append(error)
                continue
            for failure in failures:
                _LOG.warning("%s", failure.what)
            return
        if failures:
            raise failures[0]

    def note(self, figures: Mapping[str, float]) -> None:
        """Note what the training has reached; it is done when the SAE stands beside it."""
        write_json(self._training / _RECORD, {"identity": self._identity, "figures": dict(figures)})

    def remove(self) -> None:
        """Remove all of them, once the training is done."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _written(self) -> list[Path]:
        """Those that were written whole, the oldest first."""
        return sorted(path.parent for path in self._folder.glob(f"[0-9]*/{_IDENTITY}"))

    def _check_room(self) -> None:
        if not self._training.is_dir():
            return
        strange = sorted({path.name for path in self._training.iterdir()} - _OURS)
        # Files of the same names may be somebody else's: ours stand beside a record, which is written before them.
        unrecorded = [name for name in (_SAE, _WEIGHTS, _RECORD) if (self._training / name).exists()]
        if not strange and unrecorded and "identity" not in _read(self._training / _RECORD):
            strange = unrecorded
        if strange:
            raise UnusablePath(
                f"{self._training} holds {strange[0]}, which is not of this training",
                expected="an empty folder",
                remedy="give another --out",
            )

    def _check_same(self, found: Any) -> None:
        for name, value in self._identity.items():
            other = found.get(name) if isinstance(found, dict) else None
            if other != value:
                told = name not in _HASHES
                raise UnusablePath(
                    f"{self._training} holds a training with another {name}" + (f": {other}" if told else ""),
                    expected=str(value) if told else "",
                    remedy="give the same again, or another --out",
                )


def _load(path: Path, trainer: Any, stream: PatchStream) -> None:
    try:
        state = load_file(path / _STREAM)
        trainer.sae.load_weights_from_checkpoint(path)
        trainer.load_trainer_state(path)
        torch.set_rng_state(state.pop("torch"))
        stream.load_state_dict(state)
    except (*_DAMAGE, UnpicklingError, SafetensorError) as error:
        raise _unusable(path, error) from error


def _read(path: Path) -> dict[str, Any]:
    """Plain data by name; nothing if there is no such file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    if not isinstance(found, dict):
        raise _unusable(path, ValueError(f"it holds a {type(found).__name__}"))
    return found


def _unusable(path: Path, error: Exception) -> DamagedCheckpoint:
    return DamagedCheckpoint(
        f"cannot go on from {path}: {shorten(str(error), _SHOWN)}",
        expected="what a training left there",
        remedy="remove it, or give another --out",
    )
