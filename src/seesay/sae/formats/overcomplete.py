"""SAEs of overcomplete: a state dict alone, which does not say how many features a row keeps, nor by which rule.

`code = activation(W x + b)` and `reconstruction = code D`, where D is the dictionary with rows of unit norm, times
exp(multiplier). There is no bias of the decoder.
"""

import torch

from seesay.errors import UnreadableSAE
from seesay.sae.formats.assembly import assemble
from seesay.sae.formats.contents import Contents
from seesay.sae.model import SAE, Activation, unit_rows

FILES = "a state dict with encoder.final_block.0.weight and dictionary._weights"

_ENCODER, _DICTIONARY = "encoder.final_block.0.weight", "dictionary._weights"
_READ = frozenset({_ENCODER, "encoder.final_block.0.bias", _DICTIONARY, "dictionary.multiplier", "thresholds"})


def recognises(contents: Contents) -> bool:
    """Whether the tensors are named as overcomplete names them."""
    return any(name.startswith(("encoder.final_block.", "dictionary.")) for name in contents.tensors)


def load(contents: Contents) -> SAE:
    """Read an SAE of overcomplete.

    Raises:
        UnreadableSAE: a tensor is missing or damaged, the encoder is more than one linear layer, or neither the file
            nor the caller says what the activation is.
    """
    n_features, d_model = contents.matrix_shape(_DICTIONARY)
    W_enc = contents.tensor(_ENCODER, n_features, d_model).T
    if others := sorted(set(contents.tensors) - _READ):
        raise UnreadableSAE(
            f"{contents.path} holds {others[0]}, of an encoder or quantiser that is not computed here",
            expected="a linear encoder and one of SAE, TopKSAE, JumpSAE",
        )
    dictionary, _ = unit_rows(contents.tensor(_DICTIONARY, n_features, d_model))
    if "dictionary.multiplier" in contents.tensors:
        dictionary = dictionary * contents.tensor("dictionary.multiplier").exp()
    threshold = contents.tensor("thresholds", n_features).exp() if "thresholds" in contents.tensors else None
    return assemble(
        contents,
        activation=_activation(contents),
        W_enc=W_enc,
        W_dec=dictionary,
        b_enc=contents.tensor("encoder.final_block.0.bias", n_features),
        b_dec=torch.zeros(d_model),
        threshold=threshold,
        subtract_b_dec=False,
    )


def _activation(contents: Contents) -> Activation:
    if contents.activation is not None:
        return contents.activation
    if "thresholds" in contents.tensors:
        return "jumprelu"
    raise UnreadableSAE(
        f"{contents.path}: files of overcomplete do not say what turns pre-activations into codes",
        expected="activation and k to be given",
        remedy='give activation="topk" and k for a TopKSAE or BatchTopKSAE (whose threshold is not saved),'
        ' activation="relu" for an SAE',
    )
