"""What is the same for every family; tests/vlm/test_contract.py holds each to the plain model."""

import threading

import pytest
import torch
from PIL import Image
from torch import Tensor

from seesay.errors import LayerNotFound, NotEnoughMemory, UnreadableImage, UnreadablePrompt
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm import VLM, ImageTokens
from tests.families import D_MODEL, N_BLOCKS, QUESTION, SIDE

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
    inputs = {**vlm._inputs(QUESTION, [image]), **vlm.encoder._pictures([blank_image("noise", SIDE, 0)])[0]}
    output = vlm._model.generate(
        **inputs, max_new_tokens=5, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    chosen = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    log_probabilities = [
        step.log_softmax(-1)[0, token].item() for step, token in zip(output.logits, chosen, strict=True)
    ]
    end = vlm._model.generation_config.eos_token_id
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


def test_words_that_mean_an_image_are_refused_in_a_prompt(vlm: VLM) -> None:
    with pytest.raises(UnreadablePrompt, match="<start_of_image>"):
        vlm.say("what is <start_of_image> ?", [tokens_of(vlm, 1)])


@pytest.mark.parametrize("layer", [-1, N_BLOCKS])
def test_a_block_that_is_not_there_is_refused(vlm: VLM, layer: int) -> None:
    with pytest.raises(LayerNotFound, match=f"0 to {N_BLOCKS - 1}"):
        vlm.encode_to([BLANK], layer)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1", "F", "LAB"])
def test_images_of_many_modes_are_seen(vlm: VLM, mode: str) -> None:
    assert vlm.encode_to([Image.new(mode, (20, 10))], 0).residual.isfinite().all()


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
