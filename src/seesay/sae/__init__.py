"""Sparse autoencoders: one canonical form, whatever file they come from.

The names below are found on first use: the configuration of their training is imported without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seesay.sae.formats import SavedFormat as SavedFormat
    from seesay.sae.formats import load_sae as load_sae
    from seesay.sae.formats import save_sae as save_sae
    from seesay.sae.model import SAE as SAE
    from seesay.sae.model import Activation as Activation
    from seesay.sae.model import Codes as Codes
    from seesay.sae.model import Provenance as Provenance

_HOME_OF = {
    "SAE": "seesay.sae.model",
    "Activation": "seesay.sae.model",
    "Codes": "seesay.sae.model",
    "Provenance": "seesay.sae.model",
    "SavedFormat": "seesay.sae.formats",
    "load_sae": "seesay.sae.formats",
    "save_sae": "seesay.sae.formats",
}

__all__ = ["SAE", "Activation", "Codes", "Provenance", "SavedFormat", "load_sae", "save_sae"]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'seesay.sae' has no attribute {name!r}")
    found = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
