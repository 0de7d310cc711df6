"""SAEs of SAELens: `cfg.json` and `sae_weights.safetensors`, as saved for inference or in the middle of training.

SAELens saves BatchTopK and Matryoshka SAEs for inference as `jumprelu`. Configurations from before its version 6 are
read as the library itself reads them. It is not imported: that takes five seconds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from seesay.errors import UnreadableSAE
from seesay.files import write_json
from seesay.sae.formats.assembly import assemble, lengthened, ungated
from seesay.sae.formats.contents import Contents, layer_of, text
from seesay.sae.formats.tensors import count_of, factor_of, flag_of, read_json
from seesay.sae.model import HAS_THRESHOLD, SAE, Activation, Normalization, Provenance

FILES = "cfg.json and sae_weights.safetensors"
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
WRITES = (CONFIG, WEIGHTS)

_FOLD = "fold it into the weights, as SAELens does at the end of training"

_VERSION = "6.54.0"
"""Of the library whose files these are; it reads those without a version as from before 6."""

_ACTIVATIONS: Mapping[str, Activation] = {
    "standard": "relu",
    "gated": "jumprelu",
    "jumprelu": "jumprelu",
    "topk": "topk",
    "abstopk": "magnitude_topk",
    "batchtopk": "batch_topk",
    "matryoshka_batchtopk": "batch_topk",
}
_ARCHITECTURES: Mapping[Activation, str] = {
    "relu": "standard",
    "topk": "topk",
    "magnitude_topk": "abstopk",
    "jumprelu": "jumprelu",
    "batch_topk": "jumprelu",
}
_EXPECTED = "expected_average_only_in"
# At inference the library takes rows as they are if they were scaled to an expected norm in training: it folds the
# factor into the weights when training ends.
_NORMALIZATIONS: Mapping[str, Normalization] = {
    "none": "none",
    _EXPECTED: "none",
    "constant_norm_rescale": "constant_norm",
    "layer_norm": "layer_norm",
}


def recognises(contents: Contents) -> bool:
    """Whether the configuration has SAELens' fields."""
    return "architecture" in contents.settings or "d_sae" in contents.settings


def load(contents: Contents) -> SAE:
    """Read an SAE of SAELens.

    Raises:
        UnreadableSAE: a file or tensor is missing, damaged or of the wrong shape, or the SAE computes something that
            seesay does not.
    """
    config, path = contents.settings, contents.settings_path
    architecture, k = _architecture(contents)
    normalization = _normalization(contents)
    if config.get("reshape_activations") not in (None, "none"):
        raise contents.refuse(f"reshape_activations is {config['reshape_activations']!r}", expected="'none'")
    d_model, n_features = count_of(config, "d_in", path), count_of(config, "d_sae", path)
    if "scaling_factor" in contents.tensors and (contents.tensor("scaling_factor", n_features) != 1).any():
        raise UnreadableSAE(f"{contents.path}: scaling_factor is not 1", expected="codes that are not fine-tuned")
    rescale = flag_of(config, "rescale_acts_by_decoder_norm", path, default=False)
    W_enc, b_enc, threshold = _encoder(contents, architecture, d_model, n_features)
    # As the library's fold_activation_norm_scaling_factor has it: a threshold counts in the decoder's norms, or not.
    scale = _scale(contents)
    threshold = threshold / scale if rescale and threshold is not None else threshold
    return assemble(
        contents,
        activation=_trained_as(config, _ACTIVATIONS[architecture]),
        W_enc=W_enc.mul_(scale),  # in place: it is large, and our own
        W_dec=contents.tensor("W_dec", n_features, d_model).div_(scale),
        b_enc=b_enc,
        b_dec=contents.tensor("b_dec", d_model) / scale,
        k=k,
        threshold=threshold,
        subtract_b_dec=flag_of(config, "apply_b_dec_to_input", path, default=True),
        normalization=normalization,
        rescale=rescale,
        provenance=_provenance(config),
    )


def _architecture(contents: Contents) -> tuple[str, Any]:
    """The architecture, and what the configuration gives as k."""
    config = contents.settings
    # Before version 6 the activation was a setting of its own.
    function = config.get("activation_fn_str", config.get("activation_fn"))
    options = config.get("activation_fn_kwargs")
    if function == "topk" and isinstance(options, dict):
        return "topk", options.get("k")
    if function not in (None, "relu"):
        raise contents.refuse(f"activation_fn is {function!r}", expected="'relu' or 'topk'")
    architecture = str(config.get("architecture", "standard"))
    if architecture not in _ACTIVATIONS:
        raise contents.refuse(
            f"architecture is {architecture!r}",
            expected=f"one of {sorted(_ACTIVATIONS)}",
            remedy="save a trained SAE by SAELens' save_inference_model",
        )
    return architecture, config.get("k")


