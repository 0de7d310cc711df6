"""Lenses and adapters that were taught for a run: a file for each model that explains, named by a hash."""

import os
from pathlib import Path

from seesay.explainers.adapter import Adapter
from seesay.explainers.lens import Lens
from seesay.files import sync, unwritable
from seesay.store.run import Run

_FOLDER = "lenses"


def lens_path(run: Run, key: str) -> Path:
    """Where a lens is kept.

    Args:
        run: it is taught for.
        key: hash of the model that explains; see [seesay.pipeline.speakers.Voice][].
    """
    return run.folder / _FOLDER / f"{key}.safetensors"


def find_lens(run: Run, key: str) -> Lens | None:
    """Read a lens; None if none was taught.

    Args:
        run: may be a stranger's.
        key: of the lens.

    Raises:
        UnusablePath: it is damaged.
    """
    path = lens_path(run, key)
    return Lens.read_from(path) if path.exists() else None


def keep_lens(run: Run, key: str, lens: Lens) -> Path:
    """Write a lens, in the place of one that was there; whole or not at all.

    Args:
        run: open to be written.
        key: of the lens.
        lens: to be kept.

    Raises:
        UnusablePath: it cannot be written.
    """
    return _keep(lens_path(run, key), lens.content())


def adapter_path(run: Run, key: str) -> Path:
    """Where an adapter is kept.

    Args:
        run: it is taught for.
        key: hash of the model that explains, as for a lens.
    """
    return run.folder / _FOLDER / f"{key}-adapter.safetensors"


def find_adapter(run: Run, key: str) -> Adapter | None:
    """Read an adapter; None if none was taught.

    Args:
        run: may be a stranger's.
        key: of the adapter.

    Raises:
        UnusablePath: it is damaged.
    """
    path = adapter_path(run, key)
    return Adapter.read_from(path) if path.exists() else None


def keep_adapter(run: Run, key: str, adapter: Adapter) -> Path:
    """Write an adapter, in the place of one that was there; whole or not at all.

    Args:
        run: open to be written.
        key: of the adapter.
        adapter: to be kept.

    Raises:
        UnusablePath: it cannot be written.
    """
    return _keep(adapter_path(run, key), adapter.content())


def _keep(path: Path, content: bytes) -> Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        aside.write_bytes(content)
        sync(aside)
        aside.replace(path)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    finally:
        aside.unlink(missing_ok=True)
    return path
