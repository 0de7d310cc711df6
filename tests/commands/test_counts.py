import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay import cli
from seesay.commands.counts import parse_count
from seesay.commands.explain import Explain


@given(st.integers(1, 999_999_999))
def test_a_count_reads_back_as_itself(count: int) -> None:
    assert parse_count([str(count)]) == count


@pytest.mark.parametrize("word", ["0", "-1", "", "1.5", "1e3", "1_000", "nan", "²", "9" * 5000])
def test_what_is_no_count_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        parse_count([word])


@pytest.mark.parametrize("word", ["-1", "0", "None", "many"])
def test_a_count_that_need_not_be_given_is_refused_in_words(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "x", "--limit", word]) == 2
    error = capsys.readouterr().err
    assert f"Error parsing --limit: got '{word}', expected a whole number of at least 1" in error
    assert "PrimitiveConstructorSpec" not in error


def test_a_count_that_is_not_given_is_none_and_help_shows_it_so(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, limit in (([], None), (["--limit", "3"], 3)):
        parsed = cli.parse(["explain", "x", *flags])
        assert isinstance(parsed, Explain)
        assert parsed.limit == limit
    assert cli.main(["explain", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "--limit N " in told
    assert "PrimitiveConstructorSpec" not in told
