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


def stepping_up(
    cases: Sequence[Case],
    nats: float,
    residual_norm: float,
    moved: Callable[[Sequence[Case]], Float[Tensor, " case"]],
) -> list[Case]:
    """Give each case the least coefficient by which the first word moves far enough.

    Between two steps it is interpolated along the logarithm of the coefficient. One that is never moved so far gets the
    step that moved it farthest.

    Args:
        cases: what is pushed; cases that push nothing stay as they are.
        nats: how far.
        residual_norm: of the empty image, in units of activations.
        moved: how far cases move it, in nats.
    """
    if cases[0].direction is None:
        return list(cases)
    alphas = [step * residual_norm for step in STEPS]
    tried = torch.stack([moved([replace(case, coefficient=alpha) for case in cases]).cpu() for alpha in alphas])
    return [replace(case, coefficient=_chosen(tried[:, row], nats, alphas)) for row, case in enumerate(cases)]


def _chosen(moved: Float[Tensor, " step"], nats: float, alphas: Sequence[float]) -> float:
    enough = (moved >= nats).nonzero().flatten().tolist()
    if not enough:
        return alphas[int(moved.nan_to_num(-1.0).argmax())]
    step = enough[0]
    if step == 0:
        return alphas[0]
    before, after = float(moved[step - 1]), float(moved[step])
    share = (nats - before) / (after - before) if after > before else 1.0
    return alphas[step - 1] * (alphas[step] / alphas[step - 1]) ** share
