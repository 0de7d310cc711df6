"""How probable words are as an answer: against one plain pass of the whole model over question and answer."""

from collections.abc import Sequence
from functools import cache

import pytest
import torch
from PIL import Image

from seesay import world
from seesay.errors import NotEnoughMemory
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm import VLM, generation, likelihood
from seesay.vlm.answers import Forced
from seesay.vlm.generation import Said
from seesay.vlm.likelihood import log_likelihoods, phrase_likelihoods
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import seeds
from tests.explainers.galleries import noise, vlm_of
from tests.families import IDS, QUESTION, SIDE

TINY_WORDS = ["w1", "a w5 w9 w9", "w63 w2"]
WORLD_WORDS = ["a frog on a white background", "the colour red", "a dotted star"]


@cache
def small_world() -> VLM:
    return world.load_vlm("world:S", device="cpu")


def alone(vlm: VLM, prompt: str, images: Sequence[Image.Image], token_ids: Sequence[int], start: str = "") -> float:
    """The same in one pass, without a cache, from pixels: the model reads question and answer at once."""
    inputs = vlm.plain_inputs(prompt, [images])
    begun = vlm._tokenizer(start, add_special_tokens=False)["input_ids"] if start else []
    said = torch.tensor([[*begun, *token_ids]])
    n_asked = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], said], dim=1)
    for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            more = torch.full_like(said, int(name == "attention_mask"))
            inputs[name] = torch.cat([inputs[name], more], dim=1)
    with torch.no_grad():
        logits = vlm.model(**inputs).logits[0].double().log_softmax(-1)
    chosen = logits[n_asked + len(begun) - 1 : -1].gather(-1, torch.tensor(token_ids)[:, None])
    return chosen.mean().item()


@pytest.mark.parametrize("start", ["", " a red"])
@pytest.mark.parametrize("family", ["gemma3", "qwen2_5_vl", "llava"])
def test_forced_answers_are_as_probable_as_in_one_plain_pass(family: str, start: str) -> None:
    vlm = vlm_of(family)
    rows = [[noise((32, 32), seed)] for seed in range(3)]
    tokens = [vlm.encode(row) for row in rows]
    found = log_likelihoods(vlm, QUESTION, tokens, TINY_WORDS, start)
    token_ids = [[IDS[word] for word in words.split()] for words in TINY_WORDS]
    expected = [alone(vlm, QUESTION, row, ids, start) for row, ids in zip(rows, token_ids, strict=True)]
    assert found == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.1


def test_forced_answers_in_the_world_are_as_probable_as_in_one_plain_pass() -> None:
    vlm = small_world()
    rows = [[render(sample(seed)).image for seed in seeds("evaluation", 3 * n, 3)] for n in range(3)]
    tokens = [vlm.encode(row) for row in rows]
    found = log_likelihoods(vlm, vlm.prompts["topk"], tokens, WORLD_WORDS)
    token_ids = [vlm._tokenizer(words, add_special_tokens=False)["input_ids"] for words in WORLD_WORDS]
    expected = [alone(vlm, vlm.prompts["topk"], row, ids) for row, ids in zip(rows, token_ids, strict=True)]
    assert found == pytest.approx(expected, abs=1e-4)


def test_what_the_model_says_by_itself_is_as_probable_as_it_says() -> None:
    vlm = small_world()
    row = vlm.encode([render(sample(seed)).image for seed in seeds("evaluation", 0, 2)])
    [said] = vlm.say(vlm.prompts["describe"], [row], Decoding(64))
    (found,) = log_likelihoods(vlm, vlm.prompts["describe"], [row], [said.text])
    assert found is not None
    assert said.mean_log_probability is not None
    n_tokens = len(vlm._tokenizer(said.text, add_special_tokens=False)["input_ids"])
    # It counts the token that ends the answer, too, which is not asked for here, and nearly certain.
    assert 0 <= n_tokens * found - (n_tokens + 1) * said.mean_log_probability < 0.3


def test_answers_do_not_depend_on_what_stands_beside_them() -> None:
    vlm = vlm_of()
    tokens = [vlm.encode([noise((32, 32), seed)]) for seed in range(3)]
    together = log_likelihoods(vlm, QUESTION, tokens, TINY_WORDS)
    each = [
        value
        for row, words in zip(tokens, TINY_WORDS, strict=True)
        for value in log_likelihoods(vlm, QUESTION, [row], [words])
    ]
    assert together == pytest.approx(each, abs=1e-5)


