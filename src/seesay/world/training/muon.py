"""Muon that works on any machine.

`torch.optim.Muon` always orthogonalises in bfloat16, one matrix after the other; a CPU without bfloat16 arithmetic
emulates that fifty times slower than the rest of the step. Here the precision follows the machine, and matrices of one
shape go together. The method is that of Jordan et al., "Muon: an optimizer for hidden layers in neural networks"
(2024), with the update scaled to AdamW's root mean square (Liu et al., arXiv 2502.16982, section 2.2).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan et al.: steep at 0, within 0.7 to 1.2 near 1
_N_ITERATIONS = 5
_ADAMW_RMS = 0.2


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16, rather than emulating it."""
    return device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def orthogonalised(matrices: Float[Tensor, "matrix row column"]) -> Float[Tensor, "matrix row column"]:
    """Matrices with their singular values brought near 1, by Newton-Schulz iteration, in their own precision."""
    a, b, c = _QUINTIC
    is_wide = matrices.shape[-2] <= matrices.shape[-1]
    wide = matrices if is_wide else matrices.mT
    wide = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + 1e-7)
    for _ in range(_N_ITERATIONS):
        gram = wide @ wide.mT
        wide = a * wide + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ wide
    return wide if is_wide else wide.mT


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is orthogonalised; for matrices only.

    Args:
        parameters: two-dimensional ones.
        lr: as for AdamW.
        momentum: of the Nesterov average of gradients.
        weight_decay: decoupled, as in AdamW.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        assert closure is None, "closures are not used here"
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                directions = torch.stack([self._direction(parameter, group["momentum"]) for parameter in parameters])
                precision = torch.bfloat16 if has_bfloat16(directions.device) else torch.float32
                updates = orthogonalised(directions.to(precision)).float()
                step_size = group["lr"] * _ADAMW_RMS * math.sqrt(max(shape))
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-step_size)

    def _direction(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """The Nesterov average of a parameter's gradients."""
        assert parameter.grad is not None
        average = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
        average.lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(average, momentum)
