import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.commands.counts import parse_count


@given(st.integers(1, 999_999_999))
def test_a_count_reads_back_as_itself(count: int) -> None:
    assert parse_count([str(count)]) == count


@pytest.mark.parametrize("word", ["0", "-1", "", "1.5", "1e3", "1_000", "nan", "²", "9" * 5000])
def test_what_is_no_count_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        parse_count([word])
