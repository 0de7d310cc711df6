"""What a training leaves in its folder: checkpoints while it runs, a record of it once it is done.

Checkpoints are written aside, synced and renamed; the newest two are kept.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from seesay.errors import UnusablePath
from seesay.files import replaced_folder, write_json
from seesay.sae.training.patches import PatchStream

_N_KEPT = 2
_IDENTITY, _STREAM = "identity.json", "stream.safetensors"
_RECORD, _SAE = "training.json", "cfg.json"


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
            UnusablePath: there is another's SAE, or the record of it is damaged.
        """
        if self._newest() is not None or not (self._training / _SAE).exists():
            return None
        self._check_resumption("an SAE")
        record = _read(self._training / _RECORD)
        self._check(record.get("identity"))
        return record["figures"]

    def newest(self) -> Path | None:
        """The last one that was written whole, to go on from.

        Raises:
            UnusablePath: it is of another training, or damaged, or nobody asked for it.
        """
        newest = self._newest()
        if newest is not None:
            self._check_resumption("an unfinished training")
            self._check(_read(newest / _IDENTITY))
        return newest

    def save(self, trainer: Any, stream: PatchStream) -> None:
        """Write one more, and let go of the oldest.

        Args:
            trainer: sae-lens' trainer, with its SAE.
            stream: what it learns from.

        Raises:
            UnusablePath: it cannot be written.
        """
        with replaced_folder(self._folder / f"{trainer.n_training_steps:08d}") as aside:
            trainer.sae.save_model(aside)
            trainer.save_trainer_state(aside)
            save_file({**stream.state_dict(), "torch": torch.get_rng_state()}, aside / _STREAM)
            write_json(aside / _IDENTITY, self._identity)
        for old in sorted(self._folder.glob("[0-9]*"))[:-_N_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self, path: Path, trainer: Any, stream: PatchStream) -> None:
        """Put a training back to where it was.

        Args:
            path: a checkpoint.
            trainer: a new trainer of the same configuration.
            stream: a new stream with the same arguments.

        Raises:
            UnusablePath: it cannot be read.
        """
        try:
            trainer.sae.load_weights_from_checkpoint(path)
            trainer.load_trainer_state(path)
            state = load_file(path / _STREAM)
            torch.set_rng_state(state.pop("torch"))
            stream.load_state_dict(state)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise _unusable(path, error) from error

    def finish(self, figures: Mapping[str, float]) -> None:
        """Note what the training reached, and remove all checkpoints."""
        write_json(self._training / _RECORD, {"identity": self._identity, "figures": dict(figures)})
        shutil.rmtree(self._folder, ignore_errors=True)

    def _newest(self) -> Path | None:
        found = sorted(path.parent for path in self._folder.glob(f"[0-9]*/{_IDENTITY}"))
        return found[-1] if found else None

    def _check_resumption(self, what: str) -> None:
        if not self._resume:
            raise UnusablePath(
                f"{self._training} holds {what}",
                expected="an empty folder",
                remedy="add --resume if it is the same, or give another --out",
            )

    def _check(self, found: Any) -> None:
        for name, value in self._identity.items():
            other = found.get(name) if isinstance(found, dict) else None
            if other != value:
                raise UnusablePath(
                    f"{self._training} holds a training with another {name}: {other}",
                    expected=str(value),
                    remedy="give the same again, or another --out",
                )


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> UnusablePath:
    return UnusablePath(
        f"cannot go on from {path}: {error}",
        expected="what a training left there",
        remedy="remove it (of two checkpoints the older one is kept), or give another --out",
    )
