"""How much memory an SAE will take, told from its file without reading its numbers."""

from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from seesay.errors import UnreadableSAE
from seesay.sae.formats import KNOWN
from seesay.sae.formats.places import find

_N_BYTES = 4
"""SAEs are kept in float32."""


def size_of(path: str | Path, *, subfolder: str | None = None) -> int | None:
    """Bytes that an SAE on this machine takes in memory, by its file's header.

    Args:
        path: as for [seesay.sae.load_sae][].
        subfolder: as there.

    Returns:
        None if it is not on this machine, or its file has no such header.

    Raises:
        UnreadableSAE: there is none, there are several, or the header is damaged.
    """
    if not Path(path).expanduser().exists():
        return None
    weights = find(path, subfolder, None, known=KNOWN).weights
    if weights.suffix != ".safetensors":
        return None
    try:
        with safe_open(weights, "pt") as file:
            return _N_BYTES * sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UnreadableSAE(f"{weights}: {error}", expected="safetensors", remedy="download it again") from error
