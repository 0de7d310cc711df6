from functools import partial

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_submodules

from seesay.errors import MismatchedEncoder
from seesay.vlm import Encoder
from seesay.vlm.identity import digest, encoder_difference, fingerprint
from seesay.vlm.loading import encoder_of
from tests.families import BUILDERS, EYES, N_BLOCKS, Tiny, TinyEye, gemma3, llava, qwen2_5_vl


def clip_of(parts: Tiny) -> tuple[TinyEye, Encoder]:
    """CLIP on its own with the weights of a LLaVA's tower, and the LLaVA's."""
    alone, inside = EYES["clip_vision_model"](), parts.vlm().encoder
    alone.model.load_state_dict(inside.tower.state_dict())
    return alone, inside


def test_the_same_weights_in_another_class_are_the_same_encoder() -> None:
    alone, inside = clip_of(llava())
    assert encoder_difference(alone.encoder(), inside) == encoder_difference(inside, inside) == ""
    assert fingerprint(alone.encoder(), 2) == fingerprint(inside, 2)


def test_the_first_tensor_that_differs_is_named() -> None:
    alone, inside = clip_of(llava())
    with torch.no_grad():
        alone.model.encoder.layers[1].mlp.fc1.weight[0, 0] += 1
        alone.model.encoder.layers[2].mlp.fc1.weight[0, 0] += 1
    with pytest.raises(MismatchedEncoder, match=r"in encoder\.layers\.1\.mlp\.fc1\.weight first.*\[64, 32\]"):
        encoder_difference(alone.encoder(), inside)
    found = encoder_difference(alone.encoder(), inside, allowed=True)
    assert found == "encoder.layers.1.mlp.fc1.weight"


@pytest.mark.parametrize("name", ["encoder.layers.3.mlp.fc1.weight", "post_layernorm.weight"])
def test_what_the_explainer_does_not_read_may_differ(name: str) -> None:
    """LLaVA reads CLIP before its last block, and before the norm that follows."""
    alone, inside = clip_of(llava())
    with torch.no_grad():
        alone.model.get_parameter(name).add_(1)
    assert encoder_difference(alone.encoder(), inside) == ""


def test_an_encoder_with_fewer_blocks_is_another() -> None:
    inside = llava(-1).vlm().encoder
    short = EYES["clip_vision_model"]()
    short.model.config.num_hidden_layers = 2
    del short.model.encoder.layers[2:]
    with pytest.raises(MismatchedEncoder, match=r"in encoder\.layers\.2.*none of that name"):
        encoder_difference(short.encoder(), inside)


def test_an_encoder_of_another_kind_is_another() -> None:
    with pytest.raises(MismatchedEncoder, match="none of that name"):
        encoder_difference(EYES["vit"]().encoder(), gemma3().vlm().encoder)


def test_settings_count_as_well() -> None:
    alone, inside = clip_of(llava())
    alone.model.config.num_attention_heads = 4
    with pytest.raises(MismatchedEncoder, match=r"config\.num_attention_heads"):
        encoder_difference(alone.encoder(), inside)


def test_settings_that_change_what_is_computed_count_for_qwen() -> None:
    one, other = qwen2_5_vl(), qwen2_5_vl()
    other.model.config.vision_config.window_size = 8
    with pytest.raises(MismatchedEncoder, match=r"config\.window_size"):
        encoder_difference(one.vlm().encoder, other.vlm().encoder)


def test_buffers_that_a_checkpoint_holds_count_as_well() -> None:
    alone, inside = clip_of(llava())
    for parts, value in ((alone.model.encoder.layers[0], 1.0), (inside.blocks[0], 2.0)):
        parts.register_buffer("bound", torch.tensor([value]))
    with pytest.raises(MismatchedEncoder, match=r"encoder\.layers\.0\.bound"):
        encoder_difference(alone.encoder(), inside)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_weights_loaded_in_another_number_format_are_the_same(dtype: torch.dtype) -> None:
    alone, inside = clip_of(llava())
    alone.model.to(dtype)
    subject = encoder_of(alone.model, alone.image_processor)
    assert digest(fingerprint(subject, 2)) == digest(fingerprint(inside, 2))


def test_weights_that_were_in_half_precision_at_first_are_the_same_there() -> None:
    alone, inside = clip_of(llava())
    alone.model.to(torch.float16)  # as they are stored
    inside.tower.load_state_dict(alone.model.state_dict())
    assert encoder_difference(encoder_of(alone.model, alone.image_processor), inside) == ""


@pytest.mark.parametrize("family", BUILDERS)
def test_every_familys_encoder_has_a_fingerprint(family: str) -> None:
    build = partial(BUILDERS[family])
    encoder = build().vlm().encoder
    first = fingerprint(encoder, 1)
    assert first == fingerprint(build().vlm().encoder, 1)
    names = [name for name in first if not name.startswith("config.")]
    of_blocks = {parameter: number for number, block in enumerate(encoder.blocks) for parameter in block.parameters()}
    hashed = {id(encoder.tower.get_parameter(name)) for name in names}
    for parameter, number in of_blocks.items():
        assert (id(parameter) in hashed) == (number <= 1), "the blocks up to the given one, and all of them"
    assert len(hashed) > sum(number <= 1 for number in of_blocks.values()), "and what comes before"
    assert digest(first) != digest(fingerprint(encoder, N_BLOCKS - 1))


def test_weights_that_accelerate_keeps_elsewhere_are_compared_too() -> None:
    parts = gemma3()
    expected = fingerprint(parts.vlm().encoder, 1)
    cpu_offload(parts.model, execution_device="cpu")
    assert fingerprint(parts.vlm().encoder, 1) == expected
    remove_hook_from_submodules(parts.model)
