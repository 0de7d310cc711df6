"""Whether two models see with the same eyes: hashes of the weights that an image passes on its way.

A feature belongs to the encoder that its SAE was trained on, the subject's. Steering it inside an explainer means
something only if the explainer's encoder is the same.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from seesay.errors import MismatchedEncoder
from seesay.images.blank import blank_image
from seesay.vlm.blocks import weights_at_hand
from seesay.vlm.encoder import Encoder

Fingerprint = Mapping[str, str]
"""Name of a tensor, relative to the tower, or of a setting, to its hash or value."""

_SETTINGS = ("hidden_act", "layer_norm_eps", "num_attention_heads", "num_heads", "patch_size")


def fingerprint(encoder: Encoder, layer: int) -> Fingerprint:
    """Hash what an image passes on its way up to and including a block, tensor by tensor.

    What comes after the block differs between models that share an encoder: a vision-language model may leave the last
    blocks and norms out. Weights are hashed in one number format, whatever they were stored and loaded in: rounded to
    float16, then to bfloat16, so that float32, float16 and bfloat16 copies of float16 weights agree.

    Args:
        encoder: whose weights.
        layer: the last block that counts, 0-based.

    Returns:
        A hash for every tensor, in the order of the names, and those settings without which equal weights would
        compute something else.
    """
    hashes: dict[str, str] = {}
    for name, module in _passed(encoder, layer).items():
        with weights_at_hand(module):
            for parameter, value in module.named_parameters(recurse=False):
                hashes[f"{name}.{parameter}" if name else parameter] = _hash(value)
    settings = {f"config.{name}": str(getattr(encoder.config, name, None)) for name in _SETTINGS}
    return dict(sorted(hashes.items())) | settings


def digest(found: Fingerprint) -> str:
    """One hash for a whole fingerprint, to be kept with a run.

    Args:
        found: as `fingerprint` gives it.
    """
    return hashlib.sha256("\n".join(f"{name}={value}" for name, value in found.items()).encode()).hexdigest()


def check_same(subject: Encoder, explainer: Encoder) -> None:
    """Check that an explainer's encoder is the subject's, up to the last block that the explainer's words depend on.

    Args:
        subject: whose features are to be explained.
        explainer: of the model that is to say what they are.

    Raises:
        MismatchedEncoder: it is not; the first tensor that differs is named.
    """
    if subject is explainer:
        return
    if subject.n_blocks <= explainer.last_layer_read:
        raise MismatchedEncoder(
            f"the explainer reads its vision encoder after block {explainer.last_layer_read}",
            expected=f"the subject's encoder, of {subject.n_blocks} blocks",
            remedy=_REMEDY,
        )
    ours, theirs = (fingerprint(encoder, explainer.last_layer_read) for encoder in (subject, explainer))
    for name in {**ours, **theirs}:
        if ours.get(name) != theirs.get(name):
            raise MismatchedEncoder(
                f"the explainer's vision encoder differs from the subject's, in {name} first",
                expected="the same weights"
                if name in ours and name in theirs
                else f"it in both: the {'explainer' if name in ours else 'subject'} has none",
                remedy=_REMEDY,
            )


_REMEDY = "choose an explainer built on the subject's encoder, or allow a different one by name"


def _passed(encoder: Encoder, layer: int) -> Mapping[str, nn.Module]:
    """The modules of the tower that run before the given block is done, by name."""
    seen: dict[nn.Module, None] = {}
    done = False

    def note(module: nn.Module, _inputs: object) -> None:
        if not done:
            seen[module] = None

    def finish(_module: nn.Module, _inputs: object, _output: object) -> None:
        nonlocal done
        done = True

    handles = [module.register_forward_pre_hook(note) for module in encoder.tower.modules()]
    handles.append(encoder.blocks[layer].register_forward_hook(finish))
    try:
        encoder.encode_to([blank_image("white", encoder.image_size)], layer)
    finally:
        for handle in handles:
            handle.remove()
    return {name: module for name, module in encoder.tower.named_modules() if module in seen}


def _hash(weight: Tensor) -> str:
    common = weight.detach().to(torch.float16).to(torch.bfloat16).cpu().contiguous()
    return hashlib.sha256(str(list(common.shape)).encode() + common.view(torch.uint8).numpy().tobytes()).hexdigest()
