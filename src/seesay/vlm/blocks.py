"""The blocks of a vision encoder: finding them, listening to one, standing in for some.

Replacing a block's `forward` on the instance, rather than the block in its list, keeps the hooks that transformers
itself puts on blocks at work.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from seesay.errors import UnreadableModel

Forward = Callable[..., Tensor]


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


def pass_through(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    """Stand in for a block that has nothing to do."""
    return hidden_states


@contextmanager
def replaced_forwards(replacements: Mapping[nn.Module, Forward]) -> Generator[None]:
    """Let functions stand in for the `forward` of modules, and put back exactly what was there, whatever happens.

    Process-wide while it lasts: hold the VLM's lock.

    Args:
        replacements: module to the function that takes its place.
    """
    with ExitStack() as stack:
        for module, forward in replacements.items():
            stack.enter_context(_replaced_forward(module, forward))
        yield


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


def capture(blocks: nn.ModuleList, layer: int, run: Callable[[], object]) -> Tensor:
    """Run a tower up to one block and return what that block puts out.

    The later blocks pass their input on instead of computing. Leaving by an exception would be as fast, but accelerate
    would then not offload again what it had loaded.

    Args:
        blocks: the tower's blocks.
        layer: the block to listen to, 0-based.
        run: runs the tower.
    """
    outputs: list[Tensor] = []

    def keep(_block: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append(output)

    handle = blocks[layer].register_forward_hook(keep)
    try:
        with replaced_forwards({block: pass_through for block in blocks[layer + 1 :]}):
            run()
    finally:
        handle.remove()
    (output,) = outputs
    return output
