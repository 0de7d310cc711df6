import pytest

from seesay.errors import UnreadableModel
from seesay.vlm.families import FAMILIES, family_of


def test_a_known_family_is_found_by_its_type() -> None:
    assert family_of("gemma3") is FAMILIES["gemma3"]


def test_an_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(UnreadableModel, match="'gpt2'.*gemma3"):
        family_of("gpt2")
