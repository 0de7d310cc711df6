"""The strength that moves an answer's first word by so many nats, on curves that are known."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from seesay.explainers.cases import Case
from seesay.explainers.kl_strength import STEPS, stepping_up

NORM = 8.0


def chosen(curve: Callable[[float], float], nats: float) -> float:
    (case,) = stepping_up([Case(3, 3, 3, direction=torch.ones(2))], nats, NORM, moving({3: curve}))
    return case.coefficient


def moving(curves: dict[int, Callable[[float], float]]) -> Callable[[Sequence[Case]], Tensor]:
    return lambda cases: torch.tensor([curves[case.feature_id](case.coefficient / NORM) for case in cases])


def test_steps_go_from_an_eighth_to_sixteen_norms() -> None:
    assert (STEPS[0], STEPS[-1]) == pytest.approx((1 / 8, 16))
    assert all(after / before == pytest.approx(math.sqrt(2)) for before, after in zip(STEPS, STEPS[1:], strict=False))


@pytest.mark.parametrize("norms", [0.2, 1.0, 3.3, 15.0])
def test_what_grows_with_a_power_is_found_exactly(norms: float) -> None:
    assert chosen(lambda n: n**2 / 7, norms**2 / 7) == pytest.approx(norms * NORM, rel=1e-5)


@pytest.mark.parametrize("norms", [0.2, 1.0, 3.3, 15.0])
def test_what_grows_otherwise_is_found_nearly(norms: float) -> None:
    assert chosen(lambda n: math.log1p(n), math.log1p(norms)) == pytest.approx(norms * NORM, rel=1e-3)


def test_the_least_that_is_enough_is_taken() -> None:
    """Where a harder push moves the word less again, and then more."""
    assert 0.7 < chosen(lambda n: 1.0 if 0.7 < n < 1.1 or n > 10 else 0.0, 1.0) / NORM <= STEPS[5]
    assert chosen(lambda n: 5.0, 1.0) == NORM * STEPS[0], "even the first step may be too much"


def test_what_never_moves_so_far_is_pushed_where_it_moves_farthest() -> None:
    assert chosen(lambda n: 0.5 if 3 < n < 5 and n < 4.5 else 0.1, 1.0) == pytest.approx(NORM * 4)
    assert chosen(lambda n: math.nan if n > 3 else n / 10, 1.0) == pytest.approx(NORM * STEPS[9]), "NaN is nowhere"


def test_overflow_before_the_goal_is_stepped_over() -> None:
    assert chosen(lambda n: math.nan if n < 1 else 2.0, 1.0) == pytest.approx(NORM)


def test_each_case_gets_its_own_and_keeps_the_rest() -> None:
    cases = [Case(number, 5, 6, direction=torch.ones(2), donor_id=7) for number in (1, 2)]
    found = stepping_up(cases, 1.0, NORM, moving({1: lambda n: n, 2: lambda n: n / 4}))
    assert [case.coefficient for case in found] == pytest.approx([NORM, 4 * NORM])
    assert [(case.feature_id, case.key, case.activating, case.donor_id) for case in found] == [
        (1, 5, 6, 7),
        (2, 5, 6, 7),
    ]


def test_what_pushes_nothing_is_not_tried() -> None:
    def never(_cases: Sequence[Case]) -> Tensor:
        raise AssertionError("there is nothing to try")

    cases = [Case(1, 1, 1), Case(2, 2, 2)]
    assert stepping_up(cases, 1.0, NORM, never) == cases
