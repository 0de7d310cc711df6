"""A vision-language model *sees* a feature and *says* what it is.

The names below are found on first use, so that `import seesay` stays far below a second and touches no device, folder
or network.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from seesay import sae as sae
    from seesay import vlm as vlm
    from seesay import world as world
    from seesay.asking import Sighting as Sighting
    from seesay.asking import ask as ask
    from seesay.errors import SeesayError as SeesayError
    from seesay.explainers.steering import steer as steer
    from seesay.records import Decoding as Decoding
    from seesay.records import Explanation as Explanation
    from seesay.records import Strength as Strength
    from seesay.sae import load_sae as load_sae
    from seesay.vlm import load_encoder as load_encoder
    from seesay.vlm import load_vlm as load_vlm

_HOME_OF = {
    "Decoding": "seesay.records",
    "Explanation": "seesay.records",
    "SeesayError": "seesay.errors",
    "Sighting": "seesay.asking",
    "Strength": "seesay.records",
    "ask": "seesay.asking",
    "load_encoder": "seesay.vlm",
    "load_sae": "seesay.sae",
    "load_vlm": "seesay.vlm",
    "steer": "seesay.explainers.steering",
}
_SUBMODULES = frozenset({"sae", "vlm", "world"})

__all__ = [
    "Decoding",
    "Explanation",
    "SeesayError",
    "Sighting",
    "Strength",
    "__version__",
    "ask",
    "load_encoder",
    "load_sae",
    "load_vlm",
    "steer",
    "world",
]


def __getattr__(name: str) -> object:
    if name in _SUBMODULES:
        return import_module(f"seesay.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'seesay' has no attribute {name!r}")
    found = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
