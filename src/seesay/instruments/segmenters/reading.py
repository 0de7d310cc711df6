"""Reading a segmenter's parts, and turning pictures into what it takes.

transformers' own processors of SAM 2 and SAM 3 need torchvision, which seesay does not ask for. They stretch an image
to the model's size, as ViT's does, which Pillow suffices for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, ViTImageProcessorPil
from transformers.image_processing_base import ImageProcessingMixin

from seesay.errors import UnreadableModel
from seesay.images.grid import Size
from seesay.instruments.reading import reading_of
from seesay.vlm.blocks import device_of
from seesay.vlm.checkpoints import Checkpoint
from seesay.vlm.identity import model_digest

ALGORITHM = 1
"""Raised when the same model would give other masks."""

_OF_PICTURES = ("image_mean", "image_std", "resample", "rescale_factor")


def read_stretcher(checkpoint: Checkpoint, side: Size, mean: Sequence[float], std: Sequence[float]) -> Any:
    """Read how a model wants its pixels that sees every image stretched to one size.

    Args:
        checkpoint: the model's, with the settings of an image processor.
        side: width and height that the model takes.
        mean: of red, green and blue, if the settings do not say.
        std: likewise.

    Returns:
        An image processor that works with Pillow.
    """
    revision = {} if checkpoint.revision is None else {"revision": checkpoint.revision}
    told, _ = ImageProcessingMixin.get_image_processor_dict(checkpoint.name_or_path, **revision)
    settings: dict[str, Any] = {"image_mean": list(mean), "image_std": list(std)}
    settings |= {name: told[name] for name in _OF_PICTURES if told.get(name) is not None}
    return ViTImageProcessorPil(**settings, size={"height": side[1], "width": side[0]})


def pixels(processor: Any, images: Sequence[Image.Image], model: Any) -> Float[Tensor, "image 3 height width"]:
    """Turn images into what a model takes, on its device and in its number format.

    Args:
        processor: of images of one size, or that makes one size of all.
        images: RGB.
        model: which.
    """
    values = processor(list(images), return_tensors="pt")["pixel_values"]
    return values.to(device_of(model), model.dtype)


def square(side: Any) -> Size:
    """Width and height from a configuration's `image_size`, a number or height and width."""
    if isinstance(side, int):
        return side, side
    height, width = side
    return int(width), int(height)


def read_model(checkpoint: Checkpoint, kind: Any, place: torch.device, number: torch.dtype) -> Any:
    """Read a model for images, alone or out of a model for videos, as which the hub keeps both SAMs.

    Args:
        checkpoint: the model's.
        kind: its class.
        place: its device.
        number: its number format.

    Raises:
        UnreadableModel: it is not complete.
    """
    # The configuration is read by hand: transformers would warn of another model type.
    told: dict[str, Any] = kind.config_class.get_config_dict(checkpoint.name_or_path, revision=checkpoint.revision)[0]
    told = dict(told.get("detector_config") or told) | {"model_type": kind.config_class.model_type}
    model = checkpoint.read_weights(kind, number, config=kind.config_class.from_dict(told))
    return model.to(place).eval().requires_grad_(False)


def read_words(checkpoint: Checkpoint) -> Any:
    """Read the tokenizer of a model's text encoder, with something to pad with.

    Args:
        checkpoint: the model's.

    Raises:
        UnreadableModel: there is none.
    """
    tokenizer = checkpoint.read(AutoTokenizer)
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):  # where files are missing, one without words
        raise UnreadableModel(
            f"{checkpoint.name_or_path} has no tokenizer",
            expected="tokenizer.json and tokenizer_config.json",
            remedy="download it again",
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def facts_of(kind: str, parts: Mapping[str, tuple[Any, Any]], tokenizer: Any, **settings: float) -> Mapping[str, Any]:
    """All that a segmenter's masks depend on.

    Args:
        kind: of the segmenter.
        parts: by name, `weights` the first, its models with their image processors.
        tokenizer: of the phrases.
        settings: its thresholds.
    """
    weights = {name: model_digest(model) for name, (model, _) in parts.items()}
    reading = reading_of(tokenizer, list(parts.values()))
    return {"segmenter": kind, **weights, "reading": reading, **settings, "algorithm": ALGORITHM}
