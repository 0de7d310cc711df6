"""Loading models from a folder or the hub, onto a device and in a number format."""

from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
)

from seesay.errors import MissingExtra, UnavailableDevice
from seesay.vlm.checkpoints import Checkpoint, reading
from seesay.vlm.encoder import Encoder
from seesay.vlm.families import VLMS, encoder_family, vlm_family
from seesay.vlm.model import VLM
from seesay.vlm.prompts import PACKAGED, Prompts, read_prompts

Quantization = Literal["4bit", "8bit"]
"""How few bits the language model's weights are kept in; the vision encoder's stay as they are."""


def load_vlm(
    name_or_path: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    prompts: str | Path | None = None,
    quantize: Quantization | None = None,
    spread: bool = False,
    revision: str | None = None,
) -> VLM:
    """Load a vision-language model, ready to be steered.

    Only safetensors are read and no code that comes with a checkpoint is run.

    Args:
        name_or_path: a checkpoint's folder, or its name on the hub.
        device: `auto` takes the accelerator if there is one, else the CPU; or torch's name of a device.
        dtype: `auto` is float32 on the CPU (a resumed run then equals an unbroken one to the letter) and bfloat16
            elsewhere; or torch's name of a floating-point format.
        prompts: a folder of prompts; if None, the folder `prompts` in the checkpoint's own, else seesay's.
        quantize: keep the language model in 4 or 8 bits by bitsandbytes; vision tower and projector never are.
        spread: over all accelerators, and main memory if they do not suffice, by accelerate; `device` is then ignored.
        revision: branch, tag or commit on the hub.

    Raises:
        UnreadableModel: a checkpoint that is missing, damaged, incomplete, or of a kind that is not known.
        UnavailableDevice: a device or number format that this machine does not have.
        UnreadablePrompt: a folder of prompts that cannot be read.
        NotEnoughMemory: the model does not fit.
        MissingExtra: accelerate or bitsandbytes is not installed.
    """
    place = resolve_device(device)
    number = resolve_dtype(dtype, place)
    checkpoint = Checkpoint(name_or_path, revision)
    checkpoint.check()
    words = _prompts(name_or_path, prompts)
    with reading(checkpoint, place):
        config: Any = checkpoint.read(AutoConfig)
        family = vlm_family(config.model_type)
        options: dict[str, Any] = {}
        if quantize is not None:
            kept = [path for path in (family.tower, family.bridge) if path]
            options["quantization_config"] = _quantization(quantize, number, kept)
        if spread or quantize is not None:
            _require("accelerate", "a model over several devices, or in few bits")
            options["device_map"] = "auto" if spread else {"": place}
        model = checkpoint.read_weights(AutoModelForImageTextToText, config, number, **options)
        if not options:
            model = model.to(place)
        image_processor = checkpoint.read_image_processor(family.encoder.image_processor)
        tokenizer = checkpoint.read_tokenizer(family.chat_template)
    return VLM(model.eval().requires_grad_(False), image_processor, tokenizer, words)


def load_encoder(
    name_or_path: str | Path, *, device: str = "auto", dtype: str = "auto", revision: str | None = None
) -> Encoder:
    """Load a vision encoder: one that stands alone (SigLIP, CLIP, DINOv2 ...), or a vision-language model's.

    Its features can be steered through any vision-language model whose tower has the same weights; see
    [seesay.vlm.identity.check_same][].

    Args:
        name_or_path: a checkpoint's folder, or its name on the hub.
        device: as for `load_vlm`.
        dtype: as for `load_vlm`.
        revision: branch, tag or commit on the hub.

    Raises:
        UnreadableModel: a checkpoint that is missing, damaged, incomplete, or of a kind that is not known.
        UnavailableDevice: a device or number format that this machine does not have.
        NotEnoughMemory: the model does not fit.
    """
    place = resolve_device(device)
    number = resolve_dtype(dtype, place)
    checkpoint = Checkpoint(name_or_path, revision)
    checkpoint.check()
    with reading(checkpoint, place):
        config: Any = checkpoint.read(AutoConfig)
        if config.model_type in VLMS:
            return load_vlm(name_or_path, device=device, dtype=dtype, revision=revision).encoder
        family = encoder_family(config.model_type)
        whole = checkpoint.read_weights(AutoModel, config, number)
        image_processor = checkpoint.read_image_processor(family.image_processor)
        # Models of images and texts (CLIP, SigLIP) come whole; their text half is not needed.
        model = getattr(whole, "vision_model", whole).to(place).eval().requires_grad_(False)
    return encoder_of(model, image_processor)


def encoder_of(model: Any, image_processor: Any) -> Encoder:
    """Make an encoder of a vision model that stands alone.

    Args:
        model: a loaded vision model of a family in `seesay.vlm.families`.
        image_processor: the checkpoint's.

    Raises:
        UnreadableModel: a family that is not known, or a model whose blocks cannot be found.
    """
    return Encoder(
        model,
        signature(type(model).forward).parameters,
        model,
        config=model.config,
        model_config=model.config,
        image_processor=image_processor,
        family=encoder_family(model.config.model_type),
    )


def resolve_device(device: str) -> torch.device:
    """Turn a device's name into a device that is there.

    Args:
        device: `auto`, or torch's name of a device (`cpu`, `cuda`, `cuda:1`, `mps`).

    Raises:
        UnavailableDevice: no such device on this machine.
    """
    if device == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UnavailableDevice(
            f"device {device!r}", expected="a device of this machine", remedy="leave it at 'auto'"
        ) from error
    return place


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn a number format's name into the format.

    Args:
        dtype: `auto`, or torch's name of a floating-point format.
        device: what `auto` depends on.

    Raises:
        UnavailableDevice: no such format.
    """
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    number = getattr(torch, dtype, None)
    if not isinstance(number, torch.dtype) or not number.is_floating_point:
        raise UnavailableDevice(
            f"number format {dtype!r}", expected="float32, bfloat16 or float16", remedy="leave it at 'auto'"
        )
    return number


def _quantization(bits: Quantization, dtype: torch.dtype, kept: list[str]) -> Any:
    from transformers import BitsAndBytesConfig

    _require("bitsandbytes", "a model in few bits")
    return BitsAndBytesConfig(
        load_in_4bit=bits == "4bit",
        load_in_8bit=bits == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=[*kept, "lm_head"],
    )


def _require(package: str, purpose: str) -> None:
    if find_spec(package) is None:
        raise MissingExtra(f"{purpose} needs {package}", remedy="pip install 'seesay[large]'")


def _prompts(name_or_path: str | Path, folder: str | Path | None) -> Prompts:
    if folder is not None:
        return read_prompts(Path(folder))
    shipped = Path(name_or_path) / "prompts"
    return read_prompts(shipped if shipped.is_dir() else PACKAGED)
