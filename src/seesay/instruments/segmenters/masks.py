"""Masks out of what a model answers.

transformers' own processors of SAM 2 and SAM 3 need torchvision, which seesay does not ask for. They enlarge masks by
bilinear interpolation; the same is done here.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seesay.errors import NotFinite
from seesay.images.grid import Size

Masks = Bool[np.ndarray, "instance height width"]


def no_masks(size: Size) -> Masks:
    """No instance at all.

    Args:
        size: width and height of the picture.
    """
    return np.zeros((0, size[1], size[0]), dtype=bool)


def enlarged(values: Float[Tensor, "candidate low_height low_width"], size: Size, threshold: float) -> Masks:
    """Enlarge masks to a picture, as transformers' processors do; those that have no pixel left are left out.

    Args:
        values: how sure the model is of each of its pixels, in whatever unit, the most certain instance first.
        size: width and height of the picture.
        threshold: what belongs to an instance is above it.
    """
    if not len(values):
        return no_masks(size)
    wanted = (size[1], size[0])
    whole = torch.nn.functional.interpolate(values.float()[None], wanted, mode="bilinear", align_corners=False)[0]
    masks = whole > threshold
    return masks[masks.flatten(1).any(1)].cpu().numpy()


def most_certain(scores: Float[Tensor, " candidate"], threshold: float) -> Tensor:
    """Choose candidates.

    Args:
        scores: how certain each is.
        threshold: those above it are chosen.

    Returns:
        Their places, the most certain first; of equal ones the earlier.

    Raises:
        NotFinite: numbers overflowed on the way.
    """
    check_finite(scores)
    order = scores.argsort(descending=True, stable=True)
    return order[scores[order] > threshold]


def check_finite(values: Tensor) -> None:
    """Refuse what an overflow has left behind: it would read as nothing found.

    Args:
        values: of any shape.

    Raises:
        NotFinite: they are not all numbers.
    """
    if not values.isfinite().all():
        raise NotFinite(
            "a segmenter's answers that are no finite numbers",
            expected="numbers",
            remedy="take another number format: what is too large for float16 is not for bfloat16 and float32",
        )
