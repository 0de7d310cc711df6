"""Options that take one of a few words, or are not given at all."""

from typing import Literal, get_args

import pytest

from seesay import cli
from seesay.commands.choices import one_of
from seesay.commands.explain import Explain
from seesay.records import Ablation, Control

FRUIT = one_of(Literal["pear", "apple"], Literal["fig"])
CONTROLS = (*get_args(Control), *get_args(Ablation))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_a_word_that_is_among_them_is_read_as_it_stands() -> None:
    assert [FRUIT.instance_from_str([word]) for word in ("pear", "apple", "fig")] == ["pear", "apple", "fig"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("aple", "got 'aple', expected pear, apple, fig; did you mean apple?"),
        ("stone", "got 'stone', expected pear, apple, fig"),
        ("", "got '', expected pear, apple, fig"),
        ("None", "got 'None', expected pear, apple, fig"),
    ],
)
def test_another_word_is_refused_with_all_of_them_in_order_and_what_may_be_meant(word: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        FRUIT.instance_from_str([word])
    assert str(caught.value) == message


def test_nothing_is_no_word_that_is_offered_and_help_shows_that_it_is_the_default() -> None:
    assert FRUIT.metavar == "pear|apple|fig"
    assert FRUIT.is_instance(None)
    assert not FRUIT.is_instance("stone")
    assert FRUIT.str_from_instance(None) == ["None"]
    assert FRUIT.str_from_instance("fig") == ["fig"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("explain x --control randum", f"expected {', '.join(CONTROLS)}; did you mean random?"),
        ("explain x --control None", f"got 'None', expected {', '.join(CONTROLS)}"),
        ("explain x --split tests", "got 'tests', expected validation, test; did you mean test?"),
        ("steer --features 1 --control randum", "got 'randum', expected random, permuted, none; did you mean random?"),
        ("steer --features 1 --mode clam", "did you mean clamp?"),
        ("steer --features 1 --quantize 4bits", "got '4bits', expected 4bit, 8bit; did you mean 4bit?"),
        ("score x --split sharde", "got 'sharde', expected held-out, shared; did you mean shared?"),
        ("compare x --images heldout", "got 'heldout', expected held-out, shared; did you mean held-out?"),
        ("compare x --levels truths", "got 'truths', expected truth, records, model; did you mean truth?"),
        ("calibrate x --by clipp", "did you mean clip?"),
        ("calibrate x --strength-unit KL", "got 'KL', expected coefficient, residual_norm, max_activation, kl"),
    ],
)
def test_the_command_line_refuses_another_word(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments.split()) == 2
    error = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in error
    assert "Spec" not in error


def test_an_option_that_is_not_given_is_none_and_a_word_is_itself() -> None:
    for word in (None, *CONTROLS):
        parsed = cli.parse(["explain", "x", *(["--control", word] if word else [])])
        assert isinstance(parsed, Explain)
        assert parsed.control == word
