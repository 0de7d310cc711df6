"""Which of the files in a folder or repository are an SAE's, going by their names alone.

Only the file of tensors and the configuration beside it are read or downloaded. No path in any file is followed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import final

from seesay.errors import UnreadableSAE
from seesay.hub import is_path
from seesay.sae.formats.shelves import Folder, Shelf, on_the_hub

CONFIGS = ("cfg.json", "config.json")

_WELL_KNOWN = frozenset({"sae_weights.safetensors", "sae.safetensors", "ae.pt", "sae.pt"})
_SUFFIXES = (".safetensors", ".npy", ".pt", ".pth", ".pkl", ".pkl.gz")
_NO_SAE = re.compile(
    r"(pytorch_|adapter_)?model\b|(lr_)?scheduler|optimizer|training_args|rng_state|(trainer_)?state\b|sparsity\b"
    r"|activations_store|activation_scaler|.*log_feature_sparsity"
)
"""What libraries write beside an SAE, and what a model's own repository holds."""

_SCALER, _TRAINER_STATE = "activation_scaler.json", "trainer_state.pt"
_CHECKPOINTS, _IDENTITY = "checkpoints", "identity.json"
"""What `seesay train-sae` keeps while it runs: `checkpoints/<step>/identity.json` beside SAELens' files."""

_MOST_NAMED = 8


@final
@dataclass(frozen=True)
class Place:
    """An SAE's files on this machine.

    Args:
        weights: the file of tensors.
        config: the configuration beside it.
        outer_config: that of the folder above, where sparsify keeps the model's name.
        scaler: what SAELens scales activations by until its training ends.
        is_in_training: whether the state of SAELens' trainer is beside it.
    """

    weights: Path
    config: Path | None
    outer_config: Path | None
    scaler: Path | None
    is_in_training: bool


def find(path_or_hub_id: str | Path, subfolder: str | None, revision: str | None, *, known: str) -> Place:
    """Find an SAE's files, and bring them onto this machine.

    Args:
        path_or_hub_id: a folder, a file of tensors, or the name of a repository.
        subfolder: a folder, or a file of tensors, in it.
        revision: branch, tag or commit on the hub.
        known: what there could have been, for the message.

    Raises:
        UnreadableSAE: there is none, there are several, or the hub does not give it.
    """
    if path_or_hub_id == "":  # which Path would take for the current folder
        raise UnreadableSAE("an SAE without a name", expected="a folder, a file of tensors, or owner/name")
    start = _inner(subfolder)
    path = Path(path_or_hub_id)
    try:
        path = path.expanduser()
        if revision is not None and path.exists():
            raise UnreadableSAE(f"revision {revision!r} of {path}", expected="none, or a name on the hub")
        if path.is_file():
            if start:
                raise UnreadableSAE(f"{path} is a file", expected=f"the folder that holds {start}")
            # A file that is named outright may be a link to anywhere.
            return _place(Folder(path.parent), path.name, path)
        if path.is_dir():
            shelf: Shelf = Folder(path)
        elif is_path(path_or_hub_id):
            raise UnreadableSAE(f"no folder {path}", expected=f"an SAE: {known}")
        else:
            shelf = on_the_hub(str(path_or_hub_id), revision)
        return _place(shelf, _choose(shelf, start, known))
    except (OSError, RuntimeError) as error:  # of a name too long, or a home that is nobody's
        raise UnreadableSAE(f"{path}: {error}", expected=f"an SAE: {known}") from error


def _place(shelf: Shelf, name: str, weights: Path | None = None) -> Place:
    """A file of tensors with what belongs to it; taken from the shelf if it is not here already."""
    folder = PurePosixPath(name).parent
    beside = next((config for config in CONFIGS if shelf.has(str(folder / config))), None)
    above, scaler = str(folder.parent / "config.json"), str(folder / _SCALER)
    return Place(
        config=None if beside is None else shelf.take(str(folder / beside)),
        outer_config=shelf.take(above) if beside == "cfg.json" and folder.parts and shelf.has(above) else None,
        scaler=shelf.take(scaler) if shelf.has(scaler) else None,
        is_in_training=shelf.has(str(folder / _TRAINER_STATE)),
        weights=weights or shelf.take(name),  # last, as the others are small
    )


