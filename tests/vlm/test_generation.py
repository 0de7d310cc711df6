"""How answers come about; tests/vlm/test_contract.py holds every family to what each question gets alone."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from seesay.errors import NotEnoughMemory
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm import VLM, ImageTokens, generation
from seesay.vlm.answers import Chooser
from seesay.vlm.generation import Said, generate
from tests.families import QUESTION, SIDE, gemma3

LENGTHS = [1, 12, 2, 3, 7, 5]
FULL = "CUDA out of memory. Tried to allocate 1 GiB"


class Told:
    """Takes the most probable tokens, and ends each answer after as many as it is told."""

    def choose(self, numbers: Sequence[int], said: Sequence[Said], scores: Tensor) -> Tensor:
        return scores.argmax(-1)

    def is_last(self, number: int, token_ids: Sequence[int]) -> bool:
        return len(token_ids) == LENGTHS[number]


def rows_of(vlm: VLM) -> list[list[ImageTokens]]:
    tokens = vlm.encode([blank_image("noise", SIDE, seed) for seed in range(6)])
    return [tokens[:1], tokens[1:2], tokens[2:4], tokens[3:4], tokens[4:], tokens[5:]]


def said_by(vlm: VLM, at_once: int | None) -> tuple[list[list[int]], int]:
    """The tokens of all answers, and how many steps they took."""
    steps: list[int] = []
    asked = vlm.asking_all(QUESTION, rows_of(vlm), Told())
    found = generate(vlm.model, asked, at_once, lambda _said: steps.append(1))
    return [each.token_ids for each in found], len(steps)


@pytest.mark.parametrize("window", [6, 12, 18, 22, 128])
def test_a_window_that_moves_on_changes_nothing(window: int) -> None:
    """Of the first window a question has more tokens than it holds; the others fill while answers are said."""
    vlm = gemma3(sliding_window=window).vlm()
    alone, n_alone = said_by(vlm, 1)
    assert n_alone == sum(LENGTHS)
    assert said_by(vlm, 2) == (alone, 17)


def test_caches_of_an_unknown_kind_are_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = gemma3().vlm()
    alone, _ = said_by(vlm, 1)
    monkeypatch.setattr(generation, "_JOINABLE", set())
    assert said_by(vlm, 2) == (alone, 12 + 3 + 7)
    monkeypatch.setattr(generation, "_READ_AT_ONCE", 3)
    assert said_by(vlm, None) == (alone, 12 + 7)


def test_questions_that_are_read_in_several_passes_are_answered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = gemma3().vlm()
    alone, _ = said_by(vlm, 1)
    monkeypatch.setattr(generation, "_READ_AT_ONCE", 2)
    assert said_by(vlm, None) == (alone, 12)


def test_samples_of_a_question_are_read_once() -> None:
    vlm = gemma3().vlm()
    read: list[int] = []
    prefill = vlm.model._prefill

    def counted(input_ids: Tensor, *arguments: Any) -> Any:
        read.append(len(input_ids))
        return prefill(input_ids, *arguments)

    vlm.model._prefill = counted
    vlm.say(QUESTION, rows_of(vlm)[:2], Decoding(4, temperature=1.0, n_samples=5))
    assert read == [2]


def test_memory_that_runs_out_in_the_middle_loses_no_complete_answer() -> None:
    vlm = gemma3().vlm()
    rows, drawn = rows_of(vlm), Decoding(6, temperature=1.0, n_samples=2, seed=5)
    expected = vlm.say(QUESTION, rows, drawn)
    n_left = [4]

    def short(_model: object, _arguments: object, inputs: dict[str, Any]) -> None:
        n_left[0] -= 1
        if n_left[0] < 0 and len(inputs["input_ids"]) > 4:
            raise torch.OutOfMemoryError(FULL)

    vlm.model.register_forward_pre_hook(short, with_kwargs=True)
    assert [a.text for a in vlm.say(QUESTION, rows, drawn, batch_size=6)] == [a.text for a in expected]
    with pytest.raises(torch.OutOfMemoryError):
        vlm.say(QUESTION, rows, drawn)


def test_a_question_that_does_not_fit_alone_is_an_error_of_ours() -> None:
    vlm = gemma3().vlm()
    rows = rows_of(vlm)

    def full(*_arguments: Any) -> None:
        raise torch.OutOfMemoryError(FULL)

    vlm.model.register_forward_pre_hook(full)
    with pytest.raises(NotEnoughMemory, match="single question"):
        vlm.say(QUESTION, rows, batch_size=4)
    with pytest.raises(ValueError, match="batch of 0"):
        vlm.say(QUESTION, rows, batch_size=0)


def test_nothing_asked_is_nothing_answered() -> None:
    vlm = gemma3().vlm()
    assert generate(vlm.model, vlm.asking_all(QUESTION, [], Chooser(Decoding(), [], []))) == []
