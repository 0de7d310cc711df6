"""Features whose directions are alike."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.sae.model import SAE

_FEATURES_AT_ONCE = 2048


@torch.no_grad()
def nearest(sae: SAE, n: int) -> tuple[Int[Tensor, "feature other"], Float[Tensor, "feature other"]]:
    """For each feature, the others whose directions are nearest.

    Args:
        sae: whose features.
        n: how many; fewer if there are fewer.

    Returns:
        Their ids, and the cosines, the largest first.
    """
    n = min(n, sae.n_features - 1)
    directions = sae.W_dec.float()
    ids: list[Tensor] = []
    cosines: list[Tensor] = []
    for start in range(0, sae.n_features, _FEATURES_AT_ONCE):
        some = directions[start : start + _FEATURES_AT_ONCE] @ directions.T
        here = torch.arange(len(some), device=some.device)
        some[here, here + start] = -torch.inf
        best, others = some.topk(n, dim=1)
        ids.append(others)
        cosines.append(best)
    return torch.cat(ids), torch.cat(cosines)
