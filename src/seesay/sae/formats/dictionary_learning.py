"""SAEs of dictionary_learning (https://github.com/saprmarks/dictionary_learning): `ae.pt` and `config.json`.

The weights take raw activations: the library folds the scale of training into the biases when it saves. Only its
back-ups, `{step, ae, optimizer, config, norm_factor}`, are from before that, so it is done here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seesay.errors import UnreadableSAE
from seesay.files import write_json
from seesay.sae.formats.assembly import assemble, lengthened, rebiased, ungated
from seesay.sae.formats.contents import Contents, layer_of, text
from seesay.sae.formats.tensors import count_of, factor_of
from seesay.sae.model import HAS_THRESHOLD, SAE, Activation, Provenance

FILES = "ae.pt and config.json"
TRAINER, CONFIG, WEIGHTS = "trainer_0", "config.json", "ae.pt"
WRITES = (f"{TRAINER}/{CONFIG}", f"{TRAINER}/{WEIGHTS}")

_ACTIVATIONS: Mapping[str, Activation] = {
    "AutoEncoder": "relu",
    "AutoEncoderNew": "relu",
    "GatedAutoEncoder": "jumprelu",
    "JumpReluAutoEncoder": "jumprelu",
    "AutoEncoderTopK": "topk",
    "UnsignedAutoEncoderTopK": "magnitude_topk",
    "BatchTopKSAE": "batch_topk",
    "MatryoshkaBatchTopKSAE": "batch_topk",
}
_TOLD_BY = {
    "bias": "AutoEncoder",
    "decoder.bias": "AutoEncoderNew",
    "gate_bias": "GatedAutoEncoder",
    "group_sizes": "MatryoshkaBatchTopKSAE",
}
"""Tensors that only one class has."""


def recognises(contents: Contents) -> bool:
    """Whether the configuration or the tensors are of one of the library's classes."""
    names = set(contents.tensors)
    jumprelu = contents.config is None and {"W_enc", "threshold"} <= names
    return "dict_class" in _trainer(contents) or "decoder.weight" in names or "group_sizes" in names or jumprelu


def _trainer(contents: Contents) -> Mapping[str, Any]:
    """The configuration's block that matters; a back-up holds it alone."""
    block = contents.settings.get("trainer", contents.settings)
    return block if isinstance(block, Mapping) else {}


def load(contents: Contents) -> SAE:
    """Read an SAE of dictionary_learning.

    Raises:
        UnreadableSAE: a tensor is missing, damaged or of the wrong shape, the class is an unknown one, or nothing says
            which it is.
    """
    trainer = _trainer(contents)
    name = _class(contents, trainer)
    activation = contents.activation or _activation(name, trainer)
    transposed = "W_enc" in contents.tensors or name in ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE")
    shape = contents.matrix_shape("W_enc" if transposed else "encoder.weight")
    d_model = _size(contents, trainer, "activation_dim", shape[0 if transposed else 1])
    n_features = _size(contents, trainer, "dict_size", shape[1 if transposed else 0])
    if transposed:
        W_enc, W_dec = contents.tensor("W_enc", d_model, n_features), contents.tensor("W_dec", n_features, d_model)
    else:
        W_enc = contents.tensor("encoder.weight", n_features, d_model).T
        W_dec = contents.tensor("decoder.weight", d_model, n_features).T
    threshold: Tensor | None = None
    if name == "GatedAutoEncoder":
        r_mag, gate_bias, mag_bias = (contents.tensor(part, n_features) for part in ("r_mag", "gate_bias", "mag_bias"))
        W_enc, b_enc, threshold = ungated(W_enc, r_mag, gate_bias, mag_bias)
    else:
        b_enc = contents.tensor("b_enc" if transposed else "encoder.bias", n_features)
    if threshold is None and activation in HAS_THRESHOLD:
        threshold = _threshold(contents, name, n_features)
    factor = _norm_factor(contents)
    biases = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias", "GatedAutoEncoder": "decoder_bias"}
    return assemble(
        contents,
        activation=activation,
        W_enc=W_enc,
        W_dec=W_dec,
        b_enc=b_enc * factor,
        b_dec=contents.tensor(biases.get(name, "b_dec"), d_model) * factor,
        k=_k(contents, trainer),
        k_path=contents.path if "k" in contents.tensors else None,
        threshold=None if threshold is None else threshold * factor,
        subtract_b_dec=name not in ("JumpReluAutoEncoder", "AutoEncoderNew"),
        provenance=_provenance(contents, trainer),
    )


def _class(contents: Contents, trainer: Mapping[str, Any]) -> str:
    if "dict_class" in trainer:
        name = str(trainer["dict_class"])
        if name not in _ACTIVATIONS:
            raise contents.refuse(f"dict_class is {name!r}", expected=f"one of {sorted(_ACTIVATIONS)}")
        return name
    for tensor, name in _TOLD_BY.items():
        if tensor in contents.tensors:
            return name
    if "W_enc" in contents.tensors:
        return "JumpReluAutoEncoder"
    if contents.activation is None:
        raise UnreadableSAE(
            f"{contents.path}: no config.json beside it says which dict_class it is, and three have its tensors",
            expected="that file, or activation to be given",
            remedy='give activation "topk", "batch_topk" or "magnitude_topk"',
        )
    return "AutoEncoderTopK"