def _normalization(contents: Contents) -> Normalization:
    found = contents.settings.get("normalize_activations")
    if found is None or isinstance(found, bool):  # before version 6, for an expected norm
        return "none"
    if str(found) not in _NORMALIZATIONS:
        raise contents.refuse(
            f"normalize_activations is {found!r}",
            expected=f"one of {sorted(_NORMALIZATIONS)}",
            remedy=_FOLD,
        )
    return _NORMALIZATIONS[str(found)]


def _scale(contents: Contents) -> float:
    """What rows are still multiplied by before they are encoded: 1 for an SAE whose training has ended."""
    found = contents.settings.get("normalize_activations")
    if found is not True and found != _EXPECTED:  # true is from before version 6
        return 1.0
    if contents.scaler_path is not None:
        factor = read_json(contents.scaler_path).get("scaling_factor")
        return factor_of(factor, f"{contents.scaler_path}: scaling_factor", remedy=_FOLD)
    if contents.is_in_training:
        raise contents.refuse(
            f"normalize_activations is {_EXPECTED!r}, in the middle of training",
            expected="activation_scaler.json beside it",
            remedy=_FOLD,
        )
    return 1.0


def _encoder(
    contents: Contents, architecture: str, d_model: int, n_features: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    W_enc = contents.tensor("W_enc", d_model, n_features)
    if architecture == "gated":
        r_mag, b_gate, b_mag = (contents.tensor(name, n_features) for name in ("r_mag", "b_gate", "b_mag"))
        return ungated(W_enc, r_mag, b_gate, b_mag)
    b_enc = contents.tensor("b_enc", n_features)
    needed = (contents.activation or _ACTIVATIONS[architecture]) in HAS_THRESHOLD
    if not needed:
        return W_enc, b_enc, None
    if "topk_threshold" in contents.tensors:
        return W_enc, b_enc, contents.repeated("topk_threshold", n_features)
    if "log_threshold" in contents.tensors:
        return W_enc, b_enc, contents.tensor("log_threshold", n_features).exp()
    return W_enc, b_enc, contents.tensor("threshold", n_features)


def _trained_as(config: Mapping[str, Any], activation: Activation) -> Activation:
    """A JumpReLU that was trained as a BatchTopK is called one; they compute the same."""
    metadata = config.get("metadata")
    trained_as = metadata.get("training_architecture") if isinstance(metadata, dict) else None
    batched = activation == "jumprelu" and trained_as in ("batchtopk", "matryoshka_batchtopk")
    return "batch_topk" if batched else activation


def _provenance(config: Mapping[str, Any]) -> Provenance:
    metadata = config.get("metadata")
    facts: dict[str, Any] = {**config, **metadata} if isinstance(metadata, dict) else dict(config)
    hook = text(facts.get("hook_name", facts.get("hook_point")))
    layer = facts.get("layer", facts.get("hook_layer", facts.get("hook_point_layer")))
    return Provenance(
        subject=text(facts.get("model_name")),
        layer=layer_of(layer, hook),
        hook=hook,
        dataset=text(facts.get("dataset_path")),
    )


def refusal(sae: SAE) -> str | None:
    """Why an SAE cannot be written in this format, or None if it can."""
    if sae.activation in _ARCHITECTURES:
        return None
    return f"SAELens has no architecture that computes {sae.activation}"


def save(sae: SAE, folder: Path, dtype: torch.dtype) -> None:
    """Write an SAE that SAELens' `SAE.load_from_disk` reads.

    The decoder's rows have the norms again that they had in the file, and SAELens' codes count in these norms.

    Args:
        sae: in float32 on the CPU, of an activation that has an architecture there.
        folder: an empty one.
        dtype: to write the tensors in.
    """
    assert sae.W_enc is not None
    tensors = {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": lengthened(sae), "b_dec": sae.b_dec}
    if sae.threshold is not None:
        tensors["threshold"] = sae.threshold
    save_file({name: tensor.to(dtype, copy=True).contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    write_json(folder / CONFIG, _config(sae))


def _config(sae: SAE) -> dict[str, Any]:
    names = {"none": "none", "layer_norm": "layer_norm", "constant_norm": "constant_norm_rescale"}
    facts = {
        "model_name": sae.provenance.subject,
        "layer": sae.provenance.layer,
        "hook_name": sae.provenance.hook,
        "dataset_path": sae.provenance.dataset,
        "training_architecture": "batchtopk" if sae.activation == "batch_topk" else None,
    }
    return {
        "architecture": _ARCHITECTURES[sae.activation],
        "d_in": sae.d_model,
        "d_sae": sae.n_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.subtract_b_dec,
        "normalize_activations": names[sae.normalization],
        "reshape_activations": "none",
        **({} if sae.k is None else {"k": sae.k, "rescale_acts_by_decoder_norm": False}),
        "metadata": {
            "sae_lens_version": _VERSION,
            **{name: fact for name, fact in facts.items() if fact is not None},
        },
    }
