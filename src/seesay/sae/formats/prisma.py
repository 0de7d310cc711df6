"""SAEs of ViT-Prisma: a file of weights and `config.json`.

Each row is normalised first, then `b_dec` is subtracted. Prisma's own `.pt` files hold a configuration that only
Prisma can unpickle; those are refused, and tell how to convert them.
"""

from seesay.sae.formats.assembly import assemble, ungated
from seesay.sae.formats.contents import Contents, layer_of, text
from seesay.sae.formats.tensors import count_of
from seesay.sae.model import SAE, Activation, Normalization, Provenance

FILES = "weights with W_enc, W_dec, b_enc, b_dec and config.json"

_OWN_FIELDS = frozenset({"layer_subtype", "vit_model_cfg", "is_transcoder", "cls_token_only", "use_patches_only"})
_NORMALIZATIONS: dict[str, Normalization] = {
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm",
}


def recognises(contents: Contents) -> bool:
    """Whether the configuration has Prisma's fields."""
    return bool(_OWN_FIELDS & set(contents.settings))


def load(contents: Contents) -> SAE:
    """Read an SAE of Prisma.

    Raises:
        UnreadableSAE: a tensor is missing, damaged or of the wrong shape, or the SAE computes something that seesay
            does not.
    """
    config, path = contents.settings, contents.settings_path
    if config.get("is_transcoder"):
        raise contents.refuse("is_transcoder is true", expected="an SAE")
    normalization = str(config.get("normalize_activations", "layer_norm"))
    if normalization not in _NORMALIZATIONS:
        raise contents.refuse(
            f"normalize_activations is {normalization!r}", expected=f"one of {sorted(_NORMALIZATIONS)}"
        )
    gated, activation, k = _architecture(contents)
    d_model = count_of(config, "d_in", path)
    if "expansion_factor" in config:
        n_features = d_model * count_of(config, "expansion_factor", path)
    else:
        n_features = contents.matrix_shape("W_enc")[1]
    W_enc, threshold = contents.tensor("W_enc", d_model, n_features), None
    if gated:
        r_mag, b_gate, b_mag = (contents.tensor(name, n_features) for name in ("r_mag", "b_gate", "b_mag"))
        W_enc, b_enc, threshold = ungated(W_enc, r_mag, b_gate, b_mag)
    else:
        b_enc = contents.tensor("b_enc", n_features)
    return assemble(
        contents,
        activation=activation,
        W_enc=W_enc,
        W_dec=contents.tensor("W_dec", n_features, d_model),
        b_enc=b_enc,
        b_dec=contents.tensor("b_dec", d_model),
        k=k,
        threshold=threshold,
        normalization=_NORMALIZATIONS[normalization],
        provenance=_provenance(contents),
    )


def _architecture(contents: Contents) -> tuple[bool, Activation, object]:
    """Whether it is gated, its activation, and the k that the configuration gives."""
    config = contents.settings
    architecture, function = config.get("architecture", "standard"), config.get("activation_fn_str", "topk")
    options = config.get("activation_fn_kwargs")
    k = options.get("k") if isinstance(options, dict) else None
    match architecture, function:
        case "standard", "relu":
            return False, "relu", None
        case "standard", "topk":
            return False, "topk", k
        case "gated", "relu":
            return True, "jumprelu", None
        case _:
            raise contents.refuse(
                f"architecture is {architecture!r} and activation_fn_str {function!r}",
                expected="standard with relu or topk, or gated with relu",
            )


def _provenance(contents: Contents) -> Provenance:
    config = contents.settings
    number, place = config.get("hook_point_layer"), text(config.get("layer_subtype"))
    layer = layer_of(number, None)
    return Provenance(
        subject=text(config.get("model_name")),
        layer=layer,
        hook=f"blocks.{layer}.{place}" if layer is not None and place else text(config.get("hook_point")),
        dataset=text(config.get("dataset_name")),
    )
