"""SAEs written out as each library writes them, and what the library computes, as its source has it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

D_MODEL, N_FEATURES, K = 6, 12, 3


@dataclass
class Written:
    """Files of one SAE.

    Args:
        weights: the file of tensors.
        tensors: what is in it.
        codes: what the library computes; None for directions.
        reconstruct: what it makes of codes.
        W_dec: its decoder.
        asked: what `load_sae` must be told.
        header: line before the tensors.
    """

    weights: Path
    tensors: dict[str, Tensor]
    W_dec: Tensor
    codes: Callable[[Tensor], Tensor] | None = None
    reconstruct: Callable[[Tensor, Tensor], Tensor] | None = None
    asked: dict[str, object] = field(default_factory=dict)
    header: bytes = b""

    def save(self) -> None:
        """Write the tensors, as they are now."""
        if self.weights.suffix == ".npy":
            np.save(self.weights, self.tensors[""].numpy())
        elif self.weights.suffix == ".safetensors":
            save_file({name: tensor.contiguous() for name, tensor in self.tensors.items()}, self.weights)
        else:
            with self.weights.open("wb") as file:
                file.write(self.header)
                torch.save(self.tensors, file)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def residuals() -> Tensor:
    return 2 * random(5, 7, D_MODEL, seed=99) + 0.5


def keep(pre: Tensor, k: int = K, *, by: Tensor | None = None) -> Tensor:
    """The k values of each row that are largest, or for which `by` is."""
    return torch.zeros_like(pre).scatter(
        -1, places := (pre if by is None else by).topk(k).indices, pre.gather(-1, places)
    )


def decoded(W_dec: Tensor, b_dec: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda codes, _residual: codes @ W_dec + b_dec


def linear(**more: Tensor) -> dict[str, Tensor]:
    """Tensors as torch.nn.Linear has them."""
    return {
        "encoder.weight": random(N_FEATURES, D_MODEL),
        "encoder.bias": random(N_FEATURES),
        "decoder.weight": random(D_MODEL, N_FEATURES, seed=1),
        **more,
    }


def transposed(**more: Tensor) -> dict[str, Tensor]:
    """Tensors as they are multiplied from the right."""
    return {
        "W_enc": random(D_MODEL, N_FEATURES),
        "b_enc": random(N_FEATURES),
        "W_dec": random(N_FEATURES, D_MODEL, seed=1),
        "b_dec": random(D_MODEL),
        **more,
    }


def dictionary_learning(folder: Path, dict_class: str = "AutoEncoderTopK", **changes: object) -> Written:
    """https://github.com/saprmarks/dictionary_learning, dictionary.py and trainers/*top_k.py."""
    top_k = {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(-1.0), "b_dec": random(D_MODEL)}
    gated = {name: random(N_FEATURES, seed=i) for i, name in enumerate(("r_mag", "gate_bias", "mag_bias"))}
    match dict_class:
        case "AutoEncoder":
            tensors = linear(bias=random(D_MODEL))
        case "AutoEncoderNew":
            tensors = linear(**{"decoder.bias": random(D_MODEL)})
        case "GatedAutoEncoder":
            tensors = linear(decoder_bias=random(D_MODEL), **gated)
            del tensors["encoder.bias"]
        case "JumpReluAutoEncoder":
            tensors = transposed(threshold=random(N_FEATURES, seed=3))
        case "MatryoshkaBatchTopKSAE":
            sizes = torch.tensor([4, 8])
            tensors = transposed(**top_k | {"threshold": torch.tensor(0.7), "group_sizes": sizes})
        case "BatchTopKSAE":
            tensors = linear(**top_k | {"threshold": torch.tensor(0.7)})
        case _:
            tensors = linear(**top_k)
    trainer = {
        "dict_class": dict_class,
        "activation_dim": D_MODEL,
        "dict_size": N_FEATURES,
        "lm_name": "google/gemma-3-4b-it",
        "layer": 16,
        "submodule_name": "enc_res_out_layer_16",
    } | ({"k": K} if "k" in tensors else {})
    (folder / "config.json").write_text(json.dumps({"trainer": trainer | changes, "buffer": {"ctx_len": 256}}))
    W_dec = tensors["W_dec"] if "W_dec" in tensors else tensors["decoder.weight"].T
    b_dec = next(tensors[name] for name in ("bias", "decoder.bias", "decoder_bias", "b_dec") if name in tensors)

    def codes(x: Tensor) -> Tensor:
        t = tensors
        match dict_class:
            case "AutoEncoder":
                return ((x - t["bias"]) @ t["encoder.weight"].T + t["encoder.bias"]).relu()
            case "AutoEncoderNew":
                return (x @ t["encoder.weight"].T + t["encoder.bias"]).relu()
            case "GatedAutoEncoder":
                z = (x - t["decoder_bias"]) @ t["encoder.weight"].T
                return (z + t["gate_bias"] > 0) * (t["r_mag"].exp() * z + t["mag_bias"]).relu()
            case "JumpReluAutoEncoder":
                pre = x @ t["W_enc"] + t["b_enc"]
                return (pre * (pre > t["threshold"])).relu()
            case "MatryoshkaBatchTopKSAE":
                f = ((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]).relu()
                return f * (f > t["threshold"])
        pre = (x - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]
        match dict_class:
            case "BatchTopKSAE":
                return pre.relu() * (pre.relu() > t["threshold"])
            case "UnsignedAutoEncoderTopK":
                return keep(pre, by=pre.abs())
        return keep(pre.relu())

    written = Written(folder / "ae.pt", tensors, W_dec, codes, decoded(W_dec, b_dec))
    written.save()
    return written


