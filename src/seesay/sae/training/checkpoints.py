"""Checkpoints of a training: written aside, synced, renamed; the newest two are kept."""

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

_N_KEPT = 2
_STATE, _RANDOM = "state.json", "random.safetensors"


@final
class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: holds one folder for each, named by its step.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self) -> Path | None:
        """The last one that was written whole."""
        found = sorted(path.parent for path in self._folder.glob(f"[0-9]*/{_STATE}"))
        return found[-1] if found else None

    def save(self, trainer: Any, state: Mapping[str, Any]) -> None:
        """Write one more, and let go of the oldest.

        Args:
            trainer: sae-lens' trainer, with its SAE.
            state: all else that it takes to go on, as plain data.

        Raises:
            UnusablePath: it cannot be written.
        """
        with replaced_folder(self._folder / f"{trainer.n_training_steps:08d}") as aside:
            trainer.sae.save_model(aside)
            trainer.save_trainer_state(aside)
            save_file({"torch": torch.get_rng_state()}, aside / _RANDOM)
            write_json(aside / _STATE, dict(state))
        for old in sorted(self._folder.glob("[0-9]*"))[:-_N_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def state(self, path: Path) -> dict[str, Any]:
        """Read what was saved beside the weights.

        Args:
            path: a checkpoint.

        Raises:
            UnusablePath: it cannot be read.
        """
        try:
            return json.loads((path / _STATE).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise _unusable(path, error) from error

    def restore(self, path: Path, trainer: Any) -> dict[str, Any]:
        """Put a training back to where it was.

        Args:
            path: a checkpoint.
            trainer: a new trainer of the same configuration.

        Returns:
            The state that was saved with it.

        Raises:
            UnusablePath: it cannot be read.
        """
        try:
            trainer.sae.load_weights_from_checkpoint(path)
            trainer.load_trainer_state(path)
            torch.set_rng_state(load_file(path / _RANDOM)["torch"])
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise _unusable(path, error) from error
        return self.state(path)

    def remove(self) -> None:
        """Remove all of them, once the training is done."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _unusable(path: Path, error: Exception) -> UnusablePath:
    return UnusablePath(
        f"cannot go on from {path}: {error}",
        expected="a whole checkpoint",
        remedy="remove that folder: an older one is kept",
    )
