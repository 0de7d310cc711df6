"""The contract of the VLM seam, over every family: whatever is cut short equals the plain model with a plain hook.

To add a family, add a small model to `tests/families.py` and its facts to `seesay.vlm.families`, and run this.
"""

import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, final

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_submodules
from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin

from seesay.errors import LayerNotFound
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.steering import intervene
from seesay.vlm import VLM, Encoded
from seesay.vlm.generation import Said, generate
from seesay.vlm.tokens import pack
from tests.families import BUILDERS, D_MODEL, N_BLOCKS, QUESTION, Tiny, llava

FAMILIES = sorted(BUILDERS)
N = 3
SHORT = Decoding(max_new_tokens=5)
LAST_READ = dict.fromkeys(FAMILIES, N_BLOCKS - 1) | {"llava": N_BLOCKS - 2, "llava_next": N_BLOCKS - 2}
REACHED = [(family, layer) for family in FAMILIES for layer in range(LAST_READ[family] + 1)]


@cache
def tiny(family: str) -> Tiny:
    return BUILDERS[family]()


@cache
def vlm_of(family: str) -> VLM:
    return tiny(family).vlm()


def blank(vlm: VLM) -> Image.Image:
    return blank_image("white", vlm.encoder.image_size)


def noise(vlm: VLM, n: int) -> list[Image.Image]:
    return [blank_image("noise", vlm.encoder.image_size, seed) for seed in range(n)]


def directions(n: int = N, scale: float = 4.0) -> Tensor:
    return torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(3)) * scale


def steered(vlm: VLM, layer: int, directions_fd: Tensor) -> Encoded:
    encoded = vlm.encode_to([blank(vlm)], layer)
    return encoded.with_residual(intervene(encoded.residual, directions_fd, torch.ones(len(directions_fd))))


