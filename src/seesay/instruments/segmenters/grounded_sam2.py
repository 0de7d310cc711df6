"""Grounding DINO finds boxes for a phrase, SAM 2 the mask in each of them.

Source: "Grounding DINO", arXiv 2303.05499; "SAM 2", arXiv 2408.00714; the pair is what arXiv 2603.22593 measures with.
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GroundingDinoForObjectDetection, Sam2Model

from seesay.images.grid import Size
from seesay.instruments.instrument import Picture
from seesay.instruments.segmenters.masks import Masks, check_finite, enlarged, most_certain, no_masks
from seesay.instruments.segmenters.pairs import Batch, segmented
from seesay.instruments.segmenters.reading import facts_of, pixels, read_model, read_stretcher, read_words, square
from seesay.vlm.checkpoints import Checkpoint, reading

# transformers' post_process_grounded_object_detection, post_process_masks and image processor of SAM 2
THRESHOLD, MASK_THRESHOLD = 0.25, 0.0
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_BOXES_AT_ONCE = 64


@final
class GroundedSam2:
    """Segments by Grounding DINO and SAM 2.

    Args:
        detector: a loaded `GroundingDinoForObjectDetection`.
        detector_eye: its image processor.
        tokenizer: its.
        masker: a loaded `Sam2Model`.
        masker_eye: its image processor, which stretches.
        threshold: a box is more certain than this.
        mask_threshold: a pixel's logit is above this.
        batch_size: pairs of picture and phrase at a time; halved when memory runs out.
    """

    def __init__(
        self,
        detector: Any,
        detector_eye: Any,
        tokenizer: Any,
        masker: Any,
        masker_eye: Any,
        *,
        threshold: float = THRESHOLD,
        mask_threshold: float = MASK_THRESHOLD,
        batch_size: int = 8,
    ) -> None:
        self.detector, self._detector_eye, self._tokenizer = detector, detector_eye, tokenizer
        self.masker, self._masker_eye = masker, masker_eye
        self._threshold, self._mask_threshold, self._batch_size = threshold, mask_threshold, batch_size
        self._facts = facts_of(
            "grounded-sam2",
            {"weights": (detector, detector_eye), "mask_weights": (masker, masker_eye)},
            tokenizer,
            threshold=threshold,
            mask_threshold=mask_threshold,
        )

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its masks depend on."""
        return self._facts

    @torch.no_grad()
    def segment(self, pictures: Sequence[Picture], phrases: Sequence[str]) -> list[Masks]:
        """Find a phrase in each picture; see [seesay.instruments.instrument.Segmenter][].

        Raises:
            NotEnoughMemory: a single picture does not fit.
            NotFinite: a model's numbers overflowed.
        """
        # Beside a larger picture one would be padded, and the padding seen.
        return segmented(pictures, phrases, self._batch_size, self._run, together=lambda image: image.size)

    def _run(self, batch: Batch) -> list[Masks]:
        boxes = self._boxes(batch)
        needed = sorted({row for row, found in zip(batch.rows, boxes, strict=True) if len(found)})
        if not needed:
            return [no_masks(size) for size in batch.sizes]
        seen = pixels(self._masker_eye, [batch.images[row] for row in needed], self.masker)
        levels = self.masker.get_image_embeddings(seen)
        masks: list[Masks] = []
        for row, found, size in zip(batch.rows, boxes, batch.sizes, strict=True):
            if not len(found):
                masks.append(no_masks(size))
                continue
            at = needed.index(row)
            masks.append(self._masks([level[at : at + 1] for level in levels], found, size))
        return masks

    def _boxes(self, batch: Batch) -> list[Float[Tensor, "box 4"]]:
        seen = pixels(self._detector_eye, batch.images, self.detector)
        words = self._tokenizer(
            [prompt(phrase) for phrase in batch.phrases],
            padding=True,
            truncation=True,
            max_length=self.detector.config.max_text_len,
            return_token_type_ids=True,
            return_tensors="pt",
        ).to(seen.device)
        found = self.detector(
            pixel_values=seen[torch.tensor(batch.rows, device=seen.device)],
            **{name: words[name] for name in ("input_ids", "token_type_ids", "attention_mask")},
        )
        return [
            boxes_of(logits, boxes, self._threshold)
            for logits, boxes in zip(found.logits, found.pred_boxes, strict=True)
        ]

    def _masks(self, levels: list[Tensor], boxes: Float[Tensor, "box 4"], size: Size) -> Masks:
        side = self._masker_eye.size
        scale = torch.tensor([side["width"], side["height"]] * 2, device=boxes.device)
        logits: list[Tensor] = []
        for some in (boxes * scale).to(levels[0].device).split(_BOXES_AT_ONCE):
            found = self.masker(image_embeddings=levels, input_boxes=some[None], multimask_output=False)
            logits.append(found.pred_masks[0, :, 0])
        whole = torch.cat(logits)
        check_finite(whole)
        return enlarged(whole, size, self._mask_threshold)


def prompt(phrase: str) -> str:
    """Write a phrase as Grounding DINO was trained to read it: in lower case, with a full stop."""
    text = phrase.strip().lower()
    return text if text.endswith(".") else f"{text}."


def boxes_of(
    logits: Float[Tensor, "query token"], boxes: Float[Tensor, "query 4"], threshold: float = THRESHOLD
) -> Float[Tensor, "box 4"]:
    """Choose boxes of what Grounding DINO answers, as transformers' `post_process_grounded_object_detection` does.

    Args:
        logits: of each token's being what is in the box; minus infinity where there is no token.
        boxes: centre, width and height, as shares of the picture's.
        threshold: as for `GroundedSam2`.

    Returns:
        Left, top, right and bottom, as shares of the picture's width and height, the most certain first.

    Raises:
        NotFinite: numbers overflowed.
    """
    check_finite(boxes)
    chosen = most_certain(logits.float().sigmoid().amax(-1), threshold)
    x, y, width, height = boxes[chosen].float().unbind(-1)
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1)


def load_grounded_sam2(
    detector: Checkpoint, masker: Checkpoint, place: torch.device, number: torch.dtype
) -> GroundedSam2:
    """Read Grounding DINO and SAM 2.

    Args:
        detector: of a model of type `grounding-dino`.
        masker: of a model of type `sam2`, or of `sam2_video`, whose image model it is: the hub keeps both as one.
        place: their device.
        number: their number format.

    Raises:
        UnreadableModel: one of them is damaged or not complete.
        NotEnoughMemory: they do not fit.
    """
    with reading(detector, place):
        tokenizer = read_words(detector)
        detector_eye = detector.read_image_processor("GroundingDinoImageProcessor")
        boxes = read_model(detector, GroundingDinoForObjectDetection, place, number)
    with reading(masker, place):
        masks = read_model(masker, Sam2Model, place, number)
        masker_eye = read_stretcher(masker, square(masks.config.prompt_encoder_config.image_size), _MEAN, _STD)
    return GroundedSam2(boxes, detector_eye, tokenizer, masks, masker_eye)
