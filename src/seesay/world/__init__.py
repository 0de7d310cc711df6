"""The embedded world: small pictures whose content is known patch by patch, and small models that see and speak.

It carries the demo, the tests and the ground truth through the code that runs real models. `world:S`, `world:M` and
`world:L` (or just `world`) name its vision-language models, which share one encoder; `world:early`, `world:middle` and
`world:late` the sparse autoencoders of three of its blocks. A judge and a CLIP-like scorer have eyes of their own.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import UnreadableModel, UnreadableSAE
from seesay.explainers.config import METHODS
from seesay.records import Method, Strength

if TYPE_CHECKING:
    from seesay.vlm import VLM

__all__ = ["DATA", "checkpoint", "load_vlm", "sae", "scorer", "strength"]

DATA = Path(str(files("seesay.world"))) / "data"
"""The folder of all that comes with seesay: `vlm`, `sae`, `scorer`, and `training.json`."""

_WORLD = "world"
_DEFAULT_SUBJECT = "L"
_CALIBRATION = "strength.json"


def checkpoint(name: str = "world") -> Path:
    """The folder of a vision-language model that comes with seesay.

    Args:
        name: `world`, or `world:S`, `world:M` or `world:L` for a size, or `world:judge`.

    Raises:
        UnreadableModel: if there is none of that name.
    """
    size = _part(name)
    if size not in _shipped("vlm"):
        raise UnreadableModel(f"no model named {name!r} in the world", expected=_offer("vlm"))
    return DATA / "vlm" / size


def sae(name: str) -> Path:
    """The folder of a sparse autoencoder that comes with seesay.

    Args:
        name: `world:early`, `world:middle` or `world:late`.

    Raises:
        UnreadableSAE: if there is none of that name.
    """
    block = _part(name)
    if block not in _shipped("sae"):
        raise UnreadableSAE(f"no SAE named {name!r} in the world", expected=_offer("sae"))
    return DATA / "sae" / block


def scorer() -> Path:
    """The folder of the CLIP-like model that comes with seesay.

    Raises:
        UnreadableModel: if this copy of seesay lacks it.
    """
    folder = DATA / "scorer"
    if not folder.is_dir():
        raise UnreadableModel("the world's scorer is missing", remedy="install seesay again")
    return folder


def strength(sae_name: str, subject: str = "world", method: Method = "steering") -> Strength:
    """The strength chosen for a language model of the world on one of its SAEs, on the SAE's validation features.

    Args:
        sae_name: `world:early`, `world:middle` or `world:late`.
        subject: `world`, or `world:S`, `world:M` or `world:L`.
        method: what it is for; one that sees the same as steering does takes steering's.

    Raises:
        UnreadableSAE: if there is no such SAE, or its record is damaged.
        UnreadableModel: if none was chosen for such a model.
    """
    file = sae(sae_name) / _CALIBRATION
    size = _part(subject)
    like = METHODS[method].like or method
    try:
        by_model = json.loads(file.read_text("utf-8"))["chosen"]
        chosen = {
            name: Strength(by_method[like]["value"], by_method[like]["unit"])
            for name, by_method in by_model.items()
            if like in by_method
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableSAE(
            f"{sae_name}: {file.name} is missing or damaged",
            expected="the strengths chosen for it",
            remedy="install seesay again",
        ) from error
    if size not in chosen:
        checkpoint(subject)  # where there is no such model at all, that is said
        offer = " or ".join(f"world:{name}" for name in chosen) or "--strength NUMBER"
        raise UnreadableModel(f"no strength was chosen for {method} by {subject!r} on {sae_name}", expected=offer)
    return chosen[size]


def load_vlm(name: str = "world", *, device: str = "auto", dtype: str = "auto") -> "VLM":
    """Load a vision-language model of the world; see [seesay.load_vlm][]."""
    from seesay.vlm import load_vlm as load

    return load(checkpoint(name), device=device, dtype=dtype)


def _part(name: str) -> str:
    """What stands behind `world:`, the default model for `world` alone, empty for any other name.

    It is looked up, never made into a path unseen.
    """
    world, _, part = name.partition(":")
    return (_DEFAULT_SUBJECT if name == _WORLD else part) if world == _WORLD else ""


def _shipped(kind: str) -> list[str]:
    return sorted(folder.name for folder in (DATA / kind).glob("*") if folder.is_dir())


def _offer(kind: str) -> str:
    return " or ".join(f"world:{name}" for name in _shipped(kind)) or "weights, which this copy of seesay lacks"
