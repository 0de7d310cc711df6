"""What is the same for every family; tests/vlm/test_contract.py holds each to the plain model."""

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from seesay.errors import LayerNotFound, NotEnoughMemory, UnreadableImage, UnreadableModel, UnreadablePrompt
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm import VLM, ImageTokens, Prompts
from tests.families import BUILDERS, D_MODEL, IDS, N_BLOCKS, QUESTION, SIDE, SPECIAL, gemma3, gemma4

BLANK = blank_image("white", SIDE)
DRAWN = Decoding(max_new_tokens=6, temperature=1.0, n_samples=3)


def tokens_of(vlm: VLM, n: int = 3) -> list[ImageTokens]:
    return vlm.encode([blank_image("noise", SIDE, seed) for seed in range(n)])


def test_it_knows_its_sizes(vlm: VLM) -> None:
    encoder = vlm.encoder
    assert (encoder.n_blocks, encoder.d_model, encoder.image_size) == (N_BLOCKS, D_MODEL, SIDE)
    assert (encoder.device, encoder.dtype) == (torch.device("cpu"), torch.float32)


def test_asking_twice_gives_the_same_answer(vlm: VLM) -> None:
    rows = [[image] for image in tokens_of(vlm)]
    assert vlm.say(QUESTION, rows) == vlm.say(QUESTION, rows)


