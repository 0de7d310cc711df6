"""Features a second of steering, against the naive protocol, in one run and with the same outputs.

    python benchmarks/steering.py                          the world's M model
    python benchmarks/steering.py --model gemma-3-4b       Gemma 3 of the 4B configuration, random weights, for a GPU

Naive is what a hook makes of it: one whole forward pass over the empty image for each batch of 8 features. seesay
encodes the empty image once up to the steered block, for all of them. Both decode greedily and as many tokens. Rounds
alternate, and the best of each counts, since other work on the machine only ever slows.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, Gemma3Config, Gemma3ForConditionalGeneration, GenerationConfig
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

import seesay
from seesay.explainers.steering import steer
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.sae import SAE, load_sae
from seesay.vlm import VLM, load_vlm
from seesay.vlm.loading import resolve_device
from seesay.vlm.prompts import PACKAGED, read_prompts

NAIVE_BATCH = 8


@dataclass(frozen=True)
class Case:
    """A model, an SAE of one of its blocks, and how much to ask."""

    vlm: VLM
    sae: SAE
    layer: int
    strength: float
    max_new_tokens: int
    batch_size: int


def world_m(device: torch.device) -> Case:
    """The embedded world's model of the middle size, steered after its last block."""
    vlm = load_vlm(seesay.world.checkpoint("world:M"), device=str(device))
    sae = load_sae(seesay.world.sae("world:late"))
    assert sae.provenance.layer is not None
    return Case(vlm, sae, sae.provenance.layer, strength=150.0, max_new_tokens=24, batch_size=64)


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
    W_dec = torch.nn.functional.normalize(torch.randn(1024, 1152), dim=-1)
    sae = SAE(W_dec.T.contiguous(), W_dec, torch.zeros(1024), torch.zeros(1152), "topk", k=25)
    return Case(vlm, sae, layer=16, strength=200.0, max_new_tokens=50, batch_size=64)


CASES: dict[str, Callable[[torch.device], Case]] = {"world-m": world_m, "gemma-3-4b": gemma_3_4b}


@contextmanager
def hook(case: Case, directions_fd: Tensor) -> Iterator[None]:
    def add(_block: object, _inputs: object, output: Tensor) -> Tensor:
        return output + case.strength * directions_fd[:, None].to(output)

    handle = case.vlm.encoder.blocks[case.layer].register_forward_hook(add, prepend=True)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def naive(case: Case, feature_ids: Sequence[int], inputs: Sequence[dict[str, Tensor]]) -> list[str]:
    """One whole pass of the model with a hook for each batch of features."""
    generate: Any = case.vlm.model.generate
    said: list[str] = []
    for each in inputs:
        n_rows, n_tokens = each["input_ids"].shape
        batch = feature_ids[len(said) : len(said) + n_rows]
        with hook(case, case.sae.directions(batch)):
            generated = generate(**each, max_new_tokens=case.max_new_tokens, do_sample=False)
        said += case.vlm.decode(generated[:, n_tokens:])
    return said


def inputs_of(case: Case, n_features: int, batch_size: int) -> list[dict[str, Tensor]]:
    """What the plain model takes for each batch, made once: naive code need not be slow code."""
    vlm, blank = case.vlm, blank_image("white", case.vlm.encoder.image_size)
    sizes = [min(batch_size, n_features - start) for start in range(0, n_features, batch_size)]
    made = {size: vlm.plain_inputs(vlm.prompts["steering"], [[blank]] * size) for size in set(sizes)}
    return [made[size] for size in sizes]


def fast(case: Case, feature_ids: Sequence[int]) -> list[str]:
    """What `seesay.steer` does."""
    explanations = steer(
        case.vlm,
        case.sae,
        feature_ids,
        case.strength,
        layer=case.layer,
        decoding=Decoding(case.max_new_tokens),
        batch_size=case.batch_size,
    )
    return [explanation.raw_text for explanation in explanations]


def seconds(work: Callable[[], list[str]], device: torch.device) -> tuple[float, list[str]]:
    started = time.perf_counter()
    said = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started, said


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=CASES, default="world-m")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--features", type=int, choices=range(1, 1025), default=128, metavar="1..1024")
    parser.add_argument("--rounds", type=int, choices=range(1, 101), default=3, metavar="1..100")
    options = parser.parse_args()
    device = resolve_device(options.device)
    case = CASES[options.model](device)
    feature_ids = range(options.features)
    few, many = (inputs_of(case, options.features, size) for size in (NAIVE_BATCH, case.batch_size))
    ways: dict[str, Callable[[], list[str]]] = {
        f"a hook, {NAIVE_BATCH} at a time": lambda: naive(case, feature_ids, few),
        f"a hook, {case.batch_size} at a time": lambda: naive(case, feature_ids, many),
        f"seesay, {case.batch_size} at a time": lambda: fast(case, feature_ids),
    }
    naive(case, feature_ids, few[:1])  # caches and kernels are warm
    fast(case, feature_ids[:NAIVE_BATCH])
    times: dict[str, list[float]] = {name: [] for name in ways}
    said: dict[str, list[str]] = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            took, said[name] = seconds(way, device)
            times[name].append(took)
    rates = {name: options.features / min(took) for name, took in times.items()}
    first, *_ = ways
    print(f"{options.model} on {device}, {options.features} features, at most {case.max_new_tokens} tokens each")
    for name, rate in rates.items():
        same = sum(one == other for one, other in zip(said[first], said[name], strict=True))
        ratio = rate / rates[first]
        print(f"{name:24} {rate:9.3f} features/s  {ratio:5.2f}x  same words {same} of {options.features}")


if __name__ == "__main__":
    main()
