"""SAEs of saev: a line of JSON, `{schema, cfg, commit, lib}`, then a torch state dict.

saev stopped to subtract `b_dec` from the input in July 2025, between two files of schema 1: those whose configuration
describes no activation, and those from before there were schemas, were trained with the subtraction. Its TopK has no
ReLU, so codes may be negative.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from seesay.errors import UnreadableSAE
from seesay.sae.formats.assembly import assemble
from seesay.sae.formats.contents import Contents
from seesay.sae.formats.tensors import count_of
from seesay.sae.model import SAE, Activation

FILES = "one file: a line of JSON, then a state dict with W_enc, b_enc, W_dec, b_dec"

_NEWEST_SCHEMA = 5
_ACTIVATIONS: Mapping[str, Activation] = {"Relu": "relu", "TopK": "signed_topk", "BatchTopK": "batch_topk"}


def recognises(contents: Contents) -> bool:
    """Whether it has the line of JSON, or is tensors of an encoder with nothing beside them."""
    names = set(contents.tensors)
    # A threshold or groups would be of dictionary_learning.
    bare = contents.config is None and {"W_enc", "b_enc"} & names and not {"threshold", "group_sizes"} & names
    return contents.header is not None or bool(bare and len(names) > 1)


def load(contents: Contents) -> SAE:
    """Read an SAE of saev.

    Raises:
        UnreadableSAE: a tensor is missing, damaged or of the wrong shape, the schema is a newer one, or nothing says
            what the activation is.
    """
    header = contents.header
    if header is None:
        return _bare(contents)
    schema, config = header.get("schema"), header.get("cfg", {})
    if schema is None:
        config = header
    elif type(schema) is not int or not 1 <= schema <= _NEWEST_SCHEMA:
        raise contents.refuse(f"schema is {schema!r}", expected=f"1 to {_NEWEST_SCHEMA}")
    if not isinstance(config, dict):
        raise contents.refuse(f"cfg is a {type(config).__name__}", expected="a JSON object")
    d_model = count_of(config, "d_model" if "d_model" in config else "d_vit", contents.path)
    if "d_sae" in config:
        n_features = count_of(config, "d_sae", contents.path)
    else:
        n_features = d_model * count_of(config, "exp_factor", contents.path)
    activation, k = _activation(contents, header, config)
    subtracts = schema is None or (schema == 1 and "activation" not in config)
    return _assemble(contents, d_model, n_features, activation, k, subtract_b_dec=subtracts)


def _activation(contents: Contents, header: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Activation, Any]:
    described = config.get("activation")
    if isinstance(described, dict):
        kind, parameters = described.get("cls"), described.get("params")
        k = parameters.get("top_k") if isinstance(parameters, dict) else None
    else:
        kind, k = header.get("cls"), config.get("top_k")
        # Before activations were described, a configuration without a name of its own was ReLU's.
        kind = "Relu" if kind in (None, "SparseAutoencoderConfig") else kind
    if not isinstance(kind, str) or kind not in _ACTIVATIONS:
        raise contents.refuse(f"activation is {kind!r}", expected=f"one of {sorted(_ACTIVATIONS)}")
    return _ACTIVATIONS[kind], k


def _assemble(
    contents: Contents, d_model: int, n_features: int, activation: Activation, k: Any, *, subtract_b_dec: bool
) -> SAE:
    return assemble(
        contents,
        activation=activation,
        W_enc=contents.tensor("W_enc", d_model, n_features),
        W_dec=contents.tensor("W_dec", n_features, d_model),
        b_enc=contents.tensor("b_enc", n_features),
        b_dec=contents.tensor("b_dec", d_model),
        k=k,
        threshold=_threshold(contents, n_features),
        subtract_b_dec=subtract_b_dec,
    )


def _threshold(contents: Contents, n_features: int) -> Tensor | None:
    # Files from before November 2025 have none; a negative one counts as zero.
    if "activation.threshold" not in contents.tensors:
        return None
    return contents.repeated("activation.threshold", n_features).relu()


def _bare(contents: Contents) -> SAE:
    """Tensors alone are taken for saev's early ones, if the caller says what the activation is."""
    if contents.activation is None:
        raise UnreadableSAE(
            f"{contents.path}: no cfg.json or config.json beside it says what turns pre-activations into codes",
            expected="that file, or activation to be given",
            remedy='put the file back; for tensors alone, give activation ("relu" for saev\'s of early 2025) and k',
        )
    d_model, n_features = contents.matrix_shape("W_enc")
    return _assemble(contents, d_model, n_features, contents.activation, None, subtract_b_dec=True)
