"""Lenses and adapters that were taught for a run: a file for each model that explains, named by a hash."""

import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from seesay.explainers.adapter import Adapter
from seesay.explainers.lens import Lens
from seesay.files import sync, unwritable
from seesay.store.run import Run

Taught = TypeVar("Taught", Lens, Adapter)

_FOLDER = "lenses"
_ENDINGS: Mapping[type[Lens | Adapter], str] = MappingProxyType(
    {
        Lens: ".safetensors",
        Adapter: "-adapter.safetensors",
    }
)


def taught_path(run: Run, key: str, kind: type[Lens | Adapter]) -> Path:
    """Where a lens or an adapter is kept.

    Args:
        run: it is taught for.
        key: hash of the model that explains; see [seesay.pipeline.speakers.Voice][].
        kind: which of the two.
    """
    return run.folder / _FOLDER / f"{key}{_ENDINGS[kind]}"


def find_taught(run: Run, key: str, kind: type[Taught]) -> Taught | None:
    """Read a lens or an adapter; None if none was taught.

    Args:
        run: may be a stranger's.
        key: as for `taught_path`.
        kind: which of the two.

    Raises:
        UnusablePath: it is damaged.
    """
    path = taught_path(run, key, kind)
    return kind.read_from(path) if path.exists() else None


def holds(run: Path, name: str, identity: str) -> bool:
    """Whether a run's folder holds a lens or an adapter, and no other in its place.

    Args:
        run: the folder.
        name: of the file, from anyone: whatever it leads to beside that is left out.
        identity: of the lens or the adapter.
    """
    file = run / _FOLDER / Path(name).name
    return file.is_file() and sha256(file.read_bytes()).hexdigest() == identity


def keep_taught(run: Run, key: str, taught: Lens | Adapter) -> Path:
    """Write a lens or an adapter, in the place of one that was there; whole or not at all.

    Args:
        run: open to be written.
        key: as for `taught_path`.
        taught: to be kept.

    Raises:
        UnusablePath: it cannot be written.
    """
    path = taught_path(run, key, type(taught))
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        if path.parent.is_symlink():
            raise OSError(f"{path.parent} leads elsewhere")
        aside.write_bytes(taught.content())
        sync(aside)
        aside.replace(path)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):  # what went wrong is told already
            aside.unlink(missing_ok=True)
    return path
