import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from seesay.errors import FeatureNotFound, InvalidStrength
from seesay.records import Strength
from seesay.steering import coefficient, intervene, permuted, random_direction

ids = st.sets(st.integers(0, 10_000), min_size=2, max_size=40)


def test_each_direction_is_added_at_every_position() -> None:
    residual = torch.randn(1, 5, 3)
    directions = torch.randn(2, 3)
    steered = intervene(residual, directions, torch.tensor([2.0, -1.0]))
    assert steered.shape == (2, 5, 3)
    for position in range(5):
        torch.testing.assert_close(steered[0, position], residual[0, position] + 2 * directions[0])
        torch.testing.assert_close(steered[1, position], residual[0, position] - directions[1])


def test_zero_strength_is_the_identity() -> None:
    residual = torch.randn(1, 5, 3)
    assert torch.equal(intervene(residual, torch.randn(4, 3), torch.zeros(4)), residual.expand(4, 5, 3))


def test_positions_outside_the_mask_are_left_alone() -> None:
    residual = torch.randn(1, 3, 2)
    steered = intervene(residual, torch.ones(1, 2), torch.ones(1), positions=torch.tensor([[True, False, True]]))
    torch.testing.assert_close(steered - residual, torch.tensor([[[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]]))


def test_replacing_leaves_nothing_but_the_direction() -> None:
    residual, directions = torch.randn(2, 3, 4), torch.randn(2, 4)
    positions = torch.tensor([[True, False, True], [False, False, True]])
    steered = intervene(residual, directions, torch.tensor([2.0, 3.0]), "replace", positions=positions)
    for row, alpha in enumerate((2.0, 3.0)):
        for position in range(3):
            wanted = alpha * directions[row] if positions[row, position] else residual[row, position]
            torch.testing.assert_close(steered[row, position], wanted)


def test_clamping_sets_an_activation_that_is_read_along_the_direction() -> None:
    directions = torch.nn.functional.normalize(torch.randn(2, 8), dim=-1)
    residual = torch.randn(1, 5, 8)
    activations = (residual @ directions.T)[0].T
    steered = intervene(residual, directions, torch.tensor([7.0, -1.0]), "clamp", activations=activations)
    found = (steered * directions[:, None]).sum(-1)
    torch.testing.assert_close(found, torch.tensor([7.0, -1.0])[:, None].expand(2, 5))
    with pytest.raises(ValueError, match="have to be known"):
        intervene(residual, directions, torch.ones(2), "clamp")


def test_a_scale_multiplies_what_is_pushed() -> None:
    residual, directions = torch.zeros(1, 2, 3), torch.eye(2, 3)
    steered = intervene(residual, directions, torch.tensor([1.0, 2.0]), scale=torch.tensor([[1.0, 10.0]]))
    torch.testing.assert_close(steered.sum(-1), torch.tensor([[1.0, 10.0], [2.0, 20.0]]))


def test_images_are_one_or_as_many_as_directions() -> None:
    with pytest.raises(ValueError, match="2 images for 3 directions"):
        intervene(torch.zeros(2, 2, 4), torch.zeros(3, 4), torch.zeros(3))


def test_the_residual_keeps_its_number_format() -> None:
    steered = intervene(torch.zeros(1, 2, 3, dtype=torch.bfloat16), torch.ones(1, 3), torch.ones(1))
    assert steered.dtype == torch.bfloat16


def test_a_wrong_shape_raises() -> None:
    with pytest.raises(TypeCheckError):
        intervene(torch.zeros(1, 2, 3), torch.zeros(1, 4), torch.zeros(1))


def test_a_coefficient_stands_for_itself() -> None:
    assert coefficient(Strength(200.0)) == 200.0


def test_units_multiply_their_statistic() -> None:
    assert coefficient(Strength(0.5, "residual_norm"), residual_norm=40.0) == 20.0
    assert coefficient(Strength(-2.0, "max_activation"), max_activation=3.0) == -6.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_strength_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(InvalidStrength, match="finite"):
        coefficient(Strength(value))


@pytest.mark.parametrize("unit", ["residual_norm", "max_activation"])
def test_a_unit_without_its_statistic_is_refused(unit: str) -> None:
    with pytest.raises(InvalidStrength, match=unit):
        coefficient(Strength(1.0, unit))


def test_random_directions_have_unit_norm_and_their_own_seed() -> None:
    first, other = random_direction(7, 64, seed=0), random_direction(8, 64, seed=0)
    assert math.isclose(first.norm().item(), 1.0, rel_tol=1e-6)
    assert torch.equal(first, random_direction(7, 64, seed=0))
    assert not torch.equal(first, other)
    assert not torch.equal(first, random_direction(7, 64, seed=1))


def test_random_directions_leave_the_global_seed_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    random_direction(7, 8, seed=0)
    assert torch.equal(before, torch.get_rng_state())


@given(ids, st.integers())
def test_permuting_gives_every_feature_another_one_once(feature_ids: set[int], seed: int) -> None:
    donors = permuted(feature_ids, seed)
    assert set(donors) == set(donors.values()) == feature_ids
    assert all(donor != feature_id for feature_id, donor in donors.items())


@given(ids, st.integers(), st.randoms())
def test_permuting_does_not_depend_on_the_order(feature_ids: set[int], seed: int, random) -> None:
    shuffled = list(feature_ids)
    random.shuffle(shuffled)
    assert permuted(shuffled, seed) == permuted(sorted(feature_ids), seed)


def test_a_lone_feature_has_no_donor() -> None:
    with pytest.raises(FeatureNotFound, match="two"):
        permuted([5, 5], seed=0)
