"""What the language model reads of an image, out of the model's own output and back into it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from seesay.images.grid import Grid
from seesay.vlm.geometry import Geometry


@final
@dataclass(frozen=True, eq=False)
class ImageTokens:
    """What the language model reads of one image.

    Args:
        tokens: its image tokens.
        grid: rows and columns of the patches that they were made of.
        deeper: what is added to them after the language model's first layers (Qwen3-VL), one entry a layer.
    """

    tokens: Float[Tensor, "token d_lm"]
    grid: Grid
    deeper: tuple[Float[Tensor, "token d_lm"], ...] = ()

    def apart(self) -> "ImageTokens":
        """The same in tensors of its own, so that it can be kept while others of its batch are let go."""
        return ImageTokens(self.tokens.clone(), self.grid, tuple(each.clone() for each in self.deeper))

    @property
    def n_bytes(self) -> int:
        """That its tensors take."""
        return sum(each.nbytes for each in (self.tokens, *self.deeper))


def unpack(output: Any, geometries: Sequence[Geometry]) -> list[ImageTokens]:
    """Take a model's output for several images apart.

    Args:
        output: of `get_image_features`; its tokens are a tensor `[image, token, d_lm]` or one tensor per image.
        geometries: of the images.
    """
    deeper_by_layer: Sequence[Sequence[Tensor]] = getattr(output, "deepstack_features", None) or ()
    return [
        ImageTokens(tokens, geometry.grid, tuple(layer[number] for layer in deeper_by_layer))
        for number, (tokens, geometry) in enumerate(zip(output.pooler_output, geometries, strict=True))
    ]


def pack(images: Sequence[ImageTokens], *, stacked: bool) -> BaseModelOutputWithPooling:
    """Put images together as the model's own `forward` and `generate` take them.

    Args:
        images: at least one, row after row.
        stacked: as one tensor, which asks for as many tokens of each; otherwise as a list.
    """
    each = [image.tokens for image in images]
    # Annotated as FloatTensor there, which a list is not, though most families return one.
    tokens: Any = torch.stack(each) if stacked else each
    if not images[0].deeper:
        return BaseModelOutputWithPooling(pooler_output=tokens)
    from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

    by_layer: Any = [list(layer) for layer in zip(*(image.deeper for image in images), strict=True)]
    return BaseModelOutputWithDeepstackFeatures(pooler_output=tokens, deepstack_features=by_layer)
