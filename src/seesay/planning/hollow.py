"""Tensors with a shape and a number format, but no numbers: to compute with them takes neither time nor memory.

Whole numbers and masks stay real: models look at them to decide what to do. So a model's own code runs as it always
does, on the sizes that it would have.
"""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

_META = torch.device("meta")


@final
class Hollow(Tensor):
    """A floating-point tensor on the CPU without its numbers; where one is asked for, it is zero.

    Args:
        outline: its shape, strides and number format, on the meta device.
    """

    outline: Tensor

    @staticmethod
    def __new__(cls: type["Hollow"], outline: Tensor) -> "Hollow":
        """Wrap an outline."""
        return Tensor._make_wrapper_subclass(
            cls,
            outline.size(),
            strides=outline.stride(),
            storage_offset=outline.storage_offset(),
            dtype=outline.dtype,
            device=torch.device("cpu"),
        )

    def __init__(self, outline: Tensor) -> None:
        self.outline = outline

    def __repr__(self, **_: object) -> str:
        return f"Hollow({list(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Keep attention one operation: taken apart, it would hold a matrix that fast kernels never hold."""
        with torch._C.DisableTorchFunctionSubclass():  # pyright: ignore[reportPrivateUsage] (there is no public name)
            if func is nn.functional.scaled_dot_product_attention:
                return _attention(*args, **(kwargs or {}))
            if func is Tensor.tolist:  # torch knows no such thing of subclasses
                return _zeros(args[0]).tolist()
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(
        cls, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation on outlines, or on zeros if its result's shape depends on numbers."""
        named = {**(kwargs or {})}
        if named.get("device") is not None:
            named["device"] = _META
        given: dict[int, Tensor] = {}

        def outlined(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            outline = value.outline if isinstance(value, Hollow) else value.to(_META)
            given[id(outline)] = value
            return outline

        def filled(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            if id(value) in given:  # changed in place
                return given[id(value)]
            if value.is_floating_point():
                return Hollow(value.to(_META))
            return torch.zeros(value.shape, dtype=value.dtype) if value.is_meta else value

        try:
            found = func(*tree_map(outlined, args), **tree_map(outlined, named))
        except (NotImplementedError, RuntimeError):  # meta tensors have nothing to be looked at
            found = func(*tree_map(_zeros, args), **tree_map(_zeros, kwargs or {}))
        return tree_map(filled, found)


def hollow(*shape: int, dtype: torch.dtype) -> Hollow:
    """A tensor without numbers.

    Args:
        shape: of it.
        dtype: its number format.
    """
    return Hollow(torch.empty(shape, dtype=dtype, device=_META))


def hollow_out(model: nn.Module, dtype: torch.dtype) -> None:
    """Make a model that was built on the meta device one that can be run: without numbers, on the CPU.

    Args:
        model: it is changed.
        dtype: number format of its weights.
    """
    made: dict[Tensor, nn.Parameter] = {}
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight not in made:  # shared ones stay shared
                made[weight] = nn.Parameter(hollow(*weight.shape, dtype=dtype), requires_grad=False)
            setattr(module, name, made[weight])
        for name, buffer in list(module.named_buffers(recurse=False)):
            is_real = not buffer.is_floating_point()
            setattr(module, name, torch.zeros_like(buffer, device="cpu") if is_real else Hollow(buffer.to(dtype)))


def _zeros(value: Any) -> Any:
    return torch.zeros((), dtype=value.dtype).expand(value.shape) if isinstance(value, Hollow) else value


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    return attend(query, key, value, 0.0, False, attn_mask=attn_mask, scale=scale)[0]
