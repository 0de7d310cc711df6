"""What is kept of each feature while images go by. Free of torch, so that the command line starts at once."""

from dataclasses import dataclass
from typing import Literal

Reduction = Literal["mean", "max"]
"""What makes one activation of an image's patches."""


@dataclass(frozen=True)
class CollectionConfig:
    """What is collected; all numbers are per feature, and per part (explaining and scoring) where images are meant.

    Args:
        reduction: an image's activation is the mean (the paper's) or the maximum over its patches.
        n_top: the most activating images.
        n_quantiles: parts, from the least to the most, into which the activating images are divided.
        n_per_quantile: images from each of them.
        n_sampled: activating images, a random sample, by which the quantiles are found and filled.
        n_inactive: images that do not activate it.
        n_background: images from all, a random sample, from which the inactive ones are taken: a feature that is
            active on nearly every image has fewer.
        n_patches: patches, a random sample of those it is active on, by which is told what it fires together with.
        n_together: features that most often fire together with it.
        n_nearest: features of the nearest directions.
    """

    reduction: Reduction = "mean"
    n_top: int = 10
    n_quantiles: int = 4
    n_per_quantile: int = 5
    n_sampled: int = 40
    n_inactive: int = 10
    n_background: int = 400
    n_patches: int = 32
    n_together: int = 8
    n_nearest: int = 8
