"""What operations take: arithmetic, bytes that are moved, bytes that are held."""

import math
import weakref
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from seesay.planning.hollow import Hollow

_aten: Any = torch.ops.aten
_ATTENTION = _aten._scaled_dot_product_flash_attention_for_cpu
_MATRIX_BY_MATRIX = frozenset({_aten.bmm, _aten.baddbmm})
_PICKS = frozenset({_aten.embedding, _aten.index, _aten.index_select, _aten.gather})
"""Read of their first tensor only what they hand out."""
_FREE = frozenset({_aten._unsafe_view, _aten.detach, _aten.lift_fresh, _aten._local_scalar_dense})

Kind = Literal["linear", "attention", "other"]


class Operation(NamedTuple):
    """What one operation takes.

    Args:
        kind: of arithmetic: with weights, of attention, or neither.
        flops: floating-point operations, two for a multiplication with its addition.
        n_bytes: read and written.
    """

    kind: Kind
    flops: int
    n_bytes: int


@final
@dataclass(frozen=True)
class Cost:
    """What a piece of work takes.

    Args:
        operations: each as often as it is done.
        peak: most bytes that it holds at once, beside weights.
    """

    operations: Counter[Operation]
    peak: int = 0

    def flops(self, kind: Kind | None = None) -> int:
        """Floating-point operations.

        Args:
            kind: of those; None for all.
        """
        return sum(each.flops * n for each, n in self.operations.items() if kind in (None, each.kind))

    @property
    def n_bytes(self) -> int:
        """Bytes that are read and written, if every operation does so by itself."""
        return sum(each.n_bytes * n for each, n in self.operations.items())

    def __add__(self, other: "Cost") -> "Cost":
        """One piece of work after the other."""
        return Cost(self.operations + other.operations, max(self.peak, other.peak))

    def since(self, before: "Cost") -> "Cost":
        """What came after a part of it.

        Args:
            before: the part that it began with.
        """
        return Cost(self.operations - before.operations, self.peak)


@final
class Tally(TorchDispatchMode):
    """Counts what is done while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self._operations: Counter[Operation] = Counter()
        self._held: set[int] = set()
        self._n_held = self._peak = 0

    @property
    def cost(self) -> Cost:
        """What has been done so far."""
        return Cost(self._operations.copy(), self._peak)

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do it, and count."""
        found = func(*args, **(kwargs or {}))
        if func.is_view or func.overloadpacket in _FREE:
            return found
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        of_weights = any(isinstance(each, Hollow) and _storage(each) not in self._held for each in given)
        made = [each for each in tree_leaves(found) if isinstance(each, Hollow)]
        for each in made:
            self._hold(each)
        if made or any(isinstance(each, Hollow) for each in given):
            self._operations[_operation(func, args, kwargs or {}, found, given, of_weights)] += 1
        return found

    def _hold(self, tensor: Hollow) -> None:
        storage, key = tensor.outline.untyped_storage(), _storage(tensor)
        if key not in self._held:
            self._held.add(key)
            self._n_held += storage.nbytes()
            self._peak = max(self._peak, self._n_held)
            weakref.finalize(storage, self._let_go, key, storage.nbytes())

    def _let_go(self, key: int, n_bytes: int) -> None:
        self._held.discard(key)
        self._n_held -= n_bytes


@contextmanager
def counting() -> Generator[Tally]:
    """Count what is done meanwhile.

    Yields:
        Whose `cost` it is.
    """
    with Tally() as tally, torch.no_grad():
        yield tally


def _operation(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], found: Any, given: list[Tensor], of_weights: bool
) -> Operation:
    packet = func.overloadpacket
    written = sum(map(_n_bytes, (each for each in tree_leaves(found) if isinstance(each, Tensor))))
    moved = written + (written if packet in _PICKS else sum(map(_n_bytes, given)))
    if packet is _ATTENTION:
        query, key, value = args[:3]
        width = query.shape[-1] + value.shape[-1]
        return Operation("attention", 2 * math.prod(query.shape[:-1]) * key.shape[-2] * width, moved)
    if packet not in flop_registry:
        return Operation("other", 0, moved)
    count: Callable[..., int] = flop_registry[packet]
    # Attention that a model spells out: both sides of the product were made just now.
    kind = "attention" if packet in _MATRIX_BY_MATRIX and not of_weights else "linear"
    return Operation(kind, count(*args, **kwargs, out_val=found), moved)


def _storage(tensor: Hollow) -> int:
    return id(tensor.outline.untyped_storage())


def _n_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