def test_greedy_log_probabilities_are_those_of_the_chosen_tokens(vlm: VLM) -> None:
    image = tokens_of(vlm, 1)
    (answer,) = vlm.say(QUESTION, [image], Decoding(max_new_tokens=5))
    inputs = vlm.plain_inputs(QUESTION, [[blank_image("noise", SIDE, 0)]])
    output = vlm.model.generate(
        **inputs, max_new_tokens=5, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    chosen = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    log_probabilities = [
        step.log_softmax(-1)[0, token].item() for step, token in zip(output.logits, chosen, strict=True)
    ]
    end = vlm.model.generation_config.eos_token_id
    counted = next((place + 1 for place, token in enumerate(chosen) if token == end), len(chosen))
    assert answer.mean_log_probability == pytest.approx(sum(log_probabilities[:counted]) / counted, abs=1e-5)


def test_samples_differ_and_depend_on_nothing_asked_beside_them(vlm: VLM) -> None:
    images = tokens_of(vlm)
    together = vlm.say(QUESTION, [images[:2], images[1:]], DRAWN, keys=[7, 40])
    assert len(together) == 6
    assert len({answer.text for answer in together}) > 3
    alone = vlm.say(QUESTION, [images[1:]], DRAWN, keys=[40])
    assert [answer.text for answer in together[3:]] == [answer.text for answer in alone]
    other = Decoding(max_new_tokens=6, temperature=1.0, n_samples=3, seed=1)
    assert [answer.text for answer in vlm.say(QUESTION, [images[1:]], other, keys=[40])] != [a.text for a in alone]


def test_samples_of_one_row_see_the_same_images(vlm: VLM) -> None:
    """generate's own samples would mix the images of several."""
    images = tokens_of(vlm)
    greedy = Decoding(max_new_tokens=6, n_samples=3)
    answers = vlm.say(QUESTION, [images[:2], images[1:]], greedy)
    assert [answer.text for answer in answers[::3]] == [
        answer.text for answer in vlm.say(QUESTION, [images[:2], images[1:]], Decoding(max_new_tokens=6))
    ]
    assert len({answer.text for answer in answers[:3]}) == len({answer.text for answer in answers[3:]}) == 1


@pytest.mark.parametrize("token", ["<start_of_image>", "<image_soft_token>"])
def test_words_that_mean_an_image_are_refused_in_a_prompt(vlm: VLM, token: str) -> None:
    with pytest.raises(UnreadablePrompt, match=token):
        vlm.say(f"what is {token} ?", [tokens_of(vlm, 1)])


@pytest.mark.parametrize(
    "template", ["{% for message in", "{{ messages[0]['content'] + '' }}", "{{ raise_exception('no') }}", "words"]
)
def test_a_chat_template_that_will_not_do_is_one_line(template: str) -> None:
    parts = gemma3()
    parts.tokenizer.chat_template = template
    vlm = parts.vlm()
    with pytest.raises(UnreadableModel, match="chat template"):
        vlm.say(QUESTION, [tokens_of(vlm, 1)])


def test_nothing_asked_is_nothing_said(vlm: VLM) -> None:
    assert vlm.say(QUESTION, []) == []
    assert vlm.encode([]) == []
    with pytest.raises(ValueError, match="no images"):
        vlm.encode_to([], 0)


def test_every_row_has_its_key(vlm: VLM) -> None:
    rows = [[image] for image in tokens_of(vlm)]
    with pytest.raises(ValueError, match="1 keys for 3 rows"):
        vlm.say(QUESTION, rows, DRAWN, keys=[1])
    same, other = vlm.say(QUESTION, [rows[0], rows[0]], Decoding(max_new_tokens=6, temperature=2.0))
    assert same.text != other.text, "by default each row draws for itself"


def test_a_question_can_be_asked_in_batches_that_fit(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[image] for image in tokens_of(vlm, 5)]
    expected = vlm.say(QUESTION, rows, DRAWN)
    generate = vlm.model.generate

    def short_of_memory(**inputs: Any) -> Tensor:
        if len(inputs["input_ids"]) > 2:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return generate(**inputs)

    monkeypatch.setattr(vlm.model, "generate", short_of_memory)
    assert [a.text for a in vlm.say(QUESTION, rows, DRAWN, batch_size=5)] == [a.text for a in expected]
    with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
        vlm.say(QUESTION, rows, DRAWN)


def test_the_first_token_comes_from_the_template_or_the_tokenizer_but_once() -> None:
    parts = gemma3()
    first = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", IDS["<bos>"])])
    parts.tokenizer.backend_tokenizer.post_processor = first
    parts.tokenizer.padding_side = "right"  # ours must be the left, whatever the tokenizer says
    vlm = parts.vlm()
    images = tokens_of(vlm)
    written = vlm._inputs(QUESTION, [images[:1], images])["input_ids"]
    assert (written == IDS["<bos>"]).sum(-1).tolist() == [1, 1]
    assert written[0, 0] == IDS["<pad>"]
    assert written[1, 0] == IDS["<bos>"]
    parts.tokenizer.chat_template = parts.tokenizer.chat_template.replace("{{ bos_token }}", "")
    assert (vlm._inputs(QUESTION, [images])["input_ids"][0] == IDS["<bos>"]).sum() == 1


def test_a_model_that_is_let_go_of_is_gone() -> None:
    parts = gemma3()
    vlm = parts.vlm()
    vlm.encoder.geometry((20, 10))
    vlm.encode([BLANK])
    alive = weakref.ref(vlm.encoder.tower)
    gc.disable()
    try:
        del vlm, parts
        assert alive() is None, "nothing but the garbage collector would free its memory"
    finally:
        gc.enable()


def test_the_norm_of_a_residual_leaves_padding_out() -> None:
    vlm = gemma4().vlm()
    encoded = vlm.encode_to([Image.new("RGB", (72, 56), "white")], 1)
    own = encoded.is_patch[0]
    assert not own.all()
    expected = encoded.residual[0, own].norm(dim=-1).mean().item()
    assert encoded.residual_norm == pytest.approx(expected)


def test_a_residual_of_another_shape_is_refused(vlm: VLM) -> None:
    encoded = vlm.encode_to([BLANK], 1)
    for shape in ((2, 3, D_MODEL), (2, 16, D_MODEL + 1)):
        with pytest.raises(ValueError, match="expected"):
            encoded.with_residual(torch.zeros(shape))


@pytest.mark.parametrize("layer", [-1, N_BLOCKS])
def test_a_block_that_is_not_there_is_refused(vlm: VLM, layer: int) -> None:
    with pytest.raises(LayerNotFound, match=f"0 to {N_BLOCKS - 1}"):
        vlm.encode_to([BLANK], layer)


def test_an_image_is_seen_the_same_in_other_modes(vlm: VLM) -> None:
    grey = Image.fromarray(np.linspace(0, 255, 400).reshape(20, 20).round().astype(np.uint8))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    shares = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    half = Image.merge("LA", (grey, Image.new("L", (20, 20), 255)))
    expected = vlm.encode_to([grey], 0).residual
    for image in (deep, shares, half, grey.convert("P"), grey.convert("CMYK")):
        torch.testing.assert_close(vlm.encode_to([image], 0).residual, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "mistral3"])
def test_a_shape_that_a_model_does_not_take_is_one_line(family: str) -> None:
    vlm = BUILDERS[family]().vlm()
    with pytest.raises(UnreadableImage, match="2000x5 pixels"):
        vlm.encode_to([BLANK, Image.new("RGB", (2000, 5))], 0)
    with pytest.raises(UnreadableImage, match="image 1"):
        vlm.encode_to([BLANK, Image.new("RGB", (0, 10))], 0)


