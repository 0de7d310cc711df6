"""Measures: a model that knows is given full marks, one that guesses none."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from seesay.vlm import VLM
from seesay.vlm.answers import Answer
from seesay.world import examination
from seesay.world.concepts import CONCEPTS
from seesay.world.examination import (
    blank_accuracy,
    caption_quality,
    detection_accuracy,
    fuzzing_accuracy,
    level_accuracy,
    naming_accuracy,
    without,
)
from seesay.world.grammar import caption, phrase
from seesay.world.masks import ABSENT, coverage
from seesay.world.questions import BLANKS, MASK_FILL, ask, showing
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import RANGES

NOBODY = VLM.__new__(VLM)  # the stand-ins for `answers` never look at it


def says(monkeypatch: pytest.MonkeyPatch, texts: Any) -> None:
    """Let the model under examination say what a function of question and number of rows says."""
    monkeypatch.setattr(examination, "answers", lambda _, question, pictures: texts(question, pictures))


def knowing(question: str, pictures: Sequence[Sequence[np.ndarray]]) -> list[str]:
    return [TRUTH[row[0].tobytes()] for row in pictures]


TRUTH: dict[bytes, str] = {}


@pytest.fixture(autouse=True)
def noting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note the caption of every picture that a measure draws."""

    def noted(scene: Any) -> Any:
        rendering = render(scene)
        TRUTH[rendering.pixels.tobytes()] = caption(scene)
        return rendering

    monkeypatch.setattr(examination, "render", noted)


def test_true_captions_are_complete_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, knowing)
    assert caption_quality(NOBODY, 40) == (1.0, 1.0)


def test_saying_everything_finds_everything_and_is_mostly_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = " and ".join(map(phrase, CONCEPTS))
    says(monkeypatch, lambda _, pictures: [everything] * len(pictures))
    recall, precision = caption_quality(NOBODY, 40)
    assert recall == 1.0
    assert precision < 0.05


def test_saying_nothing_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, lambda _, pictures: ["nothing"] * len(pictures))
    assert caption_quality(NOBODY, 20) == (0.0, 0.0)
    assert naming_accuracy(NOBODY, "shape", 10) == 0.0


def test_one_name_for_everything_is_right_as_often_as_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, lambda _, pictures: ["a striped pattern"] * len(pictures))
    assert 0.05 < naming_accuracy(NOBODY, "fill", 60) < 0.5


@pytest.mark.parametrize("word", ["yes", "no"])
def test_the_same_answer_to_everything_is_worth_one_half(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    says(monkeypatch, lambda _, pictures: [word] * len(pictures))
    assert detection_accuracy(NOBODY, 12) == 0.5
    assert fuzzing_accuracy(NOBODY, 12) == 0.5


def test_saying_nothing_of_every_blank_is_half_of_what_is_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, lambda _, pictures: ["nothing"] * len(pictures))
    assert blank_accuracy(NOBODY) == 0.5
    said = {ask("describe"): list(BLANKS.values()), ask("highlight"): ["nothing"] * len(BLANKS)}
    says(monkeypatch, lambda question, _: said[question])
    assert blank_accuracy(NOBODY) == 1.0


def test_fewer_pictures_and_other_marks_are_shown_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Sequence[Sequence[np.ndarray]]] = []
    says(monkeypatch, lambda _, pictures: (shown.append(pictures), ["nothing"] * len(pictures))[1])
    naming_accuracy(NOBODY, "thing", 2)
    naming_accuracy(NOBODY, "thing", 2, overlay="heatmap", n_shown=1)
    assert [[len(row) for row in rows] for rows in shown] == [[5, 5], [1, 1]]
    assert (shown[0][0][0] == MASK_FILL).all(-1).any()
    assert not (shown[1][0][0] == MASK_FILL).all(-1).any()


def test_a_wrong_word_is_worth_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, lambda _, pictures: ["perhaps"] * len(pictures))
    assert detection_accuracy(NOBODY, 6) == 0.0


def test_every_concept_that_is_asked_about_has_pictures_without_it() -> None:
    for concept in CONCEPTS:
        if concept.kind != "position":
            found = without(concept, range(1000, 1200), 2)
            assert len(found) == 2
            assert all(coverage(rendering)[CONCEPTS.index(concept)].max() < ABSENT for rendering in found)


def test_levels_are_asked_without_a_picture() -> None:
    def say(question: str, rows: list[list[Any]], _decoding: Any) -> list[Answer]:
        assert rows == [[]]
        low = any(word in question for word in ("colour", "background", "edge", "pattern", "area", "boundary"))
        return [Answer("low level" if low else "high level", 0.0)]

    model: Any = VLM.__new__(VLM)
    model.say = say
    asked_high = [concept for concept in CONCEPTS if concept.kind in ("position", "size")]
    assert level_accuracy(model) == pytest.approx(1 - len(asked_high) / len(CONCEPTS))


@pytest.mark.parametrize("stream", ["evaluation", "monitoring"])
def test_a_measure_looks_at_its_own_stream_alone(monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    seen: list[int] = []

    def noting_sample(seed: int, *rest: Any) -> Any:
        seen.append(seed)
        return sample(seed, *rest)

    monkeypatch.setattr(examination, "sample", noting_sample)
    monkeypatch.setattr("seesay.world.questions.sample", noting_sample)
    says(monkeypatch, lambda _, pictures: ["yes"] * len(pictures))
    caption_quality(NOBODY, 3, stream)
    naming_accuracy(NOBODY, "thing", 2, stream)
    detection_accuracy(NOBODY, 3, stream=stream)
    fuzzing_accuracy(NOBODY, 3, stream)
    assert len(seen) > 20
    assert all(seed in RANGES[stream] for seed in seen)


def test_the_first_pictures_that_show_a_concept_are_taken() -> None:
    for concept in CONCEPTS[::20]:
        shown = showing(concept, range(50), 2)
        assert [rendering.scene.seed for rendering in shown] == sorted(rendering.scene.seed for rendering in shown)
        assert ask("detect", concept).startswith("is ")
