"""How far a collection has come, in one file that is whole or not there."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from seesay.errors import UnusablePath
from seesay.exemplars.collection import Collection
from seesay.exemplars.exemplar import KeptImage
from seesay.files import make_readable, sync, unwritable
from seesay.store.collected import add_images
from seesay.store.database import refusing, transaction
from seesay.store.run import Run

_FILE, _POSITION = "collecting.safetensors", "position"


def n_collected(folder: Path) -> int:
    """How many of its images a run that was stopped need not look at again: 0 if it begins anew, or is finished."""
    path = folder / _FILE
    if not path.exists():
        return 0
    try:
        with safe_open(path, "pt") as file:
            return int(file.metadata()[_POSITION])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(path, error) from error


@final
class Checkpoint:
    """The state of a collection beside its run.

    Args:
        run: open to be written.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._path = run, run.folder / _FILE
        self._aside = self._path.with_suffix(".partial")

    def exists(self) -> bool:
        """Whether there is one."""
        return self._path.exists()

    def save(self, collection: Collection, position: int, waiting: Sequence[KeptImage]) -> None:
        """Write it.

        Args:
            collection: the state.
            position: of the image that comes next.
            waiting: images that were kept since the last one.

        Raises:
            UnusablePath: it cannot be written; the last one is still there.
        """
        # Images first, thumbnails and all, so that whatever it refers to is there.
        with refusing(self._run.folder), transaction(self._run.connection):
            add_images(self._run.connection, waiting)
        os.sync()
        tensors = {name: tensor.cpu().contiguous() for name, tensor in collection.state_dict().items()}
        try:
            save_file(tensors, self._aside, {_POSITION: str(position)})
            make_readable(self._aside)
            sync(self._aside)
            self._aside.replace(self._path)
            sync(self._path.parent)
        except (OSError, SafetensorError) as error:
            self._aside.unlink(missing_ok=True)
            raise unwritable(self._path, str(error)) from error

    def restore(self, collection: Collection) -> int:
        """Put a collection back to where it was.

        Returns:
            The position of the image that comes next; 0 if nothing was done yet.

        Raises:
            UnusablePath: it is damaged.
        """
        position = n_collected(self._run.folder)
        if position:
            try:
                with safe_open(self._path, "pt") as file:
                    collection.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                raise _damaged(self._path, error) from error
        return position

    def remove(self) -> None:
        """Remove it, and what a killed process left of one."""
        for path in (self._path, self._aside):
            path.unlink(missing_ok=True)


def _damaged(path: Path, error: Exception) -> UnusablePath:
    return UnusablePath(
        f"cannot go on from {path}: {error}",
        expected="what seesay collect left there",
        remedy="remove that file, which begins anew",
    )
