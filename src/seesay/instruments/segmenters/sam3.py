"""SAM 3: one model that finds every instance of a noun phrase.

Source: "SAM 3: Segment Anything with Concepts", arXiv 2511.16719.
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Sam3Model

from seesay.images.grid import Size
from seesay.instruments.instrument import Picture
from seesay.instruments.segmenters.masks import Masks, enlarged, most_certain
from seesay.instruments.segmenters.pairs import Batch, segmented
from seesay.instruments.segmenters.reading import facts_of, pixels, read_model, read_stretcher, read_words, square
from seesay.vlm.checkpoints import Checkpoint, reading

# transformers' post_process_instance_segmentation and image processor
THRESHOLD, MASK_THRESHOLD = 0.3, 0.5
_MEAN = _STD = (0.5, 0.5, 0.5)


@final
class Sam3:
    """Segments by SAM 3.

    Args:
        model: a loaded `Sam3Model`.
        eye: its image processor, which stretches.
        tokenizer: its.
        threshold: an instance is more certain than this: its own probability times that of the phrase being there.
        mask_threshold: a pixel of an instance is more probable than this.
        batch_size: pairs of picture and phrase at a time; halved when memory runs out.
    """

    def __init__(
        self,
        model: Any,
        eye: Any,
        tokenizer: Any,
        *,
        threshold: float = THRESHOLD,
        mask_threshold: float = MASK_THRESHOLD,
        batch_size: int = 8,
    ) -> None:
        self.model, self._eye, self._tokenizer = model, eye, tokenizer
        self._threshold, self._mask_threshold, self._batch_size = threshold, mask_threshold, batch_size
        self._facts = facts_of(
            "sam3", {"weights": (model, eye)}, tokenizer, threshold=threshold, mask_threshold=mask_threshold
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
            NotFinite: the model's numbers overflowed.
        """
        return segmented(pictures, phrases, self._batch_size, self._run)

    def _run(self, batch: Batch) -> list[Masks]:
        seen = self.model.get_vision_features(pixels(self._eye, batch.images, self.model))
        rows = torch.tensor(batch.rows, device=seen.fpn_hidden_states[0].device)
        of_pairs = type(seen)(
            fpn_hidden_states=tuple(each[rows] for each in seen.fpn_hidden_states),
            fpn_position_encoding=tuple(each[rows] for each in seen.fpn_position_encoding),
        )
        words = self._tokenizer(
            list(batch.phrases),
            padding="max_length",
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(rows.device)
        found = self.model(vision_embeds=of_pairs, input_ids=words["input_ids"], attention_mask=words["attention_mask"])
        return [
            instances(*each, size=size, threshold=self._threshold, mask_threshold=self._mask_threshold)
            for *each, size in zip(
                found.pred_logits, found.presence_logits[:, 0], found.pred_masks, batch.sizes, strict=True
            )
        ]


def instances(
    logits: Float[Tensor, " query"],
    presence: Float[Tensor, ""],
    masks: Float[Tensor, "query low_height low_width"],
    size: Size,
    threshold: float = THRESHOLD,
    mask_threshold: float = MASK_THRESHOLD,
) -> Masks:
    """Make masks of what SAM 3 answers, as transformers' `post_process_instance_segmentation` does.

    Args:
        logits: of each query's being an instance, if there is any.
        presence: logit of there being any.
        masks: logits of each pixel.
        size: width and height of the picture.
        threshold: as for `Sam3`.
        mask_threshold: as for `Sam3`.

    Raises:
        NotFinite: numbers overflowed.
    """
    chosen = most_certain(logits.float().sigmoid() * presence.float().sigmoid(), threshold)
    return enlarged(masks[chosen].float().sigmoid(), size, mask_threshold)


def load_sam3(checkpoint: Checkpoint, place: torch.device, number: torch.dtype) -> Sam3:
    """Read SAM 3.

    Args:
        checkpoint: of a model of type `sam3`, or of `sam3_video`, whose detector it is: the hub keeps both as one.
        place: its device.
        number: its number format.

    Raises:
        UnreadableModel: it is damaged or not complete.
        NotEnoughMemory: it does not fit.
    """
    with reading(checkpoint, place):
        tokenizer = read_words(checkpoint)
        model = read_model(checkpoint, Sam3Model, place, number)
        eye = read_stretcher(checkpoint, square(model.config.vision_config.image_size), _MEAN, _STD)
    return Sam3(model, eye, tokenizer)
