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
_DEFAULT_SUBJECT = "M"
_CALIBRATION = "strength.json"


def checkpoint(name: str = "world") -> Path:
    """The folder of a vision-language model that comes with seesay.

    Args:
        name: `world`, or `world:M` for a size.

    Raises:
        UnreadableModel: if there is none of that name.
    """
    folder = _DATA / "vlm" / (name.partition(":")[2] or _DEFAULT_SUBJECT)
    if ":" in name and not name.partition(":")[2] or not _is_shipped(folder, "vlm"):
        raise UnreadableModel(f"no model named {name!r} in the world", expected=_offer("vlm"))
    return folder


def sae(name: str) -> Path:
    """The folder of a sparse autoencoder that comes with seesay.

    Args:
        name: `world:middle`.

    Raises:
        UnreadableSAE: if there is none of that name.
    """
    folder = _DATA / "sae" / name.partition(":")[2]
    if not name.partition(":")[2] or not _is_shipped(folder, "sae"):
        raise UnreadableSAE(f"no SAE named {name!r} in the world", expected=_offer("sae"))
    return folder


def strength(sae_name: str) -> Strength:
    """The strength chosen for one of the world's SAEs, on its validation features.

    Raises:
        UnreadableSAE: if there is no such SAE.
    """
    chosen = json.loads((sae(sae_name) / _CALIBRATION).read_text("utf-8"))["chosen"]
    return Strength(chosen["value"], chosen["unit"])


def load_vlm(name: str = "world", *, device: str = "auto", dtype: str = "auto") -> "VLM":
    """Load a vision-language model of the world; see [seesay.load_vlm][]."""
    from seesay.vlm import load_vlm as load

    return load(checkpoint(name), device=device, dtype=dtype)


def _is_shipped(folder: Path, kind: str) -> bool:
    # Compared by name, so that no path can be smuggled in.
    return folder.name in _shipped(kind) and folder.parent == _DATA / kind


def _shipped(kind: str) -> list[str]:
    return sorted(folder.name for folder in (_DATA / kind).glob("*") if folder.is_dir())


def _offer(kind: str) -> str:
    return " or ".join(f"world:{name}" for name in _shipped(kind)) or "weights, which this copy of seesay lacks"
