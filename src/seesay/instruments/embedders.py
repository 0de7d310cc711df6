"""Models that put images and words into one space: CLIP, SigLIP and SigLIP 2."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar, final

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel

from seesay.errors import NotEnoughMemory, NotFinite, UnreadableImage, UnreadableModel
from seesay.images.decoding import in_colour, pixel_hash
from seesay.images.options import BLACK, Colour
from seesay.instruments.reading import reading_of
from seesay.vlm.batches import fitting
from seesay.vlm.blocks import device_of
from seesay.vlm.checkpoints import Checkpoint, reading
from seesay.vlm.identity import model_digest
from seesay.vlm.loading import resolve_device, resolve_dtype

_ALGORITHM = 1  # of this file: raised when the same weights would give other vectors
_N_WORKERS = 8

T = TypeVar("T")


@final
@dataclass(frozen=True)
class _Family:
    """How a kind of model reads texts.

    Args:
        padding: as tokenizers call it.
        takes_mask: whether it is told which tokens are padding.
    """

    padding: bool | str
    takes_mask: bool


# SigLIP's vector of a text is what stands at its last place, which is padding for all but long ones: it was trained
# with all texts padded to one length, and without a mask.
_TO_ONE_LENGTH = _Family("max_length", takes_mask=False)
_FAMILIES: Mapping[str, _Family] = {
    "clip": _Family(padding=True, takes_mask=True),
    "siglip": _TO_ONE_LENGTH,
    "siglip2": _TO_ONE_LENGTH,
}


@final
class ImageTextEmbedder:
    """An image encoder and a text encoder that were trained together.

    Texts are put into lower case, as all of these models were trained on, and cut at the model's length. What stands
    several times in one call is computed once.

    Args:
        model: a `CLIPModel`, `SiglipModel` or `Siglip2Model`, ready to be used.
        image_processor: the checkpoint's.
        tokenizer: the checkpoint's.
        mask_fill: what shall be painted over the patches that it shall not see.
        batch_size: images or texts per pass; halved when memory runs out. It changes nothing but speed, memory and the
            last digits.

    Raises:
        UnreadableModel: a model of another type.
    """

    def __init__(
        self, model: Any, image_processor: Any, tokenizer: Any, *, mask_fill: Colour = BLACK, batch_size: int = 64
    ) -> None:
        model_type = model.config.model_type
        self._family = _family(model_type)
        self._model, self._image_processor, self._tokenizer = model, image_processor, tokenizer
        self._mask_fill, self._batch_size = mask_fill, batch_size
        self._takes = signature(model.get_image_features).parameters
        self._facts = {
            "embedder": model_type,
            "weights": model_digest(model),
            "reading": reading_of(tokenizer, [(model, image_processor)]),
            "mask_fill": list(mask_fill),
            "algorithm": _ALGORITHM,
        }

    def __repr__(self) -> str:
        return f"ImageTextEmbedder({self._model.config.model_type}, on {device_of(self._model)})"

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its vectors depend on."""
        return self._facts

    @property
    def mask_fill(self) -> Colour:
        """What is painted over the patches that it shall not see."""
        return self._mask_fill

    @property
    def dimension(self) -> int:
        """Width of its vectors."""
        config = self._model.config
        return getattr(config, "projection_dim", None) or config.text_config.projection_size

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> Float[Tensor, "image dimension"]:
        """Unit vectors of images, on the CPU in 32 bits.

        Args:
            images: of any size and mode; they are resized as the model's processor does.

        Raises:
            UnreadableImage: an image that cannot be turned into RGB, or that the image processor does not take.
            NotEnoughMemory: a single image does not fit.
            NotFinite: numbers overflowed on the way.
        """
        keys = [pixel_hash(in_colour(image, f"image {number}")) for number, image in enumerate(images)]
        return self._each_once(keys, images, self._of_images, lambda image: f"one image of {_size(image)} pixels")

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "text dimension"]:
        """Unit vectors of texts, on the CPU in 32 bits; an empty text has one, too.

        Args:
            texts: of any length; what is beyond the model's own is not read.

        Raises:
            NotEnoughMemory: a single text does not fit.
            NotFinite: numbers overflowed on the way.
        """
        lowered = [text.lower() for text in texts]
        return self._each_once(lowered, lowered, self._of_texts, lambda _text: "one text")

    def _each_once(
        self, keys: Sequence[str], items: Sequence[T], run: Callable[[Sequence[T]], Tensor], what: Callable[[T], str]
    ) -> Float[Tensor, "item dimension"]:
        """Vectors of all items, of which those of the same key are computed once."""

        def too_large(item: T) -> NotEnoughMemory:
            return NotEnoughMemory(
                f"{what(item)}, and no memory left on {device_of(self._model)}",
                expected="room for a single one",
                remedy="free some memory, or use another --device",
            )

        if not items:
            return torch.zeros(0, self.dimension)
        distinct = dict(zip(keys, items, strict=True))
        vectors = torch.cat(list(fitting(list(distinct.values()), self._batch_size, run, too_large)))
        place = {key: number for number, key in enumerate(distinct)}
        return vectors[[place[key] for key in keys]]

    def _of_images(self, images: Sequence[Image.Image]) -> Float[Tensor, "image dimension"]:
        if device_of(self._model).type == "cpu":  # the model takes the cores itself
            parts = [self._processed(images)]
        else:
            share = -(-len(images) // _N_WORKERS)
            shares = [images[start : start + share] for start in range(0, len(images), share)]
            with ThreadPoolExecutor(_N_WORKERS) as workers:
                parts = list(workers.map(self._processed, shares))
        fed = {name: self._placed(torch.cat([each[name] for each in parts])) for name in parts[0]}
        return _unit(self._model.get_image_features(**fed))

    def _processed(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Several at once, as much of the time goes into calling the processor."""
        try:
            processed = self._image_processor([in_colour(image) for image in images], return_tensors="pt")
        except (ValueError, ZeroDivisionError, IndexError) as error:  # in which way depends on the processor
            if len(images) > 1:  # one of them is named
                parts = [self._processed([image]) for image in images]
                return {name: torch.cat([each[name] for each in parts]) for name in parts[0]}
            raise UnreadableImage(
                f"an image of {_size(images[0])} pixels: {error}",
                expected="one that the embedder's image processor takes",
                remedy="resize it, or leave it out",
            ) from error
        return {name: torch.as_tensor(value) for name, value in processed.items() if name in self._takes}

    def _of_texts(self, texts: Sequence[str]) -> Float[Tensor, "text dimension"]:
        tokens = self._tokenizer(
            list(texts),
            padding=self._family.padding,
            # as all were trained; transformers' class for SigLIP 2 would pad on the left
            padding_side="right",
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        names = ("input_ids", "attention_mask") if self._family.takes_mask else ("input_ids",)
        return _unit(self._model.get_text_features(**{name: self._placed(tokens[name]) for name in names}))

    def _placed(self, value: Tensor) -> Tensor:
        return value.to(device_of(self._model), self._model.dtype if value.is_floating_point() else value.dtype)


def load_embedder(
    name: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    mask_fill: Colour = BLACK,
    batch_size: int = 64,
) -> ImageTextEmbedder:
    """Load a model of images and texts.

    Only safetensors are read and no code that comes with a checkpoint is run.

    Args:
        name: a checkpoint's folder, or its name on the hub.
        device: as for [seesay.load_vlm][].
        dtype: as for [seesay.load_vlm][].
        mask_fill: what shall be painted over the patches that it shall not see.
        batch_size: images or texts per pass.

    Raises:
        UnreadableModel: a checkpoint that is missing, damaged, incomplete, or of a kind that is no embedder.
        UnavailableDevice: a device or number format that this machine does not have.
        NotEnoughMemory: the model does not fit.
    """
    place = resolve_device(device)
    number = resolve_dtype(dtype, place)
    checkpoint = Checkpoint(name, None)
    _family(checkpoint.model_type())
    with reading(checkpoint, place):
        image_processor = checkpoint.read_image_processor(None)
        tokenizer = checkpoint.read_tokenizer("")  # no chat template: it is not talked to
        model = checkpoint.read_weights(AutoModel, number).to(place)
    return ImageTextEmbedder(
        model.eval().requires_grad_(False), image_processor, tokenizer, mask_fill=mask_fill, batch_size=batch_size
    )


def _family(model_type: str) -> _Family:
    if model_type not in _FAMILIES:
        raise UnreadableModel(
            f"a model of type {model_type!r}",
            expected=f"an embedder of images and texts, of type {', '.join(_FAMILIES)}",
            remedy="choose such a model",
        )
    return _FAMILIES[model_type]


def _unit(output: Any) -> Float[Tensor, "item dimension"]:
    vectors = output.pooler_output.float().cpu()
    if not vectors.isfinite().all():
        raise NotFinite(
            "embeddings that are no finite numbers",
            expected="numbers",
            remedy="take another --dtype: what is too large for float16 is not for bfloat16 and float32",
        )
    return functional.normalize(vectors, dim=-1)


def _size(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"