def _inner(subfolder: str | None) -> str:
    parts = PurePosixPath(subfolder or "").parts
    if subfolder and (".." in parts or subfolder.startswith("/")):
        raise UnreadableSAE(f"subfolder {subfolder}", expected="a folder inside what is loaded, without ..")
    return "/".join(parts)


def _choose(shelf: Shelf, start: str, known: str) -> str:
    """The one file of tensors in a folder, or in the only folder below it that has one."""
    names, unfinished = _without_checkpoints(shelf, start)
    where = f"{shelf.name}/{start}" if start else shelf.name
    if start and not names and not unfinished:
        folders = _holding(_without_checkpoints(shelf, "")[0])
        raise UnreadableSAE(f"{shelf.name} has no {start}", expected=_one_of(folders) or "a folder with an SAE")
    if names == [start]:
        return start
    folders = _holding(names)
    here = folders.get(start)
    if here is None and len(folders) == 1:
        [here] = folders.values()
    if here is None and folders:
        raise UnreadableSAE(f"{where} holds {len(folders)} SAEs", expected=f"subfolder: {_one_of(folders)}")
    if here is None and unfinished:
        raise UnreadableSAE(
            f"{unfinished[0]} is an unfinished training",
            expected="a finished SAE",
            remedy="go on with seesay train-sae --resume",
        )
    if here is None:
        raise UnreadableSAE(f"{where} holds no SAE", expected=_missing(start, names, known))
    if len(here) > 1:
        raise UnreadableSAE(f"{where} holds several files of tensors", expected=f"subfolder: {_one_of(here)}")
    return here[0]


def _without_checkpoints(shelf: Shelf, start: str) -> tuple[list[str], list[Path]]:
    """Files below `start` that are not in the checkpoints of a training below it, and such trainings' folders."""
    names = list(shelf.names(start))
    unfinished: list[Path] = []
    for name in names[:]:
        path = PurePosixPath(name)
        step, folder = path.parent, path.parent.parent
        checkpoints = Path(shelf.name, folder)
        ours = path.name == _IDENTITY and re.fullmatch("[0-9]+", step.name) and checkpoints.name == _CHECKPOINTS
        within = f"{folder}/" if folder.parts else ""
        is_asked_for = bool(start) and start.startswith(within)
        if ours and not is_asked_for and checkpoints.parent not in unfinished:
            unfinished.append(checkpoints.parent)
            names = [other for other in names if not other.startswith(within)]
    return names, unfinished


def _holding(names: Sequence[str]) -> dict[str, list[str]]:
    """Folders that hold files of tensors, with those files; not folders inside such folders, as of checkpoints."""
    found: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.name.endswith(_SUFFIXES) and not _NO_SAE.match(path.name):
            folder = "" if path.parent == PurePosixPath() else path.parent.as_posix()
            found.setdefault(folder, []).append(name)
    for folder, files in found.items():
        found[folder] = [name for name in files if PurePosixPath(name).name in _WELL_KNOWN] or files
    return {
        folder: files
        for folder, files in found.items()
        if not any(outer in found and outer != folder for outer in ("", *_outer(folder)))
    }


def _outer(folder: str) -> list[str]:
    return [parent.as_posix() for parent in PurePosixPath(folder).parents if parent != PurePosixPath()]


def _one_of(names: Sequence[str] | dict[str, list[str]]) -> str:
    # layer_8 before layer_16
    shown = sorted(names, key=lambda name: [(len(part), part) for part in re.split(r"(\d+)", name)])[:_MOST_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _missing(start: str, names: Sequence[str], known: str) -> str:
    """What to expect in a folder without tensors, going by the configuration that is left in it."""
    if (f"{start}/cfg.json" if start else "cfg.json") in names:
        return "sae_weights.safetensors (SAELens) or sae.safetensors (sparsify) beside cfg.json"
    return known
