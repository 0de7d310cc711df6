"""Whether tests notice what is of another type than its annotation says."""

from typing import Any

import pytest
from jaxtyping import TypeCheckError

from seesay.records import Strength
from seesay.steering import coefficient
from tests.checking import _sparingly, typechecker, unchecked_calls


def odd(number: Any) -> str:
    return number


@pytest.mark.parametrize(
    "call", [lambda: coefficient("2"), lambda: Strength("x"), lambda: _sparingly(typechecker=typechecker)(odd)(3)]
)
def test_what_has_no_shapes_is_checked_as_well(call: Any) -> None:
    with pytest.raises(TypeCheckError):
        call()


def test_calls_as_users_make_them_are_not_checked() -> None:
    checked = _sparingly(typechecker=typechecker)(odd)
    with unchecked_calls():
        assert checked(3) == 3
        assert Strength("x").value == "x"
    with pytest.raises(TypeCheckError):
        checked(3)
