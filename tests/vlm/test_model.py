"""The contract of the VLM seam: whatever is cut short must equal the plain model with a plain hook."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from PIL import Image
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from seesay.errors import LayerNotFound
from seesay.images.blank import blank_image
from seesay.steering import add_direction
from seesay.vlm import VLM
from seesay.vlm.prompts import Prompts
from tests.tiny import D_MODEL, END_IDS, IMAGE_SIZE, IMAGE_TOKENS, N_BLOCKS, QUESTION, tiny_gemma3, tiny_processor

BLANK = blank_image("white", IMAGE_SIZE)
LAYERS = range(N_BLOCKS)
N_POSITIONS = 16


def directions(n: int, scale: float = 8.0) -> Tensor:
    return torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(5)) * scale


@contextmanager
def plain_hook(vlm: VLM, layer: int, shift: Tensor) -> Iterator[None]:
    """What everybody does: add the direction to the block's output in a full forward pass."""
    handle = vlm._blocks[layer].register_forward_hook(lambda _block, _inputs, output: output + shift)
    try:
        yield
    finally:
        handle.remove()


def turn(n_rows: int, images: list[Image.Image]) -> dict[str, Tensor]:
    """One user turn the way the processor's own documentation builds it."""
    content = [{"type": "image"}] * len(images) + [{"type": "text", "text": QUESTION}]
    processor = tiny_processor()
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=[images] * n_rows, text=[text] * n_rows, return_tensors="pt", add_special_tokens=False)
    return dict(inputs)


def forwards(vlm: VLM) -> list[object]:
    return [vars(block).get("forward") for block in vlm._blocks]


def steered_tokens(vlm: VLM, layer: int, directions_fd: Tensor) -> Tensor:
    residual = vlm.encode_to([BLANK], layer)
    return vlm.encode_from(add_direction(residual, directions_fd, torch.ones(len(directions_fd))), layer)


def test_it_knows_its_sizes(vlm: VLM) -> None:
    assert (vlm.n_blocks, vlm.d_model, vlm.image_size) == (N_BLOCKS, D_MODEL, IMAGE_SIZE)
    assert (vlm.device, vlm.dtype) == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("layer", LAYERS)
