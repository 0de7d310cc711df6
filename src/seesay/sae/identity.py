"""Whether two sparse autoencoders compute the same."""

import hashlib

import torch

from seesay.sae.model import SAE

_TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "gain")
_SETTINGS = ("activation", "k", "subtract_b_dec", "normalization")


def digest(sae: SAE) -> str:
    """One hash for all that an SAE computes with, wherever it was read from.

    Args:
        sae: on any device.
    """
    whole = hashlib.sha256(repr([getattr(sae, name) for name in _SETTINGS]).encode())
    for name in _TENSORS:
        tensor = getattr(sae, name)
        if tensor is None:
            continue
        whole.update(f"{name} {list(tensor.shape)}".encode())
        whole.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().data)
    return whole.hexdigest()