@pytest.mark.parametrize("family", BUILDERS)
def test_one_pixel_is_an_image(family: str) -> None:
    (tokens,) = BUILDERS[family]().vlm().encode([Image.new("RGB", (1, 1))])
    assert tokens.tokens.isfinite().all()


def test_an_image_of_a_mode_without_a_way_to_rgb_is_refused(vlm: VLM) -> None:
    with pytest.raises(UnreadableImage, match="image 1 of mode 'La'"):
        vlm.encode_to([BLANK, Image.new("La", (20, 10))], 0)


def test_batches_are_halved_until_they_fit(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [blank_image("noise", SIDE, seed) for seed in range(7)]
    expected = vlm.encode_to(images, 1, batch_size=7).residual
    run, sizes = vlm.encoder._run, []

    def short_of_memory(**pictures: Tensor) -> object:
        sizes.append(len(pictures["pixel_values"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("no room")
        return run(**pictures)

    monkeypatch.setattr(vlm.encoder, "_run", short_of_memory)
    torch.testing.assert_close(vlm.encode_to(images, 1, batch_size=7).residual, expected, rtol=0, atol=1e-5)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]


def test_one_image_that_does_not_fit_is_an_error(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(**_pictures: Tensor) -> object:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(vlm.encoder, "_run", no_memory)
    for encode in (lambda: vlm.encode_to([BLANK], 1), lambda: vlm.encode([BLANK])):
        with pytest.raises(NotEnoughMemory, match="32x32 pixels"):
            encode()


def test_threads_take_turns_in_the_encoder(vlm: VLM) -> None:
    blank = vlm.encode_to([BLANK], 1)
    steered = [blank.with_residual(blank.residual + number) for number in range(8)]
    expected = [vlm.encode_from(each)[0].tokens for each in steered]
    found: dict[int, Tensor] = {}

    def work(number: int) -> None:
        found[number] = vlm.encode_from(steered[number])[0].tokens

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[number], expected[number]) for number in range(8))


def test_images_can_be_prepared_beforehand(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [blank_image("noise", SIDE, seed) for seed in range(3)]
    prepared = vlm.encoder.prepare(images)
    expected = vlm.encode_to(images, 1).residual
    assert torch.equal(vlm.encoder.encode_prepared(prepared, 1).residual, expected)

    def no_memory(**_pictures: Tensor) -> object:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(vlm.encoder, "_run", no_memory)
    with pytest.raises(NotEnoughMemory, match="3 images at once"):
        vlm.encoder.encode_prepared(prepared, 1)


@pytest.mark.parametrize("family", BUILDERS)
def test_the_next_word_is_the_first_step_of_an_answer(family: str) -> None:
    vlm = BUILDERS[family]().vlm()
    rows = [[image] for image in tokens_of(vlm)]
    found = vlm.next_word(QUESTION, rows)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(3))
    said = vlm.say(QUESTION, rows, Decoding(max_new_tokens=1))
    assert [answer.mean_log_probability for answer in said] == pytest.approx(found.amax(-1).tolist(), abs=1e-5)
    assert [answer.text for answer in said] == vlm.decode(found.argmax(-1, keepdim=True))
    torch.testing.assert_close(vlm.next_word(QUESTION, rows[1:2]), found[1:2], rtol=0, atol=1e-5)


def test_the_next_word_may_come_after_others(vlm: VLM) -> None:
    """Which the model has said already, as far as it knows."""
    rows = [[image] for image in tokens_of(vlm)]
    longer = vlm.say(QUESTION, rows, Decoding(max_new_tokens=2))
    begun = vlm.say(QUESTION, rows, Decoding(max_new_tokens=1))
    for row, both, first in zip(rows, longer, begun, strict=True):
        found = vlm.next_word(QUESTION, [row], f" {first.text}")
        second = 2 * both.mean_log_probability - first.mean_log_probability
        assert found.amax().item() == pytest.approx(second, abs=1e-5)
    assert not torch.equal(vlm.next_word(QUESTION, rows, " a"), vlm.next_word(QUESTION, rows))


QUESTIONS = ["what is the red ?", QUESTION, "what is in the red image ? w1 w2 w3", QUESTION]


@pytest.mark.parametrize("family", BUILDERS)
def test_each_row_may_have_its_own_question(family: str) -> None:
    vlm = BUILDERS[family]().vlm()
    images = tokens_of(vlm)
    rows = [images[:1], images[1:2], images[:1], images[2:]]
    found = vlm.next_word(QUESTIONS, rows)
    said = vlm.say(QUESTIONS, rows, Decoding(max_new_tokens=4))
    for number, (question, row) in enumerate(zip(QUESTIONS, rows, strict=True)):
        torch.testing.assert_close(vlm.next_word(question, [row]), found[number : number + 1], rtol=0, atol=1e-5)
        assert vlm.say(question, [row], Decoding(max_new_tokens=4))[0].text == said[number].text
    assert not torch.allclose(found[0], found[2]), "the same image, asked otherwise"


def test_questions_of_their_own_go_with_rows_and_keys_in_any_batch(vlm: VLM) -> None:
    rows, keys = [[image] for image in tokens_of(vlm, 4)], [7, 40, 7, 3]
    expected = [
        answer.text
        for question, row, key in zip(QUESTIONS, rows, keys, strict=True)
        for answer in vlm.say(question, [row], DRAWN, keys=[key])
    ]
    for batch_size in (None, 1, 3):
        found = vlm.say(QUESTIONS, rows, DRAWN, keys=keys, batch_size=batch_size)
        assert [answer.text for answer in found] == expected
    assert [answer.text for answer in vlm.say([QUESTION] * 4, rows)] == [each.text for each in vlm.say(QUESTION, rows)]


@pytest.mark.parametrize("family", BUILDERS)
def test_questions_can_be_asked_without_images(family: str) -> None:
    vlm = BUILDERS[family]().vlm()
    found = vlm.say(QUESTIONS, [[] for _ in QUESTIONS], Decoding(max_new_tokens=3))
    alone = [vlm.say(question, [[]], Decoding(max_new_tokens=3))[0].text for question in QUESTIONS]
    assert [answer.text for answer in found] == alone


def test_every_row_has_its_question(vlm: VLM) -> None:
    rows = [[image] for image in tokens_of(vlm)]
    for ask in (vlm.say, vlm.next_word):
        with pytest.raises(ValueError, match="2 prompts for 3 rows"):
            ask([QUESTION, QUESTION], rows)


@pytest.mark.parametrize("family", BUILDERS)
def test_special_tokens_are_left_out_of_a_phrase(family: str) -> None:
    vlm = BUILDERS[family]().vlm()
    vlm.prompts = Prompts({"detect": "is {phrase} red ?"})
    for token in [*SPECIAL, vlm._names.image]:
        assert vlm.asking("detect", f"w1 {token} w2") == "is w1 w2 red ?"
    assert vlm.asking("detect", "w1 <im<bos>age> < bos >\n{phrase}") == "is w1 <im age> < bos > {phrase} red ?"
    nested = vlm.asking("detect", "w1 <eo<eos>s> w2")
    assert vlm.say(nested, [[image] for image in tokens_of(vlm, 1)], Decoding(max_new_tokens=1))


def test_tokens_have_an_embedding_and_letters(vlm: VLM) -> None:
    assert vlm.embeddings.shape == (len(IDS), 32)
    assert vlm.words([IDS["red"], IDS["<eos>"], IDS["w3"]]) == ["red", "", "w3"]


@pytest.mark.parametrize("family", BUILDERS)
def test_nothing_enters_the_first_block_as_zeros(family: str) -> None:
    vlm = BUILDERS[family]().vlm()
    entered: list[Tensor] = []
    first = vlm.encoder.blocks[0]
    plain = vlm.encode_to([blank_image("white", vlm.encoder.image_size)], 1)
    n_hooks = len(first._forward_pre_hooks)
    handle = first.register_forward_hook(
        lambda _block, inputs, named, _output: entered.append([*inputs, *named.values()][0]), with_kwargs=True
    )
    nothing = vlm.encoder.encode_nothing(1)
    handle.remove()
    assert len(entered) == 1
    assert not entered[0].any()
    assert nothing.residual.shape == plain.residual.shape
    assert not torch.allclose(nothing.residual, plain.residual)
    assert len(first._forward_pre_hooks) == n_hooks, "and it is put back"
    assert vlm.encode_from(nothing)[0].tokens.isfinite().all()


def test_nothing_has_the_blocks_that_the_encoder_has(vlm: VLM) -> None:
    with pytest.raises(LayerNotFound, match=str(N_BLOCKS)):
        vlm.encoder.encode_nothing(N_BLOCKS)
    first, later = (vlm.encoder.encode_nothing(layer).residual for layer in (0, 1))
    assert not torch.equal(first, later)
    assert torch.equal(vlm.encoder.encode_nothing(1).residual, later)
