"""Labelling a run: only what is missing, batch by batch, by whoever tells levels."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from seesay import world
from seesay.errors import NotEnoughMemory, UnreadablePrompt
from seesay.pipeline.labelling import Labeller, by_model, label, read_level
from seesay.records import Decoding, Level
from seesay.store.explanations import add, add_setting
from seesay.store.labels import Label, labels, unlabelled
from seesay.store.run import Run
from seesay.vlm import VLM, Prompts, load_vlm
from seesay.world.concepts import CONCEPTS
from seesay.world.concepts import level as level_of_concept
from seesay.world.grammar import phrase
from tests.families import BUILDERS, IDS
from tests.store.test_explanations import facts_of, said, writing

TEXTS = ["a dog", "a red car", "blue", "dots", "red"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with writing(tmp_path) as run:
        add(run, add_setting(run, facts_of(), "m"), [said(n, text) for n, text in enumerate(TEXTS)])
        yield run


class Telling:
    """Calls every text of one word low-level, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> list[tuple[Level, str]]:
        self.asked.append(list(texts))
        return [("high-level" if " " in text else "low-level", f"on {text}") for text in texts]


def test_every_batch_is_written_before_the_next_is_asked(run: Run) -> None:
    telling, done, there = Telling(), [], []

    def on_batch(n: int) -> None:
        done.append(n)
        with Run.open(run.folder) as reader:
            there.append(len(labels(reader, "me")))

    assert label(run, Labeller("me", telling), batch_size=2, on_batch=on_batch) == 5
    assert (done, there) == ([2, 2, 1], [2, 4, 5])
    assert telling.asked == [["a dog", "a red car"], ["blue", "dots"], ["red"]]
    assert labels(run, "me")["blue"] == Label("blue", "low-level", "on blue")
    assert labels(run, "me")["a dog"] == Label("a dog", "high-level", "on a dog")


def test_what_is_labelled_is_not_asked_again_but_by_another(run: Run) -> None:
    telling = Telling()
    for labeller, n in (("me", 5), ("me", 0), ("you", 5)):
        assert label(run, Labeller(labeller, telling)) == n
    assert len(telling.asked) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_batch_and_it_goes_on_from_there(run: Run, number: int) -> None:
    telling = Telling()

    def interrupted(texts: Sequence[str]) -> list[tuple[Level, str]]:
        os.kill(os.getpid(), number)
        return telling(texts)

    with pytest.raises(KeyboardInterrupt):
        label(run, Labeller("me", interrupted), batch_size=2)
    assert list(labels(run, "me")) == ["a dog", "a red car"]
    assert label(run, Labeller("me", telling), batch_size=2) == 3
    assert sum(telling.asked, []) == TEXTS
    assert unlabelled(run, "me") == []


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ("low", "low-level"),
        ("High", "high-level"),
        ("other", "other"),
        ("low level", "low-level"),
        ("low-level", "low-level"),
        ("lowlevel", "low-level"),
        ("low_level", "low-level"),
        ("**High-level**.", "high-level"),
        ("HIGH\n", "high-level"),
        ("It is high, not low.", "high-level"),
        ("Level: low", "low-level"),
        ("Other than that, low", "other"),
        ("slow and lowly, highly", "other"),
        ("another one: low", "low-level"),
        ("below", "other"),
        ("", "other"),
        ("I cannot say", "other"),
    ],
)
def test_a_level_is_the_first_one_that_an_answer_names(answer: str, level: Level) -> None:
    assert read_level(answer) == level


def small(family: str = "gemma3") -> VLM:
    vlm = BUILDERS[family]().vlm()
    vlm.prompts = Prompts({"level": "what is {phrase} ?"})
    return vlm


def test_a_model_is_asked_about_the_words_without_an_image() -> None:
    vlm = small()
    texts = ["red", "the red image", "<image_soft_token> w3 <eos>", "w9 w8 w7 w6", ""]
    words = ["red", "the red image", "w3", "w9 w8 w7 w6", ""]
    expected = [vlm.say(f"what is {each} ?", [[]], Decoding(12))[0].text for each in words]
    found = by_model(vlm).level_of(texts)
    assert [raw for _level, raw in found] == expected
    assert [level for level, _raw in found] == [read_level(raw) for raw in expected]
    assert len(set(expected)) > 2, "it says different things of different words"
    assert by_model(vlm).level_of([]) == []


def test_a_batch_too_large_for_memory_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = small()
    expected = by_model(vlm).level_of(TEXTS)
    generate = vlm.model.generate

    def short_of_memory(**inputs: torch.Tensor) -> torch.Tensor:
        if len(inputs["input_ids"]) > most:
            raise torch.OutOfMemoryError("no room")
        return generate(**inputs)

    monkeypatch.setattr(vlm.model, "generate", short_of_memory)
    most = 2
    assert by_model(vlm).level_of(TEXTS) == expected
    most = 0
    with pytest.raises(NotEnoughMemory):
        by_model(vlm).level_of(TEXTS)


def test_another_model_or_question_is_another_labeller() -> None:
    me = by_model(small()).identity
    assert me.startswith("model:")
    assert by_model(small()).identity == me
    changed = small()
    with torch.no_grad():
        changed.embeddings[IDS["red"]] += 1
    other = small()
    other.prompts = Prompts({"level": "is {phrase} in the image ?"})
    assert len({me, by_model(changed).identity, by_model(other).identity}) == 3


def test_a_model_without_the_question_is_refused_in_a_line() -> None:
    vlm = small()
    vlm.prompts = Prompts({"steering": "what ?"})
    with pytest.raises(UnreadablePrompt, match=r"level\.txt"):
        by_model(vlm)


def test_the_worlds_language_model_knows_its_concepts_by_heart() -> None:
    vlm = load_vlm(world.checkpoint("world:S"), device="cpu")
    concepts = CONCEPTS[::5]
    found = by_model(vlm).level_of([phrase(concept) for concept in concepts])
    right = [level == level_of_concept(concept) for (level, _raw), concept in zip(found, concepts, strict=True)]
    assert sum(right) >= 0.9 * len(concepts)
    assert {level for level, _raw in found} == {"low-level", "high-level"}
