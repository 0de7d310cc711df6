"""Sparse autoencoders: one canonical form, whatever file they come from."""

from seesay.sae.formats import load_sae
from seesay.sae.model import SAE, Codes, Provenance

__all__ = ["SAE", "Codes", "Provenance", "load_sae"]
