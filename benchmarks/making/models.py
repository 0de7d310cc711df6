"""Models, and SAEs of one of their blocks, that benchmarks explain the features of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoTokenizer, Gemma3Config, Gemma3ForConditionalGeneration, GenerationConfig
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

import seesay
from seesay.records import Strength
from seesay.sae import SAE, load_sae
from seesay.vlm import VLM, load_vlm
from seesay.vlm.prompts import PACKAGED, read_prompts


@dataclass(frozen=True)
class Case:
    """A model, an SAE of one of its blocks, and how much to ask.

    Args:
        vlm: the model.
        sae: of a block.
        layer: the block.
        strength: how hard to push.
        max_new_tokens: of an answer.
        batch_size: features at a time.
        images_at_once: in one pass of the encoder.
    """

    vlm: VLM
    sae: SAE
    layer: int
    strength: Strength
    max_new_tokens: int
    batch_size: int
    images_at_once: int


def world_m(device: torch.device) -> Case:
    """The embedded world's model of the middle size, steered after its middle block."""
    vlm = load_vlm(seesay.world.checkpoint("world:M"), device=str(device))
    sae = load_sae(seesay.world.sae("world:middle"))
    assert sae.provenance.layer is not None
    strength = seesay.world.strength("world:middle", "world:M")
    return Case(vlm, sae, sae.provenance.layer, strength, max_new_tokens=24, batch_size=64, images_at_once=32)


def gemma_3_4b(device: torch.device) -> Case:
    """Gemma 3 at its real widths, with random weights, steered after block 16 of 27 as in the paper.

    Sizes: google/gemma-3-4b-it, config.json. The tokenizer is the world's: only the number of tokens matters.
    """
    vision = {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 896,
        "patch_size": 14,
        "vision_use_head": False,
    }
    text = {
        "vocab_size": 262208,
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 1024,
    }
    tokenizer: Any = AutoTokenizer.from_pretrained(seesay.world.checkpoint("world:M"))
    ids = {
        f"{name}_token_index": tokenizer.convert_tokens_to_ids(getattr(tokenizer, f"{name}_token"))
        for name in ("boi", "eoi", "image")
    }
    config = Gemma3Config(vision_config=vision, text_config=text, mm_tokens_per_image=256, **ids)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            model = Gemma3ForConditionalGeneration(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    model.generation_config = GenerationConfig(pad_token_id=tokenizer.pad_token_id)
    eye = Gemma3ImageProcessorPil(size={"height": 896, "width": 896}, do_pan_and_scan=False)
    vlm = VLM(model, eye, tokenizer, read_prompts(PACKAGED))
    W_dec = torch.nn.functional.normalize(torch.randn(8192, 1152), dim=-1)
    sae = SAE(W_dec.T.contiguous(), W_dec, torch.zeros(8192), torch.zeros(1152), "topk", k=25).to(device)
    strength = Strength(200.0)
    return Case(vlm, sae, layer=16, strength=strength, max_new_tokens=50, batch_size=256, images_at_once=64)


CASES: dict[str, Callable[[torch.device], Case]] = {"world-m": world_m, "gemma-3-4b": gemma_3_4b}