def test_encoding_up_to_a_block_gives_that_blocks_output(vlm: VLM, layer: int) -> None:
    images = [blank_image("noise", IMAGE_SIZE, seed) for seed in range(5)]
    hidden = vlm._tower(vlm._pixels(images), output_hidden_states=True).hidden_states
    residual = vlm.encode_to(images, layer, batch_size=2)
    assert residual.shape == (5, N_POSITIONS, D_MODEL)
    torch.testing.assert_close(residual, hidden[layer + 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_fast_path_equals_a_plain_hook_token_for_token(vlm: VLM, layer: int) -> None:
    directions_fd = directions(6)
    answers = vlm.say(QUESTION, steered_tokens(vlm, layer, directions_fd)[:, None], max_new_tokens=8)
    inputs = turn(6, [BLANK])
    with plain_hook(vlm, layer, directions_fd[:, None]):
        generated = vlm._model.generate(**inputs, max_new_tokens=8, do_sample=False)
    new = generated[:, inputs["input_ids"].shape[1] :]
    expected = tiny_processor().batch_decode(new, skip_special_tokens=True)
    assert [answer.text for answer in answers] == expected
    assert len(set(expected)) > 1, "the directions must make a difference"


@pytest.mark.parametrize("layer", LAYERS)
def test_the_fast_paths_logits_equal_a_plain_hooks(vlm: VLM, layer: int) -> None:
    directions_fd = directions(3)
    inputs = turn(3, [BLANK])
    with torch.no_grad():
        with plain_hook(vlm, layer, directions_fd[:, None]):
            expected = vlm._model(**inputs).logits
        del inputs["pixel_values"]
        encoded = BaseModelOutputWithPooling(pooler_output=steered_tokens(vlm, layer, directions_fd))
        found = vlm._model(**inputs, mm_encoder_outputs={"image": encoded}).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_an_unsteered_residual_gives_the_models_own_image_tokens(vlm: VLM, layer: int) -> None:
    expected = vlm._model.get_image_features(vlm._pixels([BLANK]), return_dict=True).pooler_output
    found = vlm.encode_from(vlm.encode_to([BLANK], layer), layer)
    assert found.shape == (1, IMAGE_TOKENS, vlm._model.config.text_config.hidden_size)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_many_rows_at_once_say_what_each_says_alone(vlm: VLM) -> None:
    tokens = steered_tokens(vlm, 1, directions(8))[:, None]
    together = vlm.say(QUESTION, tokens, max_new_tokens=8)
    alone = [vlm.say(QUESTION, row[None], max_new_tokens=8)[0] for row in tokens]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.mean_log_probability == pytest.approx(other.mean_log_probability, abs=1e-5)


def test_asking_twice_gives_the_same_answer(vlm: VLM) -> None:
    tokens = steered_tokens(vlm, 1, directions(2))[:, None]
    assert vlm.say(QUESTION, tokens) == vlm.say(QUESTION, tokens)


def test_several_images_a_row_equal_the_plain_model(vlm: VLM) -> None:
    images = [blank_image("noise", IMAGE_SIZE, seed) for seed in range(3)]
    tokens = vlm.encode_from(vlm.encode_to(images, 0), 0)
    (answer,) = vlm.say(QUESTION, tokens[None], max_new_tokens=6)
    inputs = turn(1, images)
    generated = vlm._model.generate(**inputs, max_new_tokens=6, do_sample=False)
    (expected,) = tiny_processor().batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer.text == expected


def test_log_probabilities_are_those_of_the_chosen_tokens(vlm: VLM) -> None:
    answers = vlm.say(QUESTION, vlm.encode_from(vlm.encode_to([BLANK], 0), 0)[None], max_new_tokens=5)
    inputs = turn(1, [BLANK])
    output = vlm._model.generate(
        **inputs, max_new_tokens=5, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    chosen = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    log_probabilities = [
        step.log_softmax(-1)[0, token].item() for step, token in zip(output.logits, chosen, strict=True)
    ]
    counted = next((place + 1 for place, token in enumerate(chosen) if token in END_IDS), len(chosen))
    expected = sum(log_probabilities[:counted]) / counted
    assert answers[0].mean_log_probability == pytest.approx(expected, abs=1e-5)


def test_the_residual_norm_is_a_mean_over_positions(vlm: VLM) -> None:
    expected = vlm.encode_to([BLANK], 1)[0].norm(dim=-1).mean().item()
    assert vlm.residual_norm(1, BLANK) == pytest.approx(expected)


@pytest.mark.parametrize("layer", [-1, N_BLOCKS])
def test_a_block_that_is_not_there_is_refused(vlm: VLM, layer: int) -> None:
    with pytest.raises(LayerNotFound, match=f"0 to {N_BLOCKS - 1}"):
        vlm.encode_to([BLANK], layer)
    with pytest.raises(LayerNotFound, match=f"0 to {N_BLOCKS - 1}"):
        vlm.encode_from(torch.zeros(1, N_POSITIONS, D_MODEL), layer)


def test_forwards_are_restored_after_success(vlm: VLM) -> None:
    steered_tokens(vlm, 1, directions(2))
    assert forwards(vlm) == [None] * N_BLOCKS


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_forwards_are_restored_after_an_error_inside(
    vlm: VLM, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr(vlm._model.model.multi_modal_projector, "forward", fail)
    monkeypatch.setattr(vlm._tower.embeddings, "forward", fail)
    with pytest.raises(error):
        vlm.encode_from(torch.zeros(1, N_POSITIONS, D_MODEL), 1)
    with pytest.raises(error):
        vlm.encode_to([BLANK], 1)
    assert forwards(vlm) == [None] * N_BLOCKS


def test_the_forward_that_accelerate_put_there_is_restored_and_used() -> None:
    class Count(ModelHook):
        calls = 0

        def pre_forward(self, module, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN202
            self.calls += 1
            return args, kwargs

    vlm = VLM(tiny_gemma3(), tiny_processor(), Prompts({"steering": QUESTION}))
    plain = steered_tokens(vlm, 1, directions(2))
    hooks = [Count() for _ in vlm._blocks]
    for block, hook in zip(vlm._blocks, hooks, strict=True):
        add_hook_to_module(block, hook)
    before = forwards(vlm)
    assert torch.equal(steered_tokens(vlm, 1, directions(2)), plain)
    assert forwards(vlm) == before
    assert [hook.calls for hook in hooks] == [1, 1, 1]
    for block in vlm._blocks:
        remove_hook_from_module(block)


def test_threads_take_turns_in_the_encoder(vlm: VLM) -> None:
    residual = vlm.encode_to([BLANK], 1)
    steered = [residual + number for number in range(8)]
    expected = [vlm.encode_from(each, 1) for each in steered]
    found: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda number=number: found.update({number: vlm.encode_from(steered[number], 1)}))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[number], expected[number]) for number in range(8))
