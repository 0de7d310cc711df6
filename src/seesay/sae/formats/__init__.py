"""The formats in which sparse autoencoders are found on disk, one module each.

The format is told from the files in the folder, never from its name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seesay.errors import UnreadableSAE
from seesay.sae.formats import sae_lens
from seesay.sae.model import SAE


@dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: what it is called.
        files: what a folder of it holds, in words.
        recognises: whether a folder looks like it.
        load: reads such a folder, or raises UnreadableSAE.
    """

    name: str
    files: str
    recognises: Callable[[Path], bool]
    load: Callable[[Path], SAE]


FORMATS = (Format("SAELens", "cfg.json and sae_weights.safetensors", sae_lens.recognises, sae_lens.load),)


def load_sae(path: str | Path) -> SAE:
    """Load a sparse autoencoder from a folder, in float32 on the CPU.

    Args:
        path: the folder.

    Raises:
        UnreadableSAE: the folder is missing, of an unknown format, incomplete or damaged.
    """
    folder = Path(path)
    known = "; ".join(f"{known.name} ({known.files})" for known in FORMATS)
    if not folder.is_dir():
        raise UnreadableSAE(f"no folder {folder}", expected=f"a folder with an SAE of the format {known}")
    for candidate in FORMATS:
        if candidate.recognises(folder):
            return candidate.load(folder)
    raise UnreadableSAE(f"{folder} holds no SAE of a known format", expected=known)