def sae_lens(folder: Path, architecture: str = "topk", **changes: object) -> Written:
    """https://github.com/decoderesearch/SAELens; test_sae_lens_parity.py compares with the library itself."""
    tensors = transposed()
    config = {"architecture": architecture, "d_in": D_MODEL, "d_sae": N_FEATURES, "k": K, "apply_b_dec_to_input": True}
    (folder / "cfg.json").write_text(json.dumps(config | changes))

    def codes(x: Tensor) -> Tensor:
        return keep((x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]).relu()

    written = Written(
        folder / "sae_weights.safetensors",
        tensors,
        tensors["W_dec"],
        codes,
        decoded(tensors["W_dec"], tensors["b_dec"]),
    )
    written.save()
    return written


def sparsify(folder: Path, **changes: object) -> Written:
    """https://github.com/EleutherAI/sparsify, sparse_coder.py; multimodal-sae writes the same."""
    tensors = {
        "encoder.weight": random(N_FEATURES, D_MODEL),
        "encoder.bias": random(N_FEATURES),
        "W_dec": random(N_FEATURES, D_MODEL, seed=1),
        "b_dec": random(D_MODEL),
    }
    config = {"d_in": D_MODEL, "expansion_factor": 2, "num_latents": 0, "k": K, "multi_topk": False} | changes
    (folder / "cfg.json").write_text(json.dumps(config))

    def codes(x: Tensor) -> Tensor:
        centred = x if config.get("transcode") else x - tensors["b_dec"]
        pre = centred @ tensors["encoder.weight"].T + tensors["encoder.bias"]
        return keep(pre, by=pre.abs()) if config.get("signed") else keep(pre.relu())

    written = Written(
        folder / "sae.safetensors", tensors, tensors["W_dec"], codes, decoded(tensors["W_dec"], tensors["b_dec"])
    )
    written.save()
    return written


def overcomplete(folder: Path, kind: str = "TopKSAE") -> Written:
    """https://github.com/KempnerInstitute/overcomplete, sae/{topk_sae,jump_sae,dictionary}.py."""
    tensors = {
        "encoder.final_block.0.weight": random(N_FEATURES, D_MODEL),
        "encoder.final_block.0.bias": random(N_FEATURES),
        "dictionary._weights": random(N_FEATURES, D_MODEL, seed=1),
        "dictionary.multiplier": torch.tensor(0.4),
    }
    if kind == "JumpSAE":
        tensors["thresholds"] = random(N_FEATURES, seed=3) - 1
    W_dec = normalize(tensors["dictionary._weights"], dim=-1) * tensors["dictionary.multiplier"].exp()

    def codes(x: Tensor) -> Tensor:
        z = (x @ tensors["encoder.final_block.0.weight"].T + tensors["encoder.final_block.0.bias"]).relu()
        match kind:
            case "TopKSAE":
                return keep(z)
            case "JumpSAE":
                return z * (z > tensors["thresholds"].exp())
        return z

    asked: dict[str, dict[str, object]] = {"TopKSAE": {"activation": "topk", "k": K}, "SAE": {"activation": "relu"}}
    written = Written(
        folder / "sae.pt", tensors, W_dec, codes, decoded(W_dec, torch.zeros(D_MODEL)), asked.get(kind, {})
    )
    written.save()
    return written


