"""SAEs saved for inference by SAELens, version 6: `cfg.json` and `sae_weights.safetensors`.

SAELens saves BatchTopK and Matryoshka SAEs as `jumprelu`. It is not imported: that takes five seconds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seesay.errors import UnreadableSAE
from seesay.sae.formats.tensors import count_of, read_json, read_safetensors, tensor_of
from seesay.sae.model import SAE, Activation, Provenance, unit_rows

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"

_ACTIVATIONS: Mapping[str, Activation] = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}
# Settings that change what is computed and that seesay does not compute, with the one value it does.
_PLAIN = {"normalize_activations": "none", "reshape_activations": "none", "activation_fn": "relu"}


def recognises(folder: Path) -> bool:
    """Whether a folder looks like an SAE of SAELens: one file will do, so that the lack of the other can be named."""
    return (folder / WEIGHTS).is_file() or ((folder / CONFIG).is_file() and not any(folder.glob("*.safetensors")))


def load(folder: Path) -> SAE:
    """Read an SAE of SAELens.

    Raises:
        UnreadableSAE: a file or tensor is missing, damaged or of the wrong shape, or the SAE computes something that
            seesay does not.
    """
    path, weights_path = folder / CONFIG, folder / WEIGHTS
    config = read_json(path)
    activation = _activation(config, path)
    d_model, n_features = count_of(config, "d_in", path), count_of(config, "d_sae", path)
    tensors = read_safetensors(weights_path)
    W_enc = tensor_of(tensors, "W_enc", (d_model, n_features), weights_path)
    b_enc = tensor_of(tensors, "b_enc", (n_features,), weights_path)
    W_dec, gain = unit_rows(tensor_of(tensors, "W_dec", (n_features, d_model), weights_path))
    if config.get("rescale_acts_by_decoder_norm"):
        # Such a top-k chooses by, and reports, activations along unit-norm directions: here the norms do belong into
        # the encoder.
        W_enc, b_enc, gain = W_enc * gain, b_enc * gain, None
    return SAE(
        W_enc=W_enc,
        W_dec=W_dec,
        b_enc=b_enc,
        b_dec=tensor_of(tensors, "b_dec", (d_model,), weights_path),
        activation=activation,
        k=count_of(config, "k", path, at_most=n_features) if activation == "topk" else None,
        threshold=tensor_of(tensors, "threshold", (n_features,), weights_path) if activation == "jumprelu" else None,
        subtract_b_dec=bool(config.get("apply_b_dec_to_input", True)),
        gain=gain,
        provenance=_provenance(config),
    )


def _activation(config: Mapping[str, Any], path: Path) -> Activation:
    for name, plain in _PLAIN.items():
        if config.get(name) not in (None, plain):
            raise UnreadableSAE(f"{path}: {name} is {config[name]!r}", expected=f"{plain!r}")
    architecture = str(config.get("architecture"))
    if architecture not in _ACTIVATIONS:
        raise UnreadableSAE(
            f"{path}: architecture is {architecture!r}",
            expected=f"one of {sorted(_ACTIVATIONS)}",
            remedy="save a trained SAE by SAELens' save_inference_model",
        )
    return _ACTIVATIONS[architecture]


def _provenance(config: Mapping[str, Any]) -> Provenance:
    metadata = config.get("metadata")
    facts: dict[str, Any] = {**config, **metadata} if isinstance(metadata, dict) else dict(config)
    layer = facts.get("layer", facts.get("hook_layer"))
    return Provenance(
        subject=facts.get("model_name"),
        layer=layer if type(layer) is int else None,
        hook=facts.get("hook_name"),
        dataset=facts.get("dataset_path"),
    )
