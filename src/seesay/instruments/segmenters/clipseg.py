"""CLIPSeg: a light decoder on CLIP that marks what a phrase says, without telling instances apart.

Source: "Image Segmentation Using Text and Image Prompts", arXiv 2112.10003.
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPSegForImageSegmentation

from seesay.images.grid import Size
from seesay.instruments.instrument import Picture
from seesay.instruments.segmenters.masks import Masks, check_finite, enlarged
from seesay.instruments.segmenters.pairs import Batch, segmented
from seesay.instruments.segmenters.reading import facts_of, pixels, read_model, read_words
from seesay.vlm.checkpoints import Checkpoint, reading

THRESHOLD = 0.5
"""A pixel is more probable than not."""


@final
class CLIPSeg:
    """Segments by CLIPSeg: one mask of all that fits, or none.

    Args:
        model: a loaded `CLIPSegForImageSegmentation`.
        eye: its image processor, which stretches.
        tokenizer: its.
        threshold: a pixel of the mask is more probable than this.
        batch_size: pairs of picture and phrase at a time; halved when memory runs out.
    """

    def __init__(
        self, model: Any, eye: Any, tokenizer: Any, *, threshold: float = THRESHOLD, batch_size: int = 32
    ) -> None:
        self.model, self._eye, self._tokenizer = model, eye, tokenizer
        self._threshold, self._batch_size = threshold, batch_size
        self._facts = facts_of("clipseg", {"weights": (model, eye)}, tokenizer, threshold=threshold)

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its masks depend on."""
        return self._facts

    @torch.no_grad()
    def segment(self, pictures: Sequence[Picture], phrases: Sequence[str]) -> list[Masks]:
        """Find a phrase in each picture; see [seesay.instruments.instrument.Segmenter][].

        Raises:
            NotEnoughMemory: a single picture does not fit.
            NotFinite: the model's numbers overflowed.
        """
        return segmented(pictures, phrases, self._batch_size, self._run)

    def _run(self, batch: Batch) -> list[Masks]:
        seen = pixels(self._eye, batch.images, self.model)
        words = self._tokenizer(
            list(batch.phrases),
            padding=True,
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(seen.device)
        found = self.model(
            pixel_values=seen[torch.tensor(batch.rows, device=seen.device)],
            input_ids=words["input_ids"],
            attention_mask=words["attention_mask"],
        )
        # a single pair comes without its axis
        logits = found.logits.reshape(len(batch.rows), *found.logits.shape[-2:])
        return [marked(each, size, self._threshold) for each, size in zip(logits, batch.sizes, strict=True)]


def marked(logits: Float[Tensor, "low_height low_width"], size: Size, threshold: float = THRESHOLD) -> Masks:
    """Make a mask of what CLIPSeg answers.

    Args:
        logits: of each pixel's showing what the phrase says.
        size: width and height of the picture.
        threshold: as for `CLIPSeg`.

    Raises:
        NotFinite: numbers overflowed.
    """
    check_finite(logits)
    return enlarged(logits.float().sigmoid()[None], size, threshold)


def load_clipseg(checkpoint: Checkpoint, place: torch.device, number: torch.dtype) -> CLIPSeg:
    """Read CLIPSeg.

    Args:
        checkpoint: of a model of type `clipseg`.
        place: its device.
        number: its number format.

    Raises:
        UnreadableModel: it is damaged or not complete.
        NotEnoughMemory: it does not fit.
    """
    with reading(checkpoint, place):
        tokenizer = read_words(checkpoint)
        # CLIPSeg was published with the image processor of ViT, and with a size that its configuration does not tell.
        eye = checkpoint.read_image_processor("ViTImageProcessor")
        model = read_model(checkpoint, CLIPSegForImageSegmentation, place, number)
    return CLIPSeg(model, eye, tokenizer)