@contextmanager
def plain_hook(vlm: VLM, layer: int, directions_fd: Tensor) -> Iterator[None]:
    """What everybody does: add the direction to the block's output in a full forward pass.

    Before all other hooks: transformers' own, with which some families read a block, must see what was added.
    """

    def add(_block: object, _inputs: object, output: Tensor) -> Tensor:
        rows = output.reshape(len(directions_fd), -1, output.shape[-1])
        return (rows + directions_fd[:, None]).reshape(output.shape)

    handle = vlm.encoder.blocks[layer].register_forward_hook(add, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def logits(vlm: VLM, images: list[Any]) -> Tensor:
    inputs = vlm._inputs(QUESTION, [[image] for image in images])
    packed = pack(images, stacked=vlm._family.stacks_tokens)
    with torch.no_grad():
        return vlm.model(**inputs, mm_encoder_outputs={"image": packed}).logits


def words(vlm: VLM, generated: Tensor, inputs: dict[str, Any]) -> list[str]:
    return vlm._tokenizer.batch_decode(generated[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def forwards(vlm: VLM) -> list[object]:
    return [vars(module).get("forward") for module in vlm.model.modules()]


def n_hooks(vlm: VLM) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in vlm.encoder.blocks)


@pytest.mark.parametrize(("family", "layer"), REACHED)
def test_the_fast_path_equals_a_plain_hook_on_the_whole_model(family: str, layer: int) -> None:
    vlm, directions_fd = vlm_of(family), directions()
    tokens = vlm.encode_from(steered(vlm, layer, directions_fd))
    inputs = vlm.plain_inputs(QUESTION, [[blank(vlm)]] * N)
    with torch.no_grad(), plain_hook(vlm, layer, directions_fd):
        expected = vlm.model(**inputs).logits
        generated = vlm.model.generate(**inputs, max_new_tokens=5, do_sample=False)
    torch.testing.assert_close(logits(vlm, tokens), expected, rtol=0, atol=1e-5)
    answers = vlm.say(QUESTION, [[image] for image in tokens], SHORT)
    assert [answer.text for answer in answers] == words(vlm, generated, inputs)
    unsteered = logits(vlm, vlm.encode([blank(vlm)] * N))
    assert (unsteered - expected).abs().max() > 0.01, "the directions must make a difference"


@pytest.mark.parametrize(("family", "layer"), REACHED)
def test_no_strength_is_no_intervention(family: str, layer: int) -> None:
    vlm = vlm_of(family)
    (expected,) = vlm.encode([blank(vlm)])
    (found,) = vlm.encode_from(steered(vlm, layer, torch.zeros(1, D_MODEL)))
    assert torch.equal(found.tokens, expected.tokens)
    assert all(torch.equal(one, other) for one, other in zip(found.deeper, expected.deeper, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_adding_a_direction_and_taking_it_away_is_no_intervention(family: str) -> None:
    vlm = vlm_of(family)
    encoded = vlm.encode_to([blank(vlm)], 1)
    pushed = intervene(encoded.residual, directions(1), torch.ones(1))
    back = intervene(pushed, directions(1), -torch.ones(1))
    (expected,), (found,) = vlm.encode([blank(vlm)]), vlm.encode_from(encoded.with_residual(back))
    torch.testing.assert_close(found.tokens, expected.tokens, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_many_features_at_once_equal_each_alone(family: str) -> None:
    vlm, directions_fd = vlm_of(family), directions(5)
    together = vlm.encode_from(steered(vlm, 1, directions_fd))
    alone = [vlm.encode_from(steered(vlm, 1, row[None]))[0] for row in directions_fd]
    torch.testing.assert_close(
        logits(vlm, together), torch.cat([logits(vlm, [image]) for image in alone]), rtol=0, atol=1e-5
    )
    said = vlm.say(QUESTION, [[image] for image in together], SHORT)
    for answer, image in zip(said, alone, strict=True):
        (by_itself,) = vlm.say(QUESTION, [[image]], SHORT)
        assert answer.text == by_itself.text
        assert answer.mean_log_probability == pytest.approx(by_itself.mean_log_probability, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_steered_pictures_in_one_prompt_equal_a_plain_hook(family: str) -> None:
    """As the hybrid does: several pictures a turn, each steered, at some positions only."""
    vlm, layer = vlm_of(family), 1
    images = noise(vlm, 4)
    encoded = vlm.encode_to(images, layer, batch_size=3)
    push = torch.zeros_like(encoded.residual)
    push[:, 3:6] = directions(1)
    tokens = vlm.encode_from(encoded.with_residual(encoded.residual + push))
    answers = vlm.say(QUESTION, [tokens[:2], tokens[2:]], SHORT)
    inputs = vlm.plain_inputs(QUESTION, [images[:2], images[2:]])

    def add(_block: object, _inputs: object, output: Tensor) -> Tensor:
        return (output.reshape(push.shape) + push).reshape(output.shape)

    handle = vlm.encoder.blocks[layer].register_forward_hook(add, prepend=True)
    generated = vlm.model.generate(**inputs, max_new_tokens=5, do_sample=False)
    handle.remove()
    assert [answer.text for answer in answers] == words(vlm, generated, inputs)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_different_length_say_what_each_says_alone(family: str) -> None:
    vlm = vlm_of(family)
    tokens = vlm.encode(noise(vlm, 3))
    rows = [tokens[:1], tokens[1:]] + ([] if family == "paligemma" else [[]])
    together = vlm.say(QUESTION, rows, SHORT)
    assert [answer.text for answer in together] == [vlm.say(QUESTION, [row], SHORT)[0].text for row in rows]


@final
class Told:
    """Takes the most probable tokens, and ends each answer after as many as it is told."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = lengths

    def choose(self, numbers: Sequence[int], said: Sequence[Said], scores: Tensor) -> Tensor:
        assert len(numbers) == len(said) == len(scores)
        return scores.argmax(-1)

    def is_last(self, number: int, token_ids: Sequence[int]) -> bool:
        return len(token_ids) == self._lengths[number]


@pytest.mark.parametrize("family", FAMILIES)
def test_whoever_has_finished_makes_room_and_nobody_says_anything_else(family: str) -> None:
    """Answers of very different lengths, one or two questions at a time, against each alone."""
    vlm = vlm_of(family)
    tokens = vlm.encode(noise(vlm, 6))
    rows = [tokens[:1], tokens[1:2], tokens[2:4], tokens[3:4], tokens[4:], tokens[5:]]
    lengths = [1, 9, 2, 3, 5, 4]
    alone = [
        generate(vlm.model, vlm.asking_all(QUESTION, [row], Told([length])))[0]
        for row, length in zip(rows, lengths, strict=True)
    ]
    for at_once in (1, 2, 3, None):
        steps: list[int] = []
        asked = vlm.asking_all(QUESTION, rows, Told(lengths))
        found = generate(vlm.model, asked, at_once, lambda _said, steps=steps: steps.append(1))
        assert [each.token_ids for each in found] == [each.token_ids for each in alone]
        for each, by_itself in zip(found, alone, strict=True):
            assert each.log_probabilities == pytest.approx(by_itself.log_probabilities, abs=1e-4)
        # six answers of 24 tokens in all, of which the longest takes 9 steps
        assert len(steps) == {1: 24, 2: 13, 3: 9, None: 9}[at_once]


@pytest.mark.parametrize("family", FAMILIES)
def test_residuals_are_the_blocks_outputs_whatever_the_batch(family: str) -> None:
    vlm = vlm_of(family)
    images = noise(vlm, 3)
    pictures = vlm.encoder.pictures(images)
    outputs: list[Tensor] = []
    handle = vlm.encoder.blocks[2].register_forward_hook(lambda _block, _inputs, output: outputs.append(output))
    with torch.no_grad():
        vlm.model.get_image_features(**pictures)
    handle.remove()
    for batch_size in (1, 2, 3):
        residual = vlm.encode_to(images, 2, batch_size=batch_size).residual
        torch.testing.assert_close(residual, outputs[0].reshape(residual.shape), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_of_different_shape_share_a_batch(family: str) -> None:
    vlm = vlm_of(family)
    images = [image.resize(size) for image, size in zip(noise(vlm, 3), [(64, 32), (32, 32), (48, 64)], strict=True)]
    encoded = vlm.encode_to(images, 1, batch_size=2)
    push = directions(1)
    tokens = vlm.encode_from(encoded.with_residual(encoded.residual + push))
    in_parts = vlm.encode_from(encoded.with_residual(encoded.residual + push), batch_size=2)
    for number, image in enumerate(images):
        torch.testing.assert_close(in_parts[number].tokens, tokens[number].tokens, rtol=0, atol=1e-5)
        alone = vlm.encode_to([image], 1)
        n = alone.residual.shape[1]
        assert encoded.in_sequence[number].sum() == n == alone.geometries[0].n_positions
        torch.testing.assert_close(encoded.residual[number, :n], alone.residual[0], rtol=0, atol=1e-5)
        (expected,) = vlm.encode_from(alone.with_residual(alone.residual + push))
        torch.testing.assert_close(tokens[number].tokens, expected.tokens, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", [family for family in FAMILIES if tiny(family).processor])
def test_turns_and_pictures_are_those_of_the_familys_own_processor(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A processor that also takes videos wants a part that cannot be had without torchvision.
    monkeypatch.setattr(ProcessorMixin, "check_argument_for_proper_class", lambda _self, _name, part: type(part))
    monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", str)
    parts, vlm = tiny(family), vlm_of(family)
    assert parts.processor is not None
    processor = parts.processor()
    images = noise(vlm, 2)
    template = processor.chat_template if family == "paligemma" else vlm._tokenizer.chat_template
    content = [{"type": "image"}] * 2 + [{"type": "text", "text": QUESTION}]
    text = vlm._tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], chat_template=template, add_generation_prompt=True, tokenize=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PaliGemma's processor of transformers 5.23
        expected = processor(text=[text], images=[images], return_tensors="pt", add_special_tokens=False)
    found = vlm.plain_inputs(QUESTION, [images])
    same = sorted(found.keys() & expected.keys())
    assert {"input_ids", "attention_mask", "pixel_values"} <= set(same)
    for name in same:
        if name == "batch_num_images":
            continue  # one entry a sample there, one an image here
        assert torch.equal(found[name].flatten(), torch.as_tensor(expected[name]).flatten()), name
    left_out = expected.keys() - found.keys() - {"labels", "mm_token_type_ids"}
    assert not left_out & set(vlm._takes), left_out


@pytest.mark.parametrize("family", FAMILIES)
def test_settings_of_the_checkpoints_generation_do_not_leak_in(family: str) -> None:
    parts = BUILDERS[family]()
    expected = parts.vlm().say(QUESTION, [parts.vlm().encode([blank(parts.vlm())])], SHORT)
    hostile = {"repetition_penalty": 1.5, "num_return_sequences": 2, "num_beams": 3, "return_dict_in_generate": True}
    vars(parts.model.generation_config).update(hostile, bad_words_ids=[[30], [40]], do_sample=True, temperature=0.1)
    vlm = parts.vlm()
    assert vlm.say(QUESTION, [vlm.encode([blank(vlm)])], SHORT) == expected


@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_a_block_that_the_language_model_does_not_read_is_refused(family: str) -> None:
    vlm = vlm_of(family)
    with pytest.raises(LayerNotFound, match=r"reads no block after 2.*expected 0 to 2"):
        vlm.encode_from(vlm.encode_to([blank(vlm)], N_BLOCKS - 1))


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("states", [[1, 3], [0, -2], [-4, 2, -2]])
def test_blocks_that_are_read_before_the_steered_one_stay_as_they_were(states: list[int], layer: int) -> None:
    parts = llava(states)
    vlm, directions_fd = parts.vlm(), directions()
    inputs = vlm.plain_inputs(QUESTION, [[blank(vlm)]] * N)
    with torch.no_grad(), plain_hook(vlm, layer, directions_fd):
        expected = vlm.model(**inputs).logits
    found = logits(vlm, vlm.encode_from(steered(vlm, layer, directions_fd)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_is_put_back_after_success(family: str) -> None:
    vlm = vlm_of(family)
    # A model's own code may put hooks of its own in place when it is first run, and leaves them there.
    vlm.say(QUESTION, [vlm.encode([blank(vlm)])], SHORT)
    before, hooks = forwards(vlm), n_hooks(vlm)
    vlm.say(QUESTION, [vlm.encode_from(steered(vlm, 1, directions()))], SHORT)
    assert (forwards(vlm), n_hooks(vlm)) == (before, hooks)


def _raise() -> None:
    raise ValueError("inside")


def _interrupt() -> None:
    # Python's own handler, which a process that was started in the background does not have
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("fail", "error"), [(_raise, ValueError), (_interrupt, KeyboardInterrupt)])
def test_everything_is_put_back_after_an_error_or_ctrl_c(
    family: str, fail: Callable[[], None], error: type[BaseException]
) -> None:
    vlm = vlm_of(family)
    encoded = steered(vlm, 1, directions())
    before, hooks = forwards(vlm), n_hooks(vlm)
    handle = vlm.encoder.blocks[2].register_forward_pre_hook(lambda _block, _inputs: fail())
    try:
        with pytest.raises(error):
            vlm.encode_from(encoded)
        with pytest.raises(error):
            vlm.encode_to([blank(vlm)], 3)
    finally:
        handle.remove()
    assert (forwards(vlm), n_hooks(vlm)) == (before, hooks)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_works_under_the_hooks_of_accelerate(family: str) -> None:
    expected = logits(vlm_of(family), vlm_of(family).encode_from(steered(vlm_of(family), 1, directions())))
    parts = BUILDERS[family]()
    vlm = parts.vlm()
    # transformers' Idefics 3 itself cannot run with its first weights elsewhere: it moves tensors there.
    cpu_offload(vlm.encoder.blocks if family == "idefics3" else parts.model, execution_device="cpu")
    try:
        assert vlm.encoder.device == torch.device("cpu")
        assert next(vlm.encoder.blocks.parameters()).is_meta, "the weights must be elsewhere"
        before = forwards(vlm)
        found = logits(vlm, vlm.encode_from(steered(vlm, 1, directions())))
        assert forwards(vlm) == before
        assert torch.equal(found, expected)
        assert next(vlm.encoder.blocks.parameters()).is_meta, "and go back there"
    finally:
        remove_hook_from_submodules(parts.model)


@pytest.mark.parametrize("family", ["gemma3", "llava", "qwen3_vl"])
def test_it_works_when_compiled(family: str) -> None:
    expected = logits(vlm_of(family), vlm_of(family).encode_from(steered(vlm_of(family), 1, directions())))
    parts = BUILDERS[family]()
    vlm = parts.vlm()
    n_graphs = 0

    def count(graph: Any, _inputs: object) -> Any:
        nonlocal n_graphs
        n_graphs += 1
        return graph.forward

    vlm.encoder.tower.compile(backend=count)
    for block in vlm.encoder.blocks:
        block.compile(backend=count)
    with torch.no_grad():  # compiled with the true forwards
        vlm.model.get_image_features(**vlm.encoder.pictures([blank(vlm)]))
    compiled = n_graphs
    assert compiled > 0
    for _ in range(2):
        found = logits(vlm, vlm.encode_from(steered(vlm, 1, directions())))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert n_graphs == compiled, "the stand-ins are not compiled"
    torch.testing.assert_close(vlm.encode([blank(vlm)])[0].tokens, vlm_of(family).encode([blank(vlm)])[0].tokens)
