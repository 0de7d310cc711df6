"""What is remembered, and what is forgotten first."""

from hypothesis import given
from hypothesis import strategies as st

from seesay.scorers.memory import Memory

MOST = 10
KEYS, SIZES = st.sampled_from("abcde"), st.integers(1, 14)


@given(st.lists(st.tuples(KEYS, SIZES | st.none())))
def test_what_was_asked_for_last_is_remembered_as_far_as_it_fits(steps: list[tuple[str, int | None]]) -> None:
    memory = Memory[int](MOST, lambda size: size)
    expected: dict[str, int] = {}
    for key, size in steps:
        before = expected.pop(key, None)  # what is used comes last
        if size is None:
            assert memory.get(key) == before
        else:
            memory.put(key, size)
        if (now := size or before) is not None:
            expected[key] = now
        while sum(expected.values()) > MOST and len(expected) > 1:
            del expected[next(iter(expected))]
    assert len(memory) == len(expected)
    assert all(memory.get(key) == size for key, size in list(expected.items()))


def test_a_thing_too_large_is_remembered_alone() -> None:
    memory = Memory[str](3, len)
    memory.put("small", "x")
    memory.put("large", "xxxxx")
    assert (memory.get("small"), memory.get("large")) == (None, "xxxxx")
