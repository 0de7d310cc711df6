"""The blocks of a vision encoder: finding them, listening to one, standing in for some.

Replacing a block's `forward` on the instance, rather than the block in its list, keeps the hooks that transformers
itself puts on blocks at work.
"""

import threading
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seesay.errors import UnreadableModel

Forward = Callable[..., Tensor]


def count_blocks(vision: Any) -> int:
    """Read off a configuration how many blocks a vision encoder has.

    Args:
        vision: the configuration of the encoder.

    Raises:
        UnreadableModel: it announces none, like that of a convolutional network.
    """
    n_blocks = getattr(vision, "num_hidden_layers", None) or getattr(vision, "depth", None)
    if not isinstance(n_blocks, int) or n_blocks < 1:
        raise UnreadableModel(
            f"a vision encoder of type {getattr(vision, 'model_type', None)!r} that announces no blocks",
            expected="a transformer",
            remedy="choose another model",
        )
    return n_blocks


def find_blocks(tower: nn.Module, n_blocks: int) -> nn.ModuleList:
    """Find the encoder blocks of a vision tower by their number.

    Their path differs by family and by version of transformers (`encoder.layers`, `encoder.layer`, `blocks`), so it is
    searched for; a list inside another list of the same length belongs to one block and does not count.

    Args:
        tower: the vision tower.
        n_blocks: how many blocks the model's configuration announces.

    Raises:
        UnreadableModel: no list of that length, or more than one.
    """
    found = {
        name: module
        for name, module in tower.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_blocks
    }
    outermost = [name for name in found if not any(name.startswith(f"{other}.") for other in found)]
    if len(outermost) != 1:
        raise UnreadableModel(
            f"{type(tower).__name__} has {len(outermost)} lists of {n_blocks} modules",
            expected="one, its encoder blocks",
        )
    return found[outermost[0]]


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes; accelerate may keep its weights elsewhere.

    Args:
        module: with at least one parameter.
    """
    for part in module.modules():
        place = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if place is not None:
            return torch.device(place)
    return next(module.parameters()).device


def weights_at_hand(module: nn.Module) -> AbstractContextManager[None]:
    """Bring a module's own weights to where it computes, if accelerate keeps them elsewhere, and back after use.

    Calling a module does that; reading its weights, or calling a method of it, does not.

    Args:
        module: its submodules are left alone.
    """
    if not any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        return nullcontext()
    from accelerate.utils import align_module_device

    return align_module_device(module)


def pass_through(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    """Stand in for a block that has nothing to do."""
    return hidden_states


@contextmanager
def replaced_forwards(replacements: Mapping[nn.Module, Forward]) -> Generator[None]:
    """Let functions stand in for the `forward` of modules, and put back exactly what was there, whatever happens.

    Process-wide while it lasts: hold the encoder's lock. What torch.compile has compiled runs eagerly meanwhile, since
    it may have compiled the forwards that are replaced.

    Args:
        replacements: module to the function that takes its place.
    """
    with ExitStack() as stack:
        stack.enter_context(_eagerly())
        for module, forward in replacements.items():
            stack.enter_context(_replaced_forward(module, forward))
        yield


_n_eager, _eager_lock = 0, threading.Lock()
_eager: Any = None


@contextmanager
def _eagerly() -> Generator[None]:
    """Keep torch.compile out while any encoder in the process has its forwards replaced: the stance is process-wide."""
    global _n_eager, _eager
    with _eager_lock:
        _n_eager += 1
        if _n_eager == 1:
            _eager = torch.compiler.set_stance("force_eager")
            _eager.__enter__()
    try:
        yield
    finally:
        with _eager_lock:
            _n_eager -= 1
            if _n_eager == 0:
                _eager.__exit__(None, None, None)


@contextmanager
def _replaced_forward(module: nn.Module, forward: Forward) -> Generator[None]:
    attributes = vars(module)
    # accelerate keeps its own forward on the instance (offloading): it must come back, not be deleted.
    before = {"forward": attributes["forward"]} if "forward" in attributes else {}
    try:
        attributes["forward"] = forward
        yield
    finally:
        attributes.pop("forward", None)
        attributes.update(before)


def capture(blocks: nn.ModuleList, layers: Collection[int], run: Callable[[], object]) -> dict[int, Tensor]:
    """Run a tower up to the last of some blocks and return what those blocks put out.

    The later blocks pass their input on instead of computing. Leaving by an exception would be as fast, but accelerate
    would then not offload again what it had loaded.

    Args:
        blocks: the tower's blocks.
        layers: the blocks to listen to, 0-based.
        run: runs the tower.
    """
    outputs: dict[int, Tensor] = {}

    def keep(layer: int, _block: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs[layer] = output

    later = {block: pass_through for block in blocks[max(layers) + 1 :]}
    with ExitStack() as stack:
        for layer in layers:
            handle = blocks[layer].register_forward_hook(partial(keep, layer))
            stack.callback(handle.remove)
        stack.enter_context(replaced_forwards(later))
        run()
    return outputs
