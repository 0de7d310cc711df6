"""What is counted on a model without numbers is what the model itself does."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from seesay.errors import InvalidSetting, LayerNotFound, UnreadableModel
from seesay.explainers.config import Setting
from seesay.images.blank import blank_image
from seesay.planning.outline import Outline, outline, weights_of
from seesay.planning.work import Batches, work_of
from seesay.records import Decoding
from seesay.vlm import VLM
from seesay.vlm.families import VLMS
from tests.families import BUILDERS, QUESTION, Tiny, save

LAYER, N_ROWS = 1, 3
FLOAT = torch.float32


def saved(name: str, folder: Path) -> tuple[Tiny, Path]:
    """A small model and its folder with a question, but no weights."""
    tiny = BUILDERS[name]()
    save(tiny, folder)
    (folder / "model.safetensors").unlink()
    (folder / "prompts").mkdir()
    for question in ("steering", "topk"):
        (folder / "prompts" / f"{question}.txt").write_text(QUESTION, encoding="utf-8")
    return tiny, folder


@contextmanager
def caches_of(model: Any) -> Iterator[list[Any]]:
    found: list[Any] = []
    handle = model.register_forward_hook(lambda _model, _inputs, output: found.append(output.past_key_values))
    try:
        yield found
    finally:
        handle.remove()


def spelt_out(tiny: Tiny) -> VLM:
    """The model with attention as matrix products, which torch counts on any device."""
    real = copy.deepcopy(tiny.model)
    real.set_attn_implementation("eager")
    vlm = Tiny(real, tiny.image_processor, tiny.tokenizer).vlm()
    real.generation_config.eos_token_id = -1
    return vlm


QUICK = frozenset({"gemma3", "llava"})


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in VLMS]
)
def test_what_is_counted_is_what_the_model_does(name: str, tmp_path: Path) -> None:
    tiny, folder = saved(name, tmp_path / "model")
    counted = outline(folder, FLOAT)
    work = work_of(counted, LAYER, Setting(decoding=Decoding(6)), Batches(N_ROWS, N_ROWS))
    vlm = spelt_out(tiny)
    blank = vlm.encode_to([blank_image("white", vlm.encoder.image_size)], LAYER)
    with FlopCounterMode(display=False) as encoding:
        images = vlm.encode_from(blank.with_residual(blank.residual.expand(N_ROWS, -1, -1)))
    with FlopCounterMode(display=False) as prefill:
        vlm.say(QUESTION, [[image] for image in images], Decoding(1))
    with FlopCounterMode(display=False) as both:
        vlm.say(QUESTION, [[image] for image in images], Decoding(2))
    with caches_of(vlm.model) as caches:
        vlm.say(QUESTION, [[image] for image in images], Decoding(6))

    assert sum(part.n_parameters for part in counted.weights.values()) == tiny.model.num_parameters()
    assert work.encoding.flops() == encoding.get_total_flops()
    assert work.prefill.flops() == prefill.get_total_flops()
    assert work.token.flops() == both.get_total_flops() - prefill.get_total_flops()
    assert work.cache == sum(layer.keys.nbytes + layer.values.nbytes for layer in caches[-1].layers)


def test_linear_layers_and_attention_are_told_apart(tmp_path: Path) -> None:
    _, folder = saved("gemma3", tmp_path / "model")
    counted = outline(folder, FLOAT)
    encoding = work_of(counted, LAYER, Setting(), Batches(1, 1)).encoding
    config = counted.vlm.encoder.config
    blocks, patches, width = config.num_hidden_layers - LAYER - 1, 16, config.hidden_size
    assert encoding.flops("attention") == blocks * 4 * patches**2 * width
    assert encoding.flops() == encoding.flops("linear") + encoding.flops("attention")


@pytest.mark.slow
def test_steering_a_later_block_takes_less_and_the_rest_is_done_once(tmp_path: Path) -> None:
    _, folder = saved("llava", tmp_path / "model")
    counted = outline(folder, FLOAT)
    early, late = (work_of(counted, layer, Setting(), Batches(2, 2)) for layer in (0, 2))
    assert early.encoding.flops() > late.encoding.flops()
    assert early.once.flops() < late.once.flops()


@pytest.mark.slow
def test_exemplars_go_through_the_whole_encoder_and_are_all_read(tmp_path: Path) -> None:
    _, folder = saved("gemma3", tmp_path / "model")
    counted = outline(folder, FLOAT)
    steering, topk = (work_of(counted, LAYER, Setting(method), Batches(2, 2)) for method in ("steering", "topk"))
    assert (steering.images_per_feature, topk.images_per_feature) == (1, 5)
    assert topk.n_prompt > steering.n_prompt + 4 * 4
    assert topk.encoding.flops() > steering.encoding.flops()
    assert topk.once.flops() == 0


@pytest.mark.slow
def test_samples_share_the_reading_and_nothing_else(tmp_path: Path) -> None:
    _, folder = saved("llava", tmp_path / "model")
    counted = outline(folder, FLOAT)
    one, three = (
        work_of(counted, LAYER, Setting(decoding=Decoding(8, 1.0, n_samples=n)), Batches(2, 2)) for n in (1, 3)
    )
    assert (three.prefill.flops(), three.cache) == (one.prefill.flops(), 3 * one.cache)
    assert three.token.flops("linear") == 3 * one.token.flops("linear")


@pytest.mark.slow
def test_more_questions_than_are_read_in_one_pass_are_counted_alike(tmp_path: Path) -> None:
    _, folder = saved("gemma3", tmp_path / "model")
    counted = outline(folder, FLOAT)
    few, many = (work_of(counted, LAYER, Setting(), Batches(n, 2)) for n in (2, 130))
    assert (many.prefill.flops(), many.cache) == (65 * few.prefill.flops(), 65 * few.cache)
    assert many.token.flops() == 65 * few.token.flops()


def test_a_method_without_a_question_reads_nothing(tmp_path: Path) -> None:
    _, folder = saved("llava", tmp_path / "model")
    work = work_of(outline(folder, FLOAT), LAYER, Setting("vocabulary"), Batches(2, 2))
    assert (work.n_prompt, work.tokens_per_answer, work.prefill.flops(), work.cache) == (0, 0, 0, 0)


def test_a_method_without_a_model_is_refused(tmp_path: Path) -> None:
    _, folder = saved("llava", tmp_path / "model")
    with pytest.raises(InvalidSetting, match="asks no vision-language model"):
        work_of(outline(folder, FLOAT), LAYER, Setting("dissect"), Batches(1, 1))


def test_a_block_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    _, folder = saved("llava", tmp_path / "model")
    with pytest.raises(LayerNotFound, match="reads no block after 2"):
        work_of(outline(folder, FLOAT), 3, Setting(), Batches(1, 1))


@pytest.mark.parametrize(
    "name", ["gemma3", *(pytest.param(name, marks=pytest.mark.slow) for name in ("llava", "internvl", "paligemma"))]
)
def test_the_settings_of_the_image_processor_may_be_missing(name: str, tmp_path: Path) -> None:
    _, folder = saved(name, tmp_path / name)
    counted = outline(folder, FLOAT)
    (folder / "preprocessor_config.json").unlink()
    bare = outline(folder, FLOAT)
    one, other = (each.vlm.encoder.pictures([blank_image("white", 64)]) for each in (counted, bare))
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in other.items()}


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json"])
def test_a_folder_without_a_configuration_or_tokenizer_is_refused(missing: str, tmp_path: Path) -> None:
    _, folder = saved("gemma3", tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(UnreadableModel, match="config.json|tokenizer"):
        outline(folder, FLOAT)


def test_nothing_of_a_large_model_is_held(tmp_path: Path) -> None:
    _, folder = saved("gemma3", tmp_path / "model")
    text = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(text.replace('"intermediate_size": 64', '"intermediate_size": 6400000000'))
    counted = outline(folder, torch.bfloat16)
    assert counted.weights["language model"].n_bytes > 10**12
    assert work_of(counted, LAYER, Setting(), Batches(64, 64)).prefill.flops() > 10**15


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_few_bits_take_what_bitsandbytes_takes(bits: Any, tmp_path: Path) -> None:
    from seesay.vlm import load_vlm
    from tests.families import gemma3

    tiny = gemma3(hidden_size=128, intermediate_size=320)
    folder = save(tiny, tmp_path / "model")
    (folder / "prompts").mkdir()
    (folder / "prompts" / "steering.txt").write_text(QUESTION, encoding="utf-8")
    counted: Outline = outline(folder, FLOAT, quantize=bits)
    model = load_vlm(folder, device="cpu", quantize=bits).model
    taken = 0
    for parameter in model.parameters():
        taken += parameter.nbytes
        state = getattr(parameter, "quant_state", None)
        taken += 0 if state is None else state.absmax.nbytes
        scale = getattr(parameter, "SCB", None)
        taken += 0 if scale is None else scale.nbytes
    assert sum(part.n_bytes for part in counted.weights.values()) == taken
    assert counted.weights["vision tower"].n_bytes == 4 * counted.weights["vision tower"].n_parameters


def test_parts_of_the_loaded_world_are_those_of_its_configuration() -> None:
    from seesay import load_vlm, world

    folder = world.checkpoint("world:M")
    model = load_vlm(folder, device="cpu").model
    counted = outline(folder, FLOAT).weights
    assert counted == weights_of(model, VLMS["gemma3"], FLOAT)
    assert sum(part.n_bytes for part in counted.values()) == sum(each.nbytes for each in model.parameters())
