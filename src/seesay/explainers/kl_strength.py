"""A strength of its own for each feature: as hard as it takes to move the answer's first word by so many nats.

It looks at no label and at no other feature.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.explainers.cases import Case

STEPS = tuple(0.125 * 2 ** (step / 2) for step in range(15))
"""What is tried, in mean residual norms of the empty image: 1/8 to 16."""

_N_REFINED = 3
_LEAST = 1e-12


def stepping_up(
    cases: Sequence[Case],
    nats: float,
    residual_norm: float,
    moved: Callable[[Sequence[Case]], Float[Tensor, " case"]],
) -> list[Case]:
    """Give each case the least coefficient by which the first word moves far enough.

    Steps are tried until two lie on either side; between them it is interpolated, in logarithms of both (for small
    pushes the divergence grows with their square), and tried again a few times. A case that is moved far enough by the
    first step keeps that; one that is never moved so far gets the step that moved it farthest.

    Args:
        cases: what is pushed; cases that push nothing stay as they are.
        nats: how far.
        residual_norm: of the empty image, in units of activations.
        moved: how far cases move it, in nats.
    """
    if cases[0].direction is None:
        return list(cases)

    def at(alphas_c: Tensor) -> Float[Tensor, " case"]:
        pushed = [replace(case, coefficient=alpha) for case, alpha in zip(cases, alphas_c.tolist(), strict=True)]
        return moved(pushed).cpu().double().nan_to_num(0.0).clamp_min(_LEAST)

    alphas_s = torch.tensor(STEPS, dtype=torch.float64) * residual_norm
    tried_sc = torch.stack([at(alpha.expand(len(cases))) for alpha in alphas_s])
    is_enough_sc = tried_sc >= nats
    first_c = is_enough_sc.int().argmax(0)
    is_between_c = is_enough_sc.any(0) & (first_c > 0)
    chosen_c = alphas_s[torch.where(is_enough_sc.any(0), first_c, tried_sc.argmax(0))]
    below_c, above_c = (first_c - 1).clamp_min(0), first_c
    low_c, high_c = alphas_s[below_c].log(), alphas_s[above_c].log()
    low_kl_c, high_kl_c = (tried_sc.gather(0, step[None])[0].log() for step in (below_c, above_c))
    target = torch.tensor(nats, dtype=torch.float64).log()
    for _ in range(_N_REFINED if is_between_c.any() else 0):
        share_c = ((target - low_kl_c) / (high_kl_c - low_kl_c).clamp_min(_LEAST)).clamp(0.05, 0.95)
        between_c = low_c + share_c * (high_c - low_c)
        kl_c = at(torch.where(is_between_c, between_c.exp(), chosen_c)).log()
        is_high_c = kl_c >= target
        high_c, high_kl_c = torch.where(is_high_c, between_c, high_c), torch.where(is_high_c, kl_c, high_kl_c)
        low_c, low_kl_c = torch.where(is_high_c, low_c, between_c), torch.where(is_high_c, low_kl_c, kl_c)
    is_nearer_c = (high_kl_c - target) <= (target - low_kl_c)
    chosen_c = torch.where(is_between_c, torch.where(is_nearer_c, high_c, low_c).exp(), chosen_c)
    return [replace(case, coefficient=alpha) for case, alpha in zip(cases, chosen_c.tolist(), strict=True)]