def test_an_answer_of_no_words_has_no_probability() -> None:
    vlm = vlm_of()
    row = vlm.encode([blank_image("white", 32)])
    found = log_likelihoods(vlm, QUESTION, [row] * 4, ["", " \n", "<eos> <image_soft_token>", "w1"])
    assert found[:3] == [None, None, None]
    assert found[3:] == log_likelihoods(vlm, QUESTION, [row], ["w1"])
    assert log_likelihoods(vlm, QUESTION, [], []) == []


def test_special_tokens_in_an_answer_are_left_out_and_unknown_words_are_not() -> None:
    vlm = vlm_of()
    row = vlm.encode([blank_image("white", 32)])
    clean, dirty, unknown = log_likelihoods(vlm, QUESTION, [row] * 3, ["w1 w2", "w1 <eos> w2", "w1 unheard-of w2"])
    assert clean == dirty
    assert unknown != clean


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "MOST_TOKENS", 8)
    vlm = vlm_of()
    row = vlm.encode([blank_image("white", 32)])
    endless, cut = log_likelihoods(vlm, QUESTION, [row] * 2, ["w1 " * 5000, "w1 " * 8])
    assert endless == cut


def test_a_forced_answer_is_what_it_is_told_and_ends_with_it() -> None:
    forced = Forced([[2], [0, 1]])
    scores = torch.zeros(2, 3)
    assert forced.choose([0, 1], [Said(), Said()], scores).tolist() == [2, 0]
    assert [forced.is_last(0, [2]), forced.is_last(1, [0])] == [True, False]
    assert forced.choose([1], [Said([0], [-1.0])], scores[:1]).tolist() == [1]
    assert forced.is_last(1, [0, 1])
    with pytest.raises(AssertionError, match="without a token"):
        Forced([[1], []])


@pytest.mark.parametrize("family", ["gemma3", "qwen2_5_vl", "llava", "internvl"])
@pytest.mark.parametrize("at_once", [None, 1, 2])
def test_several_answers_to_a_question_are_as_probable_together_as_each_alone(family: str, at_once: int | None) -> None:
    vlm = vlm_of(family)
    rows = [vlm.encode([noise((32, 32), seed) for seed in range(n)]) for n in (1, 1, 1)]
    # some begin alike, one is another's beginning, one is there twice
    own = [["w1 w2", "w1 w2 w3", "w1 w2 w4"], ["w9", "w9", "w1 w2 w3 w4 w5"], ["w5 w1", "w7 w1", "w5 w2"]]
    found = phrase_likelihoods(vlm, QUESTION, rows, own, at_once)
    for row, phrases, values in zip(rows, own, found.tolist(), strict=True):
        means = log_likelihoods(vlm, QUESTION, [row] * len(phrases), phrases)
        expected = [len(words.split()) * mean for words, mean in zip(phrases, means, strict=True) if mean is not None]
        assert values == pytest.approx(expected, abs=1e-3)


def test_an_answer_without_words_is_never_said() -> None:
    vlm = vlm_of()
    rows = [vlm.encode([noise((32, 32), 0)])]
    found = phrase_likelihoods(vlm, QUESTION, rows, [["w1", " ", "<eos>"]])
    assert found.isfinite().tolist() == [[True, False, False]]
    assert phrase_likelihoods(vlm, QUESTION, [], []).shape == (0, 0)


def test_answers_go_by_halves_where_memory_runs_out_for_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = vlm_of()
    rows = [[image] for image in vlm.encode([noise((SIDE, SIDE), seed) for seed in range(2)])]
    phrases = [["w1", "a w5 w9", "w63 w2", "w7", "w2"]] * 2
    expected = phrase_likelihoods(vlm, QUESTION, rows, phrases)
    asked: list[int] = []
    weighed = generation._weighed  # pyright: ignore[reportPrivateUsage]

    def short(model: object, batch: object, answers: list[list[list[int]]]) -> list[list[float]]:
        asked.append(max(map(len, answers)))
        if asked[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return weighed(model, batch, answers)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(generation, "_weighed", short)
    found = phrase_likelihoods(vlm, QUESTION, rows, phrases, at_once=2)
    assert torch.allclose(found, expected, atol=1e-5)
    assert asked[:3] == [5, 5, 2]
    monkeypatch.setattr(generation, "_weighed", lambda *_: _raise())
    with pytest.raises(NotEnoughMemory):
        phrase_likelihoods(vlm, QUESTION, rows, phrases, at_once=2)


def _raise() -> list[list[float]]:
    raise torch.OutOfMemoryError("CUDA out of memory")
