"""Folders on this machine and repositories on the hub, as one: what files they hold, and a way to take one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final, runtime_checkable

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub import errors as hub

from seesay.errors import UnreadableSAE
from seesay.hub import absent, is_unreachable

_DEEPEST = 3


@runtime_checkable
class Shelf(Protocol):
    """A folder or a repository."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    def names(self, start: str) -> Sequence[str]:
        """Files below one of its folders, "" for itself, as paths from the shelf."""
        ...

    def has(self, name: str) -> bool:
        """Whether it holds a file."""
        ...

    def take(self, name: str) -> Path:
        """Bring one file onto this machine."""
        ...


@final
@dataclass(frozen=True)
class Folder:
    """A folder on this machine.

    Args:
        path: where it is.
        label: what to call it, if not by its path.
    """

    path: Path
    label: str | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return self.label or str(self.path)

    def names(self, start: str) -> Sequence[str]:
        """Files at most a few folders below `start`; links to folders are not followed, nor hidden ones entered.

        Pipes and devices are left out: to read one may never end.
        """
        root = self.path / start
        if root.is_file():
            return [start]
        found: list[str] = []
        for folder, below, files in os.walk(root):
            here = Path(folder)
            deep = len(here.relative_to(root).parts) >= _DEEPEST
            below[:] = [] if deep else sorted(name for name in below if not name.startswith("."))
            regular = [here / name for name in sorted(files) if os.path.isfile(here / name)]
            found += [path.relative_to(self.path).as_posix() for path in regular]
        return found

    def has(self, name: str) -> bool:
        """Whether it holds a file."""
        return (self.path / name).is_file()

    def take(self, name: str) -> Path:
        """The file itself.

        Raises:
            UnreadableSAE: it is a link to somewhere else.
        """
        file, root = self.path / name, self.path.resolve()
        # In the hub's own cache every file is a link to the folder of blobs beside the snapshots.
        allowed = [root, *(parent.parent / "blobs" for parent in (root, *root.parents) if parent.name == "snapshots")]
        if not any(file.resolve().is_relative_to(folder) for folder in allowed):
            raise UnreadableSAE(
                f"{file} leads outside of {self.path}",
                expected="a file in it",
                remedy=f"if you trust it, give {file.resolve()} itself",
            )
        return file


@final
@dataclass(frozen=True)
class Repository:
    """A repository on the hub.

    Args:
        name: owner/name.
        revision: branch, tag or commit; None is the newest.
        files: what it holds.
    """

    name: str
    revision: str | None
    files: tuple[str, ...]

    def names(self, start: str) -> Sequence[str]:
        """Files below `start`."""
        return [name for name in self.files if not start or name == start or name.startswith(f"{start}/")]

    def has(self, name: str) -> bool:
        """Whether it holds a file."""
        return name in self.files

    def take(self, name: str) -> Path:
        """Download one file, or find it in the cache.

        Raises:
            UnreadableSAE: the hub does not give it.
        """
        try:
            return Path(hf_hub_download(self.name, name, revision=self.revision))
        except (OSError, ValueError, hub.HTTPError) as error:
            raise _absent(self.name, error, name) from error


def on_the_hub(name: str, revision: str | None) -> Shelf:
    """List a repository, or, without a network, what an earlier call has downloaded of it.

    Args:
        name: owner/name.
        revision: branch, tag or commit; None is the newest.

    Raises:
        UnreadableSAE: there is no such repository, or it cannot be reached.
    """
    try:
        info = HfApi().model_info(name, revision=revision)
    except (OSError, ValueError, hub.HTTPError) as error:
        if is_unreachable(error) and (cached := _cached(name, revision)):
            return Folder(cached, f"{name}, of which there is without a network only what was downloaded before,")
        raise _absent(name, error, "such file") from error
    return Repository(name, revision, tuple(sibling.rfilename for sibling in info.siblings or ()))


def _cached(name: str, revision: str | None) -> Path | None:
    """The part of a repository that an earlier call has downloaded."""
    root = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    reference = root / "refs" / (revision or constants.DEFAULT_REVISION)
    commit = reference.read_text("utf-8").strip() if reference.is_file() else revision
    snapshot = root / "snapshots" / (commit or "")
    return snapshot if commit and snapshot.is_dir() else None


def _absent(name: str, error: Exception, file: str) -> UnreadableSAE:
    return absent(UnreadableSAE, name, error, file=file, repository="the repository of an SAE")
