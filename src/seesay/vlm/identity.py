"""Whether two models see with the same eyes: hashes of the weights that an image passes on its way.

A feature belongs to the encoder that its SAE was trained on, the subject's. Steering it inside an explainer means
something only if the explainer's encoder is the same.
"""

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from seesay.errors import MismatchedEncoder
from seesay.images.blank import blank_image
from seesay.vlm.blocks import weights_at_hand
from seesay.vlm.encoder import Encoder
from seesay.vlm.parallel import gathered

Fingerprint = Mapping[str, str]
"""Name of a tensor, relative to the tower, or of a setting, to its shape and hash or its value."""

_N_READ = 4096
"""Elements of a tensor that `model_digest` reads."""

_SETTINGS = (
    "hidden_act",
    "hidden_activation",
    "layer_norm_eps",
    "rms_norm_eps",
    "num_attention_heads",
    "num_heads",
    "num_key_value_heads",
    "patch_size",
    "window_size",
    "fullatt_block_indexes",
    "rope_parameters",
    "rope_theta",
    "use_swiglu_ffn",
    "norm_type",
    "pooling_kernel_size",
)
"""Settings of an encoder without which equal weights would compute something else."""


def fingerprint(encoder: Encoder, layer: int) -> Fingerprint:
    """Hash what an image passes on its way up to and including a block, tensor by tensor.

    What comes after the block differs between models that share an encoder: a vision-language model may leave the last
    blocks and norms out. Weights are hashed in bfloat16, whatever they are loaded in: float32
    and bfloat16 copies of the same weights agree, and so do float16 copies of weights that were float16 at first, as
    CLIP's were.

    Args:
        encoder: whose weights.
        layer: the last block that counts, 0-based.

    Returns:
        Shape and hash for every tensor, in the order of the names, and those settings without which equal weights would
        compute something else.
    """
    hashes: dict[str, str] = {}
    for name, module in passed(encoder, layer).items():
        with weights_at_hand(module):
            for tensor, value in _own_tensors(module):
                hashes[f"{name}.{tensor}" if name else tensor] = _hash(value)
    settings = {f"config.{name}": str(getattr(encoder.config, name, None)) for name in _SETTINGS}
    return dict(sorted(hashes.items())) | settings


def digest(found: Fingerprint) -> str:
    """One hash for a whole fingerprint, to be kept with a run.

    Args:
        found: as `fingerprint` gives it.
    """
    return hashlib.sha256("\n".join(f"{name}={value}" for name, value in found.items()).encode()).hexdigest()


def model_digest(model: nn.Module) -> str:
    """A hash of a model's weights as they are loaded, of a sample of them where there are many.

    Of a large tensor, elements evenly spread over it are read, and its shape: reading all of a language model's
    weights would take longer than many an explanation. No training leaves these as they were, but an edit of a few
    rows by hand may go unseen.

    Args:
        model: on any device; weights that accelerate keeps elsewhere are brought for a moment.
    """
    whole = hashlib.sha256()
    for name, module in model.named_modules():
        with weights_at_hand(module):
            for tensor, value in _own_tensors(module):
                flat = gathered(value.detach()).reshape(-1)
                some = flat[:: max(1, flat.numel() // _N_READ)].cpu().contiguous()
                whole.update(f"{name}.{tensor} {list(value.shape)} {value.dtype}".encode())
                whole.update(some.view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def encoder_difference(subject: Encoder, explainer: Encoder, *, allowed: bool = False) -> str:
    """Hold an explainer's encoder against the subject's, up to the last block that the explainer's words depend on.

    Args:
        subject: whose features are to be explained.
        explainer: of the model that is to say what they are.
        allowed: whether they may differ.

    Returns:
        The first tensor or setting in which they differ; empty if they are the same.

    Raises:
        MismatchedEncoder: they differ, and may not.
    """
    if subject is explainer:
        return ""
    last = explainer.last_layer_read
    ours, theirs = fingerprint(subject, min(last, subject.n_blocks - 1)), fingerprint(explainer, last)
    for name in {**ours, **theirs}:
        if ours.get(name) != theirs.get(name):
            if allowed:
                return name
            raise MismatchedEncoder(
                f"the explainer's vision encoder differs from the subject's, in {name} first: it has "
                f"{_shown(theirs, name)}",
                expected=_shown(ours, name),
                remedy="choose an explainer built on the subject's encoder, or allow another "
                "(--allow-different-encoder, allow_different_encoder=True)",
            )
    return ""


def _shown(found: Fingerprint, name: str) -> str:
    return found.get(name, "none of that name")


def passed(encoder: Encoder, layer: int) -> Mapping[str, nn.Module]:
    """The modules of the tower that an image passes on its way up to and including a block, by name.

    Args:
        encoder: which one.
        layer: the block, 0-based.
    """
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


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own weights, and those buffers that a checkpoint holds."""
    yield from module.named_parameters(recurse=False)
    for name, buffer in module.named_buffers(recurse=False):
        if name in module.state_dict():
            yield name, buffer


def _hash(weight: Tensor) -> str:
    common = weight.detach().to(torch.bfloat16).cpu().contiguous()
    return f"{list(common.shape)} {hashlib.sha256(common.view(torch.uint8).numpy().tobytes()).hexdigest()[:32]}"