def _activation(name: str, trainer: Mapping[str, Any]) -> Activation:
    # The library's TopK trainer records its own class even if it was given the authors' unsigned one.
    if name == "AutoEncoderTopK" and str(trainer.get("wandb_name")).startswith("Unsigned"):
        return "magnitude_topk"
    return _ACTIVATIONS[name]


def _size(contents: Contents, trainer: Mapping[str, Any], name: str, found: int) -> int:
    return count_of(trainer, name, contents.settings_path) if name in trainer else found


def _k(contents: Contents, trainer: Mapping[str, Any]) -> Any:
    """What the tensors say, or else the configuration; the library refuses files where they differ."""
    recorded = trainer.get("k")
    if "k" not in contents.tensors:
        return recorded
    k = contents.tensor("k").item()
    k = int(k) if k == int(k) else k
    if recorded not in (None, k) and contents.k is None:
        raise UnreadableSAE(
            f"{contents.path}: k is {k}", expected=f"{recorded!r}, as {contents.settings_path} has it", remedy="give k"
        )
    return k


def _threshold(contents: Contents, name: str, n_features: int) -> Tensor:
    if name == "JumpReluAutoEncoder":
        return contents.tensor("threshold", n_features)
    threshold = contents.repeated("threshold", n_features)
    if threshold[0] < 0:
        raise UnreadableSAE(
            f"{contents.path}: threshold is {threshold[0]:g}, which is not set",
            expected="a BatchTopK trained long enough to have one",
            remedy='give activation="topk" for the k largest of each row, or "relu" for all',
        )
    return threshold


def _norm_factor(contents: Contents) -> float:
    """What the library's scale_biases multiplies biases and thresholds by when it saves, for raw activations."""
    factor = contents.around.get("norm_factor")
    return 1.0 if factor is None else factor_of(factor, f"{contents.path}: norm_factor")


def _provenance(contents: Contents, trainer: Mapping[str, Any]) -> Provenance:
    hook = text(trainer.get("submodule_name"))
    buffer = contents.settings.get("buffer")
    dataset = text(buffer.get("dataset")) if isinstance(buffer, Mapping) else None
    return Provenance(text(trainer.get("lm_name")), layer_of(trainer.get("layer"), hook), hook, dataset)


def refusal(sae: SAE) -> str | None:
    """Why an SAE cannot be written in this format, or None if it can."""
    if sae.normalization != "none":
        return f"dictionary_learning does not normalise rows, and this SAE does ({sae.normalization})"
    if sae.activation in ("signed_topk", "none"):
        return f"dictionary_learning has no class that computes {sae.activation}"
    return None


def save(sae: SAE, folder: Path, dtype: torch.dtype) -> None:
    """Write an SAE that dictionary_learning and the paper's tools read.

    A `batch_topk` becomes a JumpReluAutoEncoder, which computes the same and needs no k. The decoder has the norms
    again that it had in the file. If the class treats `b_dec` otherwise, the encoder's bias makes up for it.

    Args:
        sae: in float32 on the CPU, not normalising its rows, of an activation that has a class there.
        folder: an empty one.
        dtype: to write the tensors in.
    """
    names: dict[str, str] = {
        "relu": "AutoEncoder",
        "topk": "AutoEncoderTopK",
        "magnitude_topk": "UnsignedAutoEncoderTopK",
    }
    name = names.get(sae.activation, "JumpReluAutoEncoder")
    sae = rebiased(sae, subtract_b_dec=name != "JumpReluAutoEncoder")
    tensors = {part: tensor.to(dtype, copy=True).contiguous() for part, tensor in _tensors(sae, name).items()}
    if sae.k is not None:
        tensors |= {"k": torch.tensor(sae.k, dtype=torch.int32), "threshold": torch.tensor(-1.0)}
    place = folder / TRAINER
    place.mkdir()
    torch.save(tensors, place / WEIGHTS)
    said = sae.provenance
    trainer = {
        "dict_class": name,
        "activation_dim": sae.d_model,
        "dict_size": sae.n_features,
        "k": sae.k,
        "layer": said.layer,
        "lm_name": said.subject,
        "submodule_name": said.hook,
    }
    write_json(place / CONFIG, {"trainer": trainer, "buffer": {"dataset": said.dataset}})


def _tensors(sae: SAE, name: str) -> dict[str, Tensor]:
    assert sae.W_enc is not None
    W_dec = lengthened(sae)
    if name == "JumpReluAutoEncoder":
        assert sae.threshold is not None
        own = {"W_enc": sae.W_enc, "W_dec": W_dec, "threshold": sae.threshold}
        return own | {"b_enc": sae.b_enc, "b_dec": sae.b_dec}
    bias = "bias" if name == "AutoEncoder" else "b_dec"
    return {"encoder.weight": sae.W_enc.T, "encoder.bias": sae.b_enc, "decoder.weight": W_dec.T, bias: sae.b_dec}
