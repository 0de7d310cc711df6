"""A vision-language model without its weights: what its configuration alone tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

from seesay.errors import UnreadableModel
from seesay.planning.hollow import hollow_out
from seesay.vlm import VLM
from seesay.vlm.checkpoints import Checkpoint, reading
from seesay.vlm.families import VLMFamily, vlm_family
from seesay.vlm.geometry import side
from seesay.vlm.loading import Quantization, prompts_of

Part = Literal["vision tower", "projector", "language model"]

_BLOCK_4BIT = 64
"""Weights that share a scale in bitsandbytes' 4-bit format (nf4); the scale has four bytes."""


@final
@dataclass(frozen=True)
class Weights:
    """The weights of a part of a model.

    Args:
        n_parameters: each counted once, if several modules share it, too.
        n_bytes: what they take in memory.
    """

    n_parameters: int
    n_bytes: int


@final
@dataclass(frozen=True, eq=False)
class Outline:
    """A model that can be run, but computes no numbers.

    Args:
        vlm: the model.
        weights: of its parts.
    """

    vlm: VLM
    weights: Mapping[Part, Weights]


def outline(
    name_or_path: str | Path,
    dtype: torch.dtype,
    *,
    prompts: str | Path | None = None,
    quantize: Quantization | None = None,
    revision: str | None = None,
) -> Outline:
    """Build a model from its configuration and tokenizer; nothing else is read or downloaded.

    Args:
        name_or_path: a checkpoint's folder, or its name on the hub.
        dtype: number format of its weights.
        prompts: as for [seesay.vlm.loading.load_vlm][].
        quantize: how few bits the language model is to be kept in.
        revision: branch, tag or commit on the hub.

    Raises:
        UnreadableModel: a configuration or a tokenizer that is missing, damaged, or of a kind that is not known.
        UnreadablePrompt: a folder of prompts that cannot be read.
    """
    checkpoint = Checkpoint(name_or_path, revision)
    family = vlm_family(checkpoint.model_type())
    if quantize is not None and checkpoint.is_quantized():
        raise UnreadableModel(f"{name_or_path} is quantised already", expected="no quantize", remedy="leave it out")
    with reading(checkpoint, torch.device("cpu")):
        config = checkpoint.read(AutoConfig)
        tokenizer = checkpoint.read_tokenizer(family.chat_template, **family.tokenizer_options)
        image_processor = _image_processor(checkpoint, config, family)
        with torch.device("meta"):
            model: Any = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    model.eval().requires_grad_(False)
    weights = weights_of(model, family, dtype, quantize)
    hollow_out(model, dtype)
    vlm = VLM(model, image_processor, tokenizer, prompts_of(name_or_path, prompts))
    model.generation_config.eos_token_id = 1  # what is said is zeros, which shall not end it
    return Outline(vlm, weights)


def weights_of(
    model: nn.Module, family: VLMFamily, dtype: torch.dtype, quantize: Quantization | None = None
) -> dict[Part, Weights]:
    """Count a model's weights by its parts.

    Args:
        model: of any device, not quantised.
        family: facts about its kind.
        dtype: number format that they are to be kept in.
        quantize: how few bits the language model's are to be kept in.
    """
    counts: dict[Part, list[int]] = {"vision tower": [0, 0], "projector": [0, 0], "language model": [0, 0]}
    few = _quantised(model, family) if quantize else set[int]()
    for name, parameter in model.named_parameters():
        count = counts[_part_of(name, family)]
        count[0] += parameter.numel()
        if id(parameter) in few:
            assert quantize is not None
            count[1] += _n_bytes_in_few_bits(parameter.shape, quantize)
        else:
            count[1] += parameter.numel() * dtype.itemsize
    return {part: Weights(*count) for part, count in counts.items()}


def _part_of(name: str, family: VLMFamily) -> Part:
    if name.startswith(f"{family.tower}."):
        return "vision tower"
    return "projector" if family.bridge and name.startswith(f"{family.bridge}.") else "language model"


def _quantised(model: nn.Module, family: VLMFamily) -> set[int]:
    """The weights that bitsandbytes replaces: those of the language model's linear layers, but for its head's."""
    return {
        id(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and _part_of(name, family) == "language model" and name != "lm_head"
    }


def _n_bytes_in_few_bits(shape: torch.Size, quantize: Quantization) -> int:
    n = shape.numel()
    if quantize == "8bit":
        return n + 4 * shape[0]
    return -(-n // 2) + 4 * -(-n // _BLOCK_4BIT)


def _image_processor(checkpoint: Checkpoint, config: Any, family: VLMFamily) -> Any:
    """The checkpoint's own; or, where only its settings are missing, the family's, for the images of the encoder."""
    try:
        return checkpoint.read_image_processor(family.encoder.image_processor)
    except UnreadableModel:
        kind = getattr(transformers, str(IMAGE_PROCESSOR_MAPPING_NAMES[config.model_type]["pil"]))
    vision = config.vision_config
    options: dict[str, Any] = {}
    if hasattr(vision, "image_size"):
        edge = side(vision.image_size)
        square = {"height": edge, "width": edge}
        if "height" in (kind.size or {}):
            options["size"] = square
        elif "shortest_edge" in (kind.size or {}) and getattr(kind, "crop_size", None):
            options |= {"size": {"shortest_edge": edge}, "crop_size": square}
    if isinstance(getattr(kind, "patch_size", None), int):
        options["patch_size"] = side(vision.patch_size)
    if hasattr(kind, "merge_size"):
        options["merge_size"] = vision.spatial_merge_size
    return kind(**options)
