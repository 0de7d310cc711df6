"""How well a sparse autoencoder stands for the residual stream that it splits.

Shape suffixes: r rows (patches), d d_model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.images.loading import batches
from seesay.images.sources import First, ImageSource
from seesay.sae.model import SAE
from seesay.vlm.encoder import Encoder

_IMAGES_AT_ONCE = 32


@final
@dataclass(frozen=True, eq=False)
class Quality:
    """What was measured on some images.

    Args:
        variance_explained: 1 - sum of squared errors / sum of squared distances from the mean patch.
        l0: features active per patch, on average.
        dead_share: share of the features that were active nowhere.
        frequency: on which share of the patches each feature was active.
        n_images: how many images.
        n_patches: how many patches they have.
    """

    variance_explained: float
    l0: float
    dead_share: float
    frequency: Float[Tensor, " feature"]
    n_images: int
    n_patches: int


@torch.no_grad()
def measure(
    sae: SAE,
    encoder: Encoder,
    layer: int,
    source: ImageSource,
    *,
    n_images: int | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Quality:
    """Encode images, their patches' codes, and those back again.

    Args:
        sae: on the encoder's device.
        encoder: whose residual stream it splits.
        layer: after which block, 0-based.
        source: the images.
        n_images: how many of them, the first, unreadable ones among them; None for all.
        on_batch: told how many more are done.

    Raises:
        MismatchedSAE: an SAE of another width, or directions without an encoder.
        LayerNotFound: no such block.
        UnreadableImages: too many images cannot be read, or none can.
    """
    sae.check_fits(encoder.d_model)
    encoder.check_layer(layer)
    n_active = torch.zeros(sae.n_features, dtype=torch.long)
    # In double precision: sums over millions of patches, of which a small difference counts.
    total_d = torch.zeros(sae.d_model, dtype=torch.float64)
    squares, error, n_patches, n_seen = 0.0, 0.0, 0, 0
    some = source if n_images is None else First(source, n_images)
    for batch in batches(some, batch_size=_IMAGES_AT_ONCE, n_workers=encoder.n_workers, prepare=encoder.prepare):
        encoded = encoder.encode_prepared(batch.prepared, layer)
        patches_rd = encoded.residual[encoded.is_patch].float()
        codes = sae.encode(patches_rd)
        active = codes.feature_ids[codes.values != 0].flatten()
        n_active += active.cpu().bincount(minlength=sae.n_features)
        error += float((sae.decode(codes).float() - patches_rd).double().square().sum())
        squares += float(patches_rd.double().square().sum())
        total_d += patches_rd.double().sum(0).cpu()
        n_patches, n_seen = n_patches + len(patches_rd), n_seen + len(batch)
        if on_batch is not None:
            on_batch(len(batch))
    spread = squares - float(total_d.square().sum()) / n_patches
    return Quality(
        variance_explained=1 - error / spread,
        l0=int(n_active.sum()) / n_patches,
        dead_share=float((n_active == 0).float().mean()),
        frequency=n_active / n_patches,
        n_images=n_seen,
        n_patches=n_patches,
    )
