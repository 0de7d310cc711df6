"""The embedded world: small pictures whose content is known patch by patch, and small models that see and speak.

It carries the demo, the tests and the ground truth through the code that runs real models. `world` or `world:M` names
its vision-language model, `world:middle` its sparse autoencoder.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import UnreadableModel, UnreadableSAE
from seesay.records import Strength

if TYPE_CHECKING:
    from seesay.vlm import VLM

__all__ = ["checkpoint", "load_vlm", "sae", "strength"]

_DATA = Path(str(files("seesay.world"))) / "data"
_WORLD = "world"
_DEFAULT_SUBJECT = "M"
_CALIBRATION = "strength.json"


def checkpoint(name: str = "world") -> Path:
    """The folder of a vision-language model that comes with seesay.

    Args:
        name: `world`, or `world:M` for a size.

    Raises:
        UnreadableModel: if there is none of that name.
    """
    size = _DEFAULT_SUBJECT if name == _WORLD else _part(name)
    if size not in _shipped("vlm"):
        raise UnreadableModel(f"no model named {name!r} in the world", expected=_offer("vlm"))
    return _DATA / "vlm" / size


def sae(name: str) -> Path:
    """The folder of a sparse autoencoder that comes with seesay.

    Args:
        name: `world:middle`.

    Raises:
        UnreadableSAE: if there is none of that name.
    """
    block = _part(name)
    if block not in _shipped("sae"):
        raise UnreadableSAE(f"no SAE named {name!r} in the world", expected=_offer("sae"))
    return _DATA / "sae" / block


def strength(sae_name: str) -> Strength:
    """The strength chosen for one of the world's SAEs, on its validation features.

    Raises:
        UnreadableSAE: if there is no such SAE.
    """
    file = sae(sae_name) / _CALIBRATION
    try:
        chosen = json.loads(file.read_text("utf-8"))["chosen"]
        return Strength(chosen["value"], chosen["unit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableSAE(
            f"{sae_name}: {file.name} is missing or damaged",
            expected="the strength chosen for it",
            remedy="install seesay again",
        ) from error


def load_vlm(name: str = "world", *, device: str = "auto", dtype: str = "auto") -> "VLM":
    """Load a vision-language model of the world; see [seesay.load_vlm][]."""
    from seesay.vlm import load_vlm as load

    return load(checkpoint(name), device=device, dtype=dtype)


def _part(name: str) -> str:
    """What stands behind `world:`; empty for any other name. It is looked up, never made into a path unseen."""
    world, _, part = name.partition(":")
    return part if world == _WORLD else ""


def _shipped(kind: str) -> list[str]:
    return sorted(folder.name for folder in (_DATA / kind).glob("*") if folder.is_dir())


def _offer(kind: str) -> str:
    return " or ".join(f"world:{name}" for name in _shipped(kind)) or "weights, which this copy of seesay lacks"
