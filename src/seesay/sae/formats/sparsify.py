"""SAEs of sparsify (EleutherAI) and multimodal-sae: `<hookpoint>/cfg.json` and `sae.safetensors`.

`code = topk(relu(W (x - b_dec) + b))`; a transcoder does not subtract `b_dec`. The model's name and its images are
only in `config.json` of the folder above, the place in the model only in the folder's own name.
"""

import re

from seesay.sae.formats.assembly import assemble
from seesay.sae.formats.contents import Contents, layer_of, text
from seesay.sae.formats.tensors import count_of, flag_of, read_json
from seesay.sae.model import SAE, Activation, Provenance

FILES = "cfg.json and sae.safetensors with encoder.weight and W_dec"


def recognises(contents: Contents) -> bool:
    """Whether the configuration has sparsify's fields, or the tensors its names."""
    if "num_latents" in contents.settings or "multi_topk" in contents.settings:
        return True
    return "W_dec" in contents.tensors and any(name.startswith("encoder.") for name in contents.tensors)


def load(contents: Contents) -> SAE:
    """Read an SAE of sparsify.

    Raises:
        UnreadableSAE: a file or tensor is missing, damaged or of the wrong shape, or the SAE computes something that
            seesay does not.
    """
    config, path = contents.settings, contents.settings_path
    if contents.config is None:
        raise contents.refuse("no cfg.json beside it", expected="cfg.json of sparsify, which says k")
    if config.get("skip_connection") or "W_skip" in contents.tensors:
        raise contents.refuse(
            "skip_connection (W_skip) adds a linear map of the input to the reconstruction",
            expected="a reconstruction from features alone",
            remedy="train without it; steering a feature would not be the same as changing its code",
        )
    d_model = count_of(config, "d_in", path)
    n_features = config.get("num_latents") or d_model * count_of(config, "expansion_factor", path)
    n_features = count_of({"num_latents": n_features}, "num_latents", path)
    return assemble(
        contents,
        activation=_activation(contents),
        W_enc=contents.tensor("encoder.weight", n_features, d_model).T,
        W_dec=contents.tensor("W_dec", n_features, d_model),
        b_enc=contents.tensor("encoder.bias", n_features),
        b_dec=contents.tensor("b_dec", d_model),
        k=config.get("k"),
        subtract_b_dec=not flag_of(config, "transcode", path, default=False),
        provenance=_provenance(contents),
    )


def _activation(contents: Contents) -> Activation:
    activation = contents.settings.get("activation", "topk")
    if activation != "topk":
        raise contents.refuse(f"activation is {activation!r}", expected="'topk'")
    # Before 2025 sparsify could keep the k largest in magnitude.
    signed = flag_of(contents.settings, "signed", contents.settings_path, default=False)
    return "magnitude_topk" if signed else "topk"


def _provenance(contents: Contents) -> Provenance:
    # A hookpoint is a module's name with a block's number in it, as layers.16; other folders are named after nothing.
    named = re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", contents.folder)
    hook = text(contents.settings.get("hookpoint")) or (contents.folder if named else None)
    outer = {} if contents.outer_config_path is None else read_json(contents.outer_config_path)
    return Provenance(
        subject=text(outer.get("model")),
        layer=layer_of(None, hook),
        hook=hook,
        dataset=text(outer.get("dataset")),
    )
