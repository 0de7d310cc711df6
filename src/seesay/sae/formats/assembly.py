"""How what a format has understood becomes the canonical SAE, and the algebra by which conventions become one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from seesay.errors import UnreadableSAE
from seesay.sae.formats.contents import Contents
from seesay.sae.formats.tensors import count_of
from seesay.sae.model import HAS_THRESHOLD, KEEPS_K, SAE, Activation, Normalization, Provenance, unit_rows

_UNIT = 1e-3
"""How far rounding may bring a direction's norm from 1."""


def assemble(
    contents: Contents,
    *,
    activation: Activation,
    W_enc: Tensor,
    W_dec: Tensor,
    b_enc: Tensor,
    b_dec: Tensor,
    k: Any = None,
    k_path: Path | None = None,
    threshold: Tensor | None = None,
    subtract_b_dec: bool = True,
    normalization: Normalization = "none",
    rescale: bool = False,
    provenance: Provenance | None = None,
) -> SAE:
    """Make the canonical SAE of a format's parts; what the caller asks for comes before what the file says.

    Args:
        contents: what was read.
        activation: what the file says.
        W_enc: shape (d_model, feature).
        W_dec: shape (feature, d_model), with rows of any norm.
        b_enc: shape (feature,).
        b_dec: shape (d_model,).
        k: what the file says, not yet checked; None if it says nothing.
        k_path: the file that says it, if not the configuration.
        threshold: shape (feature,), if the file has one.
        subtract_b_dec: whether `b_dec` is taken from the input first.
        normalization: what is done to each row first.
        rescale: whether the activation chooses by, and yields, activations along unit-norm directions.
        provenance: what the files say of the training.

    Raises:
        UnreadableSAE: the activation needs a `k` or a threshold that is not there, or has no use for the `k` that is
            asked for; or finite numbers in the file come to others that are not.
    """
    activation = contents.activation or activation
    n_features = W_dec.shape[0]
    if contents.k is not None and activation not in KEEPS_K:
        raise contents.refuse(
            f"k is given, and {activation} keeps no fixed number of features",
            expected="no k",
            remedy=f"leave k out, or give activation as well, one of {', '.join(sorted(KEEPS_K))}",
        )
    if activation in KEEPS_K:
        k = _checked_k(contents, k, k_path or contents.settings_path, n_features)
    if activation in HAS_THRESHOLD and threshold is None:
        raise contents.refuse(f"no threshold, which {activation} needs", expected="another activation")
    W_dec, gain = unit_rows(W_dec)
    if rescale:
        # Here the norms do belong into the encoder.
        W_enc, b_enc, gain = W_enc * gain, b_enc * gain, None
    sae = SAE(
        W_enc=None if activation == "none" else W_enc,
        W_dec=W_dec,
        b_enc=b_enc,
        b_dec=b_dec,
        activation=activation,
        k=k if activation in KEEPS_K else None,
        threshold=threshold if activation in HAS_THRESHOLD else None,
        subtract_b_dec=subtract_b_dec,
        gain=gain,
        normalization=normalization,
        provenance=provenance or Provenance(),
    )
    _check_finite(contents, sae)
    return sae


def _check_finite(contents: Contents, sae: SAE) -> None:
    """Check what exponentials, products and norms have made of the file's numbers."""
    parts = {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "b_dec": sae.b_dec, "threshold": sae.threshold}
    parts |= {"the norm of W_dec's rows": sae.gain, "W_dec": sae.W_dec}
    for name, tensor in parts.items():
        if tensor is not None and not tensor.isfinite().all():
            raise UnreadableSAE(
                f"{contents.path}: {name} comes to infinity or NaN in float32",
                expected="finite numbers",
                remedy="see whether the training diverged",
            )
    norms = sae.W_dec.norm(dim=-1)
    assert ((norms == 0) | ((norms - 1).abs() < _UNIT)).all()


def _checked_k(contents: Contents, recorded: Any, path: Path, n_features: int) -> int:
    if contents.k is not None:
        return count_of({"k": contents.k}, "k", "as asked for", at_most=n_features)
    if recorded is None and contents.config is None:
        raise contents.refuse("nothing says how many features a row keeps", expected="k to be given")
    return count_of({"k": recorded}, "k", path, at_most=n_features)


def ungated(W_enc: Tensor, r_mag: Tensor, gate_bias: Tensor, mag_bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn a gated encoder into a JumpReLU's, which computes the same codes.

    A gated SAE (https://arxiv.org/abs/2404.16014, equations 5 to 7) yields `relu(exp(r_mag) z + mag_bias)` wherever
    `z + gate_bias > 0`, with `z = x W_enc`. With `pre = exp(r_mag) z + mag_bias` its gate opens where
    `pre > mag_bias - exp(r_mag) gate_bias`, which may well be below zero.

    Returns:
        `W_enc`, `b_enc` and threshold of the JumpReLU.
    """
    scale = r_mag.exp()
    return W_enc * scale, mag_bias, mag_bias - scale * gate_bias


def rebiased(sae: SAE, *, subtract_b_dec: bool) -> SAE:
    """Write the same SAE in a format's convention: `(x - b_dec) W_enc + b_enc = x W_enc + (b_enc - b_dec W_enc)`.

    Args:
        sae: has an encoder.
        subtract_b_dec: whether `b_dec` is to be taken from the input first.
    """
    if sae.subtract_b_dec == subtract_b_dec:
        return sae
    assert sae.W_enc is not None
    shift = sae.b_dec @ sae.W_enc
    b_enc = sae.b_enc + shift if subtract_b_dec else sae.b_enc - shift
    return replace(sae, b_enc=b_enc, subtract_b_dec=subtract_b_dec)


def lengthened(sae: SAE) -> Tensor:
    """The decoder with the norms that its rows had in the file: what `unit_rows` took apart."""
    return sae.W_dec if sae.gain is None else sae.W_dec * sae.gain[:, None]
