"""What is kept of each feature while images go by. Free of torch, so that the command line starts at once."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from seesay.errors import InvalidCollection, check_choice

Part = Literal["explaining", "scoring"]
PARTS: tuple[Part, ...] = ("explaining", "scoring")
"""What an image may be used for: to explain a feature, or to score the explanation; never for both."""

Kind = Literal["top", "quantile", "inactive"]
"""Why an image is an exemplar: it activates the feature most; or stands for a part of all that do; or does not."""

KINDS: tuple[Kind, ...] = ("top", "quantile", "inactive")

MOST = 1000
"""Images of one kind that may be kept of a feature."""

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

    def __post_init__(self) -> None:
        check_choice(self.reduction, get_args(Reduction), "reduction")
        for field in fields(self):
            n = getattr(self, field.name)
            if field.name != "reduction" and not 1 <= n <= MOST:
                raise InvalidCollection(f"{field.name} {n}", expected=f"1 to {MOST}")
        if not self.n_quantiles * self.n_per_quantile <= self.n_sampled:
            raise InvalidCollection(
                f"{self.n_quantiles} quantiles of {self.n_per_quantile} images, from a sample of {self.n_sampled}",
                expected="a sample of as many images",
            )
