import pytest

from seesay.commands.names import is_world, resolve_sae, resolve_strength, resolve_subject
from seesay.errors import InvalidStrength
from seesay.records import Strength


@pytest.mark.parametrize("name", ["world", "world:S", "world:middle"])
def test_the_names_of_the_world_are_known(name: str) -> None:
    assert is_world(name)


@pytest.mark.parametrize("name", ["worldly/model", "./world", "World", "google/gemma-3-4b-it", "/models/world:M"])
def test_other_names_pass_through_untouched(name: str) -> None:
    assert not is_world(name)
    assert resolve_subject(name) == name
    assert resolve_sae(name) == name


def test_a_strength_without_a_unit_is_a_coefficient() -> None:
    assert resolve_strength(200.0, None, "world:middle", "world") == Strength(200.0, "coefficient")


def test_a_strength_keeps_its_unit() -> None:
    assert resolve_strength(2.0, "residual_norm", "elsewhere", "world") == Strength(2.0, "residual_norm")


def test_a_unit_without_a_strength_is_refused() -> None:
    with pytest.raises(InvalidStrength, match="--strength NUMBER"):
        resolve_strength(None, "residual_norm", "world:middle", "world")


def test_a_strange_sae_has_no_calibrated_strength() -> None:
    with pytest.raises(InvalidStrength, match="none is calibrated for world on elsewhere"):
        resolve_strength(None, None, "elsewhere", "world")