def saev(folder: Path, kind: str = "TopK", *, schema: int | None = 5, described: bool = True) -> Written:
    """https://github.com/OSU-NLP-Group/saev, nn/modeling.py from April 2025 to March 2026."""
    tensors = transposed()
    if kind == "BatchTopK":
        tensors["activation.threshold"] = torch.tensor(0.6)
    config: dict[str, object] = {"d_model": D_MODEL, "d_sae": N_FEATURES}
    if described:
        config["activation"] = {"cls": kind, "params": {"key": "top-k", "top_k": K}}
    header: dict[str, object] = {"schema": schema, "cfg": config, "commit": "unknown", "lib": "0.1.0"}
    if schema == 1 and not described:
        config |= {"top_k": K} if kind != "Relu" else {}
        header["cls"] = kind
    if schema is None:
        header = {"d_vit": D_MODEL, "exp_factor": N_FEATURES // D_MODEL, "ghost_grads": False}
    subtracts = schema is None or (schema == 1 and not described)

    def codes(x: Tensor) -> Tensor:
        pre = (x - tensors["b_dec"] * subtracts) @ tensors["W_enc"] + tensors["b_enc"]
        match kind:
            case "TopK":
                return keep(pre)
            case "BatchTopK":
                return pre * (pre > tensors["activation.threshold"])
        return pre.relu()

    line = json.dumps(header).encode() + b"\n"
    reconstruct = decoded(tensors["W_dec"], tensors["b_dec"])
    written = Written(folder / "sae.pt", tensors, tensors["W_dec"], codes, reconstruct, header=line)
    written.save()
    return written


def prisma(folder: Path, architecture: str = "standard", **changes: object) -> Written:
    """https://github.com/Prisma-Multimodal/ViT-Prisma, sae/sae.py."""
    tensors = transposed()
    if architecture == "gated":
        # b_enc is there in Prisma's too, but nothing reads it.
        del tensors["b_enc"]
        tensors |= {name: random(N_FEATURES, seed=i) for i, name in enumerate(("r_mag", "b_gate", "b_mag"))}
    config = {
        "architecture": architecture,
        "d_in": D_MODEL,
        "expansion_factor": N_FEATURES // D_MODEL,
        "activation_fn_str": "relu",
        "activation_fn_kwargs": {"k": K},
        "normalize_activations": "layer_norm",
        "model_name": "open-clip:laion/CLIP-ViT-B-32",
        "hook_point_layer": 9,
        "layer_subtype": "hook_resid_post",
        "dataset_name": "imagenet1k",
        "is_transcoder": False,
    } | changes
    (folder / "config.json").write_text(json.dumps(config))

    def codes(x: Tensor) -> Tensor:
        t = tensors
        centred = x - x.mean(-1, keepdim=True)
        z = (centred / (x.std(-1, keepdim=True) + 1e-5) - t["b_dec"]) @ t["W_enc"]
        if architecture == "gated":
            return (z + t["b_gate"] > 0) * (t["r_mag"].exp() * z + t["b_mag"]).relu()
        pre = z + t["b_enc"]
        return keep(pre).relu() if config["activation_fn_str"] == "topk" else pre.relu()

    def reconstruct(codes: Tensor, x: Tensor) -> Tensor:
        return (codes @ tensors["W_dec"] + tensors["b_dec"]) * x.std(-1, keepdim=True) + x.mean(-1, keepdim=True)

    written = Written(folder / "n_images_2600058.pt", tensors, tensors["W_dec"], codes, reconstruct)
    written.save()
    return written


def directions(folder: Path, suffix: str = ".safetensors") -> Written:
    """Probes, principal components, neurons or concepts."""
    name = "" if suffix == ".npy" else "probes"
    written = Written(folder / f"probes{suffix}", {name: random(N_FEATURES, D_MODEL)}, random(N_FEATURES, D_MODEL))
    written.save()
    return written


def variant(write: Callable[..., Written], *arguments: object, **options: object) -> object:
    """A way to write an SAE, with a name for the test."""
    said = [str(value) for value in (*arguments, *options.values())]
    label = "-".join([write.__name__, *said])
    return pytest.param(lambda folder: write(folder, *arguments, **options), id=label)


DICT_CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "AutoEncoderTopK",
    "UnsignedAutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
)
ENCODING = (
    *(variant(dictionary_learning, name) for name in DICT_CLASSES),
    variant(sae_lens),
    variant(sparsify),
    variant(sparsify, transcode=True),
    variant(sparsify, signed=True),
    *(variant(overcomplete, kind) for kind in ("TopKSAE", "SAE", "JumpSAE")),
    *(variant(saev, kind) for kind in ("Relu", "TopK", "BatchTopK")),
    variant(saev, "TopK", schema=1),
    variant(saev, "TopK", schema=1, described=False),
    variant(saev, "Relu", schema=1, described=False),
    variant(saev, "Relu", schema=None),
    variant(prisma),
    variant(prisma, activation_fn_str="topk"),
    variant(prisma, "gated"),
)
ALL = (*ENCODING, variant(directions), variant(directions, ".npy"))
