"""Which features are active on which patches of a batch of images, sorted so that each heatmap is one piece.

Shape suffixes: e entries (a feature active on a patch), c pairs (a feature active on an image).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, assert_never, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.errors import NotFinite
from seesay.exemplars.config import Reduction
from seesay.sae.model import SAE, Codes
from seesay.vlm.encoded import Encoded


@final
@dataclass(frozen=True, eq=False)
class Activity:
    """Active features of a batch of images. Only activations above zero count as activity.

    Entries are sorted by image, then by feature, then by patch.

    Args:
        feature_ids: of each entry.
        images: of each entry, the image's place in the batch.
        patches: of each entry, counted row by row from the image's top left.
        activations: of each entry, in units of unit-norm directions.
        rows: of each entry, the row of `together` that is its patch's.
        together: the features that are active on each patch, the strongest first; -1 where there are no more.
        n_patches: of each image.
    """

    feature_ids: Int[Tensor, " entry"]
    images: Int[Tensor, " entry"]
    patches: Int[Tensor, " entry"]
    activations: Float[Tensor, " entry"]
    rows: Int[Tensor, " entry"]
    together: Int[Tensor, "patch k"]
    n_patches: Int[Tensor, " image"]

    def __reduce__(self) -> tuple[Any, ...]:
        # On its way to another process it leaves the accelerator, and half of its size.
        parts = (getattr(self, each.name).cpu() for each in fields(self))
        return _unpacked, tuple((part.to(torch.int32) if part.dtype == torch.int64 else part) for part in parts)


def _unpacked(
    feature_ids: Tensor,
    images: Tensor,
    patches: Tensor,
    activations: Tensor,
    rows: Tensor,
    together: Tensor,
    n_patches: Tensor,
) -> Activity:
    return Activity(
        feature_ids.long(), images.long(), patches.long(), activations, rows.long(), together, n_patches.long()
    )


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """Features that are active on images.

    Args:
        feature_ids: of each pair.
        images: of each pair, the image's place in the batch.
        activations: of each pair, the image's activation: its patches' mean or maximum.
        starts: of each pair, where its heatmap starts among the entries.
        lengths: of each pair, its heatmap's active patches.
    """

    feature_ids: Int[Tensor, " pair"]
    images: Int[Tensor, " pair"]
    activations: Float[Tensor, " pair"]
    starts: Int[Tensor, " pair"]
    lengths: Int[Tensor, " pair"]


def activity(sae: SAE, encoded: Encoded, n_together: int) -> Activity:
    """Find out what is active where in encoded images.

    Args:
        sae: of the block up to which they are encoded.
        encoded: at least one image.
        n_together: at most so many features of a patch are told.

    Raises:
        NotFinite: numbers overflowed on the way.
    """
    positions = [geometry.position_of_patch.to(encoded.residual.device) for geometry in encoded.geometries]
    residuals = [encoded.residual[image, patches] for image, patches in enumerate(positions)]
    codes = sae.encode(torch.cat(residuals))
    return _sorted(codes, [len(each) for each in residuals], sae.n_features, n_together)


def _sorted(codes: Codes, n_patches: Sequence[int], n_features: int, n_together: int) -> Activity:
    values, feature_ids = codes.values.float(), codes.feature_ids
    if not values.isfinite().all():
        raise NotFinite(
            "activations that are no finite numbers",
            expected="numbers",
            remedy="take another --dtype: what is too large for float16 is not for bfloat16 and float32",
        )
    place = values.device
    n_patches_i = torch.tensor(n_patches, device=place)
    image_of_row = torch.arange(len(n_patches), device=place).repeat_interleave(n_patches_i)
    first_row_i = n_patches_i.cumsum(0) - n_patches_i
    rows_e, columns_e = (values > 0).nonzero(as_tuple=True)
    feature_e, image_e = feature_ids[rows_e, columns_e], image_of_row[rows_e]
    # Rows come in the patches' order, which a stable sort keeps.
    order_e = (image_e * n_features + feature_e).argsort(stable=True)
    rows_e, columns_e = rows_e[order_e], columns_e[order_e]
    image_e = image_e[order_e]
    strongest, where = values.topk(min(n_together, values.shape[1]), dim=1)
    together = feature_ids.gather(1, where).masked_fill(strongest <= 0, -1).to(torch.int32)
    return Activity(
        feature_ids=feature_e[order_e],
        images=image_e,
        patches=rows_e - first_row_i[image_e],
        activations=values[rows_e, columns_e],
        rows=rows_e,
        together=torch.nn.functional.pad(together, (0, n_together - together.shape[1]), value=-1),
        n_patches=n_patches_i,
    )


def pairs(active: Activity, n_features: int, reduction: Reduction) -> Pairs:
    """Put entries together into images' activations.

    Args:
        active: of a batch.
        n_features: that the SAE has.
        reduction: an image's activation is the mean over all of its patches, or the maximum.
    """
    key_c, pair_of_e, n_c = (active.images * n_features + active.feature_ids).unique_consecutive(
        return_inverse=True, return_counts=True
    )
    images_c = key_c // n_features
    activations_e = active.activations.double()  # a mean over thousands of patches should not depend on their order
    empty_c = activations_e.new_zeros(len(key_c))
    match reduction:
        case "mean":
            activations_c = empty_c.index_add(0, pair_of_e, activations_e) / active.n_patches[images_c]
        case "max":
            activations_c = empty_c.scatter_reduce(0, pair_of_e, activations_e, "amax")
        case _:
            assert_never(reduction)
    return Pairs(key_c % n_features, images_c, activations_c.float(), n_c.cumsum(0) - n_c, n_c)
