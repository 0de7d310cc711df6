import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from torch import Tensor, nn

from seesay.errors import UnreadableModel
from seesay.vlm.blocks import capture, find_blocks, pass_through, replaced_forwards


class Tower(nn.Module):
    def __init__(self, n_blocks: int = 3) -> None:
        super().__init__()
        self.stack = nn.ModuleList([nn.Linear(4, 4) for _ in range(n_blocks)])

    def forward(self, hidden_states: Tensor) -> Tensor:
        for block in self.stack:
            hidden_states = block(hidden_states)
        return hidden_states


def forwards(tower: Tower) -> list[object]:
    return [vars(block).get("forward") for block in tower.stack]


def test_blocks_are_found_by_their_number() -> None:
    tower = Tower()
    assert find_blocks(tower, 3) is tower.stack


def test_a_list_inside_a_block_does_not_count() -> None:
    tower = Tower(2)
    tower.stack[0] = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    assert find_blocks(tower, 2) is tower.stack


def test_no_list_of_that_length_is_an_error() -> None:
    with pytest.raises(UnreadableModel, match="0 lists of 7"):
        find_blocks(Tower(), 7)


def test_two_lists_of_that_length_are_an_error() -> None:
    with pytest.raises(UnreadableModel, match="2 lists of 3"):
        find_blocks(nn.Sequential(Tower(), Tower()), 3)


def test_a_block_can_be_listened_to() -> None:
    tower, x = Tower(), torch.randn(2, 4)
    expected = tower.stack[1](tower.stack[0](x))
    assert torch.equal(capture(tower.stack, [1], lambda: tower(x))[1], expected)
    assert forwards(tower) == [None] * 3
    assert not any(block._forward_hooks for block in tower.stack)


def test_later_blocks_do_not_compute() -> None:
    tower = Tower()
    tower.stack[2].register_parameter("weight", None)
    capture(tower.stack, [1], lambda: tower(torch.randn(2, 4)))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_forwards_come_back_after_an_error(error: type[BaseException]) -> None:
    tower = Tower()
    with pytest.raises(error), replaced_forwards(dict.fromkeys(tower.stack, pass_through)):
        raise error
    assert forwards(tower) == [None] * 3


def test_an_error_while_listening_leaves_nothing_behind() -> None:
    tower = Tower()
    with pytest.raises(RuntimeError):
        capture(tower.stack, [1], lambda: tower(torch.randn(2, 5)))
    assert forwards(tower) == [None] * 3
    assert not any(block._forward_hooks for block in tower.stack)


def test_accelerates_own_forward_comes_back() -> None:
    tower = Tower()
    block = add_hook_to_module(tower.stack[0], ModelHook())
    own = vars(block)["forward"]
    with replaced_forwards({block: pass_through}):
        assert vars(block)["forward"] is pass_through
    assert vars(block)["forward"] is own
    remove_hook_from_module(block)


def test_replacing_twice_peels_off_in_order() -> None:
    tower, x = Tower(), torch.randn(1, 4)
    with replaced_forwards({tower.stack[0]: pass_through}):
        with replaced_forwards({tower.stack[0]: lambda x: x + 1}):
            assert torch.equal(tower.stack[0](x), x + 1)
        assert torch.equal(tower.stack[0](x), x)
    assert forwards(tower) == [None] * 3
