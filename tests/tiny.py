"""A small random Gemma 3 on disk, and a random SAE of one of its vision blocks."""

from pathlib import Path

import torch

from seesay.sae import SAE, Provenance
from tests.families import D_MODEL, QUESTION, gemma3

N_FEATURES = 64


def save_checkpoint(folder: Path) -> Path:
    """Save the small Gemma 3 as a checkpoint that brings its own prompts."""
    parts = gemma3()
    assert parts.processor is not None
    parts.processor().save_pretrained(folder)
    parts.model.save_pretrained(folder)
    prompts = folder / "prompts"
    prompts.mkdir()
    (prompts / "steering.txt").write_text(QUESTION)
    return folder


def tiny_sae(layer: int | None = 1) -> SAE:
    """A random top-k SAE for the small models."""
    generator = torch.Generator().manual_seed(1)
    W_dec = torch.nn.functional.normalize(torch.randn(N_FEATURES, D_MODEL, generator=generator), dim=-1)
    return SAE(
        W_enc=W_dec.T.contiguous(),
        W_dec=W_dec,
        b_enc=torch.zeros(N_FEATURES),
        b_dec=torch.randn(D_MODEL, generator=generator),
        activation="topk",
        k=4,
        provenance=Provenance(layer=layer),
    )
