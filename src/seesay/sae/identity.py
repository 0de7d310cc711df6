"""Whether two sparse autoencoders compute the same, and whether features are the same ones."""

import hashlib

import torch

from seesay.sae.model import SAE
from seesay.vlm import Encoder
from seesay.vlm.identity import digest as digest_of
from seesay.vlm.identity import fingerprint

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


def identity_of(encoder: Encoder, sae: SAE, layer: int) -> str:
    """One hash for what features are: the encoder's weights up to a block, the block, and the SAE; no names.

    Args:
        encoder: whose features.
        sae: of one of its blocks.
        layer: that block, 0-based.
    """
    parts = [digest_of(fingerprint(encoder, layer)), str(layer), digest(sae)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
