"""Phrases that fit a feature's most activating images best: CLIP-Dissect's soft weighted pointwise mutual information.

Source: Oikarinen & Weng, "CLIP-Dissect", arXiv 2204.10965, and its code.

Shape suffixes: n images of a feature, w phrases.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.errors import UnusablePath

N_TOP = 100
"""At most so many of a feature's images are looked at."""

_TEMPERATURE = 10.0  # a factor of cosines, as the original has it
_FIRST, _LAST = 0.998, 0.97
_MIN_PROBABILITY = 1e-7
_N_AT_ONCE = 1 << 22  # numbers


def soft_wpmi(
    similarity: Float[Tensor, "image phrase"], top_images: Sequence[Sequence[int]]
) -> Float[Tensor, "feature phrase"]:
    """Tell how well each phrase fits each feature.

    The probability s of a phrase for an image is a softmax over all phrases of ten times the cosine. A feature's
    images are a soft set: its n-th image belongs to it with p_n = 0.998 - n / N * 0.028, counted from 0, and the
    logarithm of the phrase's probability for the feature is the sum over its N images of log(1 + p_n (s - 1)). From
    it is taken the logarithm of its mean over features: a phrase that fits everything fits nothing.

    As in the original code, the last of a feature's p_n lies a step above 0.97, and 1e-7 is added to what the logarithm
    is taken of. The original has 100 images for every feature. A feature with fewer has its p_n spread over those there
    are; if others have more, its sum is enlarged in the same proportion, as if its images stood there repeatedly: its
    probability, a product of fewer factors, would else be larger by magnitudes, and the mean would be its alone.

    Args:
        similarity: cosines of images and phrases.
        top_images: of each feature its images, as rows of `similarity`, the most activating first; no more than the
            first 100 are looked at.

    Returns:
        In nats; the best phrase has the largest. NaN for a feature without images, which counts nowhere.
    """
    if not similarity.is_floating_point() or similarity.dtype.itemsize < 4:
        similarity = similarity.float()
    normalisers = _normalisers(similarity)
    chosen = [list(images[:N_TOP]) for images in top_images]
    n_most = max(map(len, chosen), default=0)
    found = similarity.new_full((len(chosen), similarity.shape[1]), torch.nan)
    for row, images in zip(found, chosen, strict=True):  # one by one, as all together would not fit
        if images:
            s_nw = (_TEMPERATURE * similarity[images] - normalisers[images]).exp()
            places = torch.arange(len(images), device=similarity.device, dtype=torch.float64)
            p_n = _FIRST - places / len(images) * (_FIRST - _LAST)
            # 1 + p (s - 1) in a form that does not take nearly equal numbers from each other
            fits_nw = (1 - p_n).to(s_nw)[:, None] + p_n.to(s_nw)[:, None] * s_nw
            row.copy_((fits_nw + _MIN_PROBABILITY).log().sum(0) * (n_most / len(images)))
    has_images = torch.tensor([bool(images) for images in chosen], dtype=torch.bool, device=similarity.device)
    n_told = int(has_images.sum())
    if not n_told:
        return found
    return found - (found[has_images].logsumexp(0) - math.log(n_told))


def read_vocabulary(path: str | Path) -> list[str]:
    """Read the phrases that can be said.

    Args:
        path: a text file in UTF-8, one phrase a line. Blank lines and repeated ones are left out.

    Returns:
        In the order of the file.

    Raises:
        UnusablePath: it cannot be read, or holds no phrase.
    """
    expected = "a text file in UTF-8, one phrase a line"
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, ValueError) as error:  # no UTF-8, or a name that cannot be one, is a ValueError
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UnusablePath(f"cannot read {path}: {why}", expected=expected) from error
    phrases = list(dict.fromkeys(filter(None, (" ".join(line.split()) for line in text.splitlines()))))
    if not phrases:
        raise UnusablePath(f"{path} holds no phrase", expected=expected)
    return phrases


def _normalisers(similarity: Float[Tensor, "image phrase"]) -> Float[Tensor, "image 1"]:
    """Of each image, the logarithm of what its probabilities are divided by, without a copy of them all."""
    n_rows = max(1, _N_AT_ONCE // max(1, similarity.shape[1]))
    parts = [(_TEMPERATURE * part).logsumexp(1, keepdim=True) for part in similarity.split(n_rows)]
    return torch.cat(parts)
