"""How alike the images are that activate a feature, weighed by activation, from one pass over all images.

Shape suffixes: f features, b features that are active in the batch, i images, c pairs, d dimension.
"""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from seesay.exemplars.activity import Pairs
from seesay.scorers.scorer import Item, Measured

_NEGLIGIBLE = 1e-10
"""Share of the square of a feature's summed activations that the weights of its pairs of images must exceed.

Below it they are what is left by rounding; no activation in 32 bits that means anything comes near it.
"""


@final
class Monosemanticity:
    """The activation-weighted mean cosine of all pairs of images, for all features, in O(images).

    With unit vectors v and activations s, scaled so that a feature's least one is 0 and its largest 1,
    MS = sum over pairs of s s' v v' / sum over pairs of s s' = (norm(sum s v)^2 - sum s^2) / ((sum s)^2 - sum s^2).
    The largest and the least are known only at the end. As s = (a - least) / (largest - least) is linear in the
    activation a, and the range cancels out, sums of a v, v, a and a^2 suffice. An image that does not activate a
    feature makes its least one 0.

    Sources: Pach et al., arXiv 2504.02821, who sum over pairs; arXiv 2602.12403, who do it in one pass, too.

    Args:
        n_features: that the SAE has.
    """

    def __init__(self, n_features: int) -> None:
        def zeros() -> Tensor:
            return torch.zeros(n_features, dtype=torch.float64)

        self._n_features = n_features
        self._sum_f, self._sum_of_squares_f, self._n_active_f = zeros(), zeros(), zeros()
        self._largest_f, self._least_f = zeros(), zeros() + torch.inf
        self._weighted_fd = torch.zeros(n_features, 0, dtype=torch.float64)
        self._vectors_d = torch.zeros(0, dtype=torch.float64)
        self._n_images = 0

    def add(self, vectors: Float[Tensor, "image dimension"], active: Pairs) -> None:
        """Take in some images.

        Args:
            vectors: unit vectors, of images that were not taken in before.
            active: which features they activate and how strongly, each pair once; an image's place is its row in
                `vectors`. On whatever device.
        """
        # A length that is 1 but for rounding would show: the squares are taken from a sum that may hardly exceed them.
        vectors_id = functional.normalize(vectors.cpu().double(), dim=1)
        if not self._n_images:
            dimension = vectors_id.shape[1]
            self._weighted_fd = torch.zeros(self._n_features, dimension, dtype=torch.float64)
            self._vectors_d = torch.zeros(dimension, dtype=torch.float64)
        self._n_images += len(vectors_id)
        self._vectors_d += vectors_id.sum(0)
        feature_c, image_c = active.feature_ids.cpu(), active.images.cpu()
        activation_c = active.activations.cpu().double()
        self._sum_f.index_add_(0, feature_c, activation_c)
        self._sum_of_squares_f.index_add_(0, feature_c, activation_c**2)
        self._n_active_f.index_add_(0, feature_c, torch.ones_like(activation_c))
        self._largest_f.scatter_reduce_(0, feature_c, activation_c, "amax")
        self._least_f.scatter_reduce_(0, feature_c, activation_c, "amin")
        # Only the features of the batch: a product for all of them would be mostly zeros.
        feature_b, row_c = feature_c.unique(return_inverse=True)
        activation_bi = torch.zeros(len(feature_b), len(vectors_id), dtype=torch.float64)
        activation_bi[row_c, image_c] = activation_c
        self._weighted_fd.index_add_(0, feature_b, activation_bi @ vectors_id)

    def values(self) -> Float64[Tensor, " feature"]:
        """The score of each feature, -1 to 1.

        NaN for a dead feature, for one that all images activate alike, and for one that a single image activates more
        than the least: there is no pair of images then.
        """
        n = self._n_images
        least_f = torch.where(self._n_active_f < n, 0.0, self._least_f)
        is_varied_f = (self._n_active_f > 0) & (self._largest_f > least_f)
        least_f = torch.where(is_varied_f, least_f, 0.0)  # infinite where there are no images at all
        squares_f = self._sum_of_squares_f - 2 * least_f * self._sum_f + n * least_f**2
        shifted_fd = self._weighted_fd - least_f[:, None] * self._vectors_d
        pairs_f = (self._sum_f - n * least_f) ** 2 - squares_f
        is_told_f = is_varied_f & (pairs_f > _NEGLIGIBLE * self._sum_f**2)
        return torch.where(is_told_f, (shifted_fd.square().sum(1) - squares_f) / pairs_f, torch.nan)

    def measured(self, items: Sequence[Item]) -> list[Measured]:
        """The score of some features, as the other scores give it.

        Args:
            items: features; what is said of them does not matter.
        """
        values = self.values().tolist()
        return [self._measured(item.feature_id, values[item.feature_id]) for item in items]

    def _measured(self, feature_id: int, value: float) -> Measured:
        if value == value:
            return Measured(value)
        is_dead = not self._n_active_f[feature_id]
        return Measured(None, reason="no image activates it" if is_dead else "fewer than two images tell it apart")
