import pytest
import torch
from torch import nn

from seesay.planning.hollow import Hollow, hollow
from seesay.planning.tally import counting


def test_what_is_computed_has_the_shape_and_the_format_that_it_would_have() -> None:
    found = nn.functional.linear(hollow(2, 3, 4, dtype=torch.bfloat16), hollow(5, 4, dtype=torch.bfloat16))
    assert isinstance(found, Hollow)
    assert (found.shape, found.dtype, found.device) == ((2, 3, 5), torch.bfloat16, torch.device("cpu"))


def test_whole_numbers_stay_real() -> None:
    chosen = hollow(2, 3, dtype=torch.float32).argmax(-1)
    assert not isinstance(chosen, Hollow)
    assert (chosen + 1).tolist() == [1, 1]


def test_what_depends_on_numbers_finds_zeros() -> None:
    values = hollow(4, 2, dtype=torch.float32)
    assert values.sum().item() == 0.0
    assert values.tolist() == [[0.0, 0.0]] * 4
    assert values[torch.tensor([True, False, True, False])].shape == (2, 2)
    assert (values > 0).nonzero().shape == (0, 2)


def test_a_change_in_place_changes_nothing_but_is_allowed() -> None:
    values = hollow(4, 2, dtype=torch.float32)
    assert values.add_(1) is values
    real = torch.zeros(4, 2)
    real[:2] = values[:2]
    assert real.tolist() == [[0.0, 0.0]] * 4


def test_a_wrong_shape_is_still_one() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        torch.mm(hollow(2, 3, dtype=torch.float32), hollow(2, 3, dtype=torch.float32))


def test_attention_is_one_operation_that_holds_no_matrix() -> None:
    query = hollow(2, 8, 4096, 64, dtype=torch.bfloat16)
    with counting() as tally:
        nn.functional.scaled_dot_product_attention(query, query, query)
    assert tally.cost.flops("attention") == 4 * 2 * 8 * 4096**2 * 64
    assert tally.cost.peak < 8 * 4096**2


def test_what_is_let_go_is_not_held() -> None:
    with counting() as tally:
        values = hollow(1000, dtype=torch.float32) + 1
        for _ in range(5):
            values = values * 2
    assert tally.cost.peak == 2 * 4000
    assert tally.cost.n_bytes == 6 * 8000


def test_views_move_nothing() -> None:
    values = hollow(4, 2, dtype=torch.float32)
    with counting() as tally:
        values.t().unsqueeze(0).expand(3, -1, -1)
    assert tally.cost.operations.total() == 0


def test_weights_are_not_among_what_is_held() -> None:
    weight, rows = hollow(300, 200, dtype=torch.float32), hollow(10, 200, dtype=torch.float32)
    with counting() as tally:
        nn.functional.linear(rows, weight)
    assert tally.cost.peak == 10 * 300 * 4
