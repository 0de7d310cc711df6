"""Plain directions: one array [n, d_model] of probes, principal components, neurons or concepts, without an encoder."""

import torch

from seesay.errors import UnreadableSAE
from seesay.sae.formats.contents import Contents
from seesay.sae.model import SAE, unit_rows

FILES = "one array [n, d_model] in .safetensors or .npy"


def recognises(contents: Contents) -> bool:
    """Whether it is one array and nothing else."""
    return len(contents.tensors) == 1


def load(contents: Contents) -> SAE:
    """Read directions; their lengths are forgotten.

    Raises:
        UnreadableSAE: it is no matrix, not finite, a row of it points nowhere, or activations are asked for.
    """
    [name] = contents.tensors
    label = f"{contents.path}: {name}" if name else str(contents.path)
    n, d_model = contents.matrix_shape(name)
    W_dec = contents.tensor(name, n, d_model)
    if contents.activation not in (None, "none"):
        raise UnreadableSAE(
            f"{label} is directions alone, which have no encoder",
            expected='activation="none"',
            remedy="leave activation out",
        )
    if contents.k is not None:
        raise UnreadableSAE(f"{label} is directions alone, which no k is kept of", expected="no k")
    if empty := (W_dec == 0).all(-1).nonzero().flatten().tolist():
        raise UnreadableSAE(f"{label}: row {empty[0]} is all zeros", expected="directions", remedy="leave it out")
    directions, _ = unit_rows(W_dec)
    return SAE(None, directions, torch.zeros(n), torch.zeros(d_model), "none", subtract_b_dec=False)
