"""How well an SAE stands for the residual stream that it splits."""

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.sae import SAE
from seesay.vlm import VLM
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import Stream, seeds

_AT_ONCE = 64


def residuals(vlm: VLM, layer: int, stream: Stream, n_images: int) -> Float[Tensor, "patch d_model"]:
    """The residual stream after a block, at every patch of a stream's first pictures."""
    parts: list[Tensor] = []
    for start in range(0, n_images, _AT_ONCE):
        chosen = seeds(stream, start, min(_AT_ONCE, n_images - start))
        parts.append(vlm.encode_to([render(sample(s)).image for s in chosen], layer, batch_size=_AT_ONCE).residual)
    return torch.cat(parts).flatten(0, 1).float()


@torch.no_grad()
def sae_quality(sae: SAE, vlm: VLM, layer: int, n_images: int, stream: Stream = "evaluation") -> dict[str, float]:
    """Variance explained, features per patch, and the share of features that never fire, on held-out pictures.

    Variance explained is 1 - sum of squared errors / sum of squared distances from the mean patch.
    """
    patches = residuals(vlm, layer, stream, n_images)
    n_fired = torch.zeros(sae.n_features, device=patches.device)
    error, active = 0.0, 0.0
    for chunk in patches.split(4096):
        codes = sae.encode(chunk)
        error += float((sae.decode(codes) - chunk).square().sum())
        on = codes.dense(sae.n_features) > 0
        active += float(on.sum())
        n_fired += on.sum(0)
    return {
        "variance_explained": 1 - error / float((patches - patches.mean(0)).square().sum()),
        "l0": active / len(patches),
        "dead_share": float((n_fired == 0).float().mean()),
        "n_features": float(sae.n_features),
    }
