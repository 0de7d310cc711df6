"""Loading models from a folder or the hub, onto a device and in a number format."""

from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText
from transformers.distributed import DistributedConfig

from seesay.errors import (
    InvalidSetting,
    MissingExtra,
    UnavailableDevice,
    UnreadableModel,
    UnreadablePrompt,
    check_choice,
)
from seesay.vlm.checkpoints import Checkpoint, check_complete, reading
from seesay.vlm.encoder import Encoder
from seesay.vlm.families import VLMS, VLMFamily, encoder_family, vlm_family
from seesay.vlm.identity import passed
from seesay.vlm.model import VLM, leave_tower, tower_of
from seesay.vlm.parallel import check_divisible, join_in
from seesay.vlm.prompts import PACKAGED, Prompts, read_prompts

Quantization = Literal["4bit", "8bit"]
"""How few bits the language model's weights are kept in; the vision encoder's stay as they are."""


_DTYPES = ("float32", "bfloat16", "float16")


def load_vlm(
    name_or_path: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    prompts: str | Path | None = None,
    quantize: Quantization | None = None,
    spread: bool = False,
    tensor_parallel: bool = False,
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
        tensor_parallel: share the language model out among the processes that torchrun has started, each with a device
            of its own; all of them then have to ask it the same. `device` is then ignored.
        revision: branch, tag or commit on the hub.

    Raises:
        UnreadableModel: a checkpoint that is missing, damaged, incomplete, or of a kind that is not known.
        UnavailableDevice: a device or number format that this machine does not have.
        UnreadablePrompt: a folder of prompts that cannot be read.
        NotEnoughMemory: the model does not fit.
        MissingExtra: accelerate or bitsandbytes is not installed.
        InvalidSetting: tensor_parallel in a single process, or together with quantize or spread.
    """
    check_installed(quantize, spread=spread)
    if tensor_parallel and (spread or quantize is not None):
        raise InvalidSetting("tensor_parallel with quantize or spread", expected="it alone", remedy="leave one out")
    place = join_in() if tensor_parallel else resolve_device("auto" if spread else device)
    number = resolve_dtype(dtype, place)
    checkpoint = Checkpoint(name_or_path, revision)
    family = vlm_family(checkpoint.model_type())
    if quantize is not None and checkpoint.is_quantized():
        raise UnreadableModel(f"{name_or_path} is quantised already", expected="no quantize", remedy="leave it out")
    words = prompts_of(name_or_path, prompts)
    with reading(checkpoint, place):
        options: dict[str, Any] = {}
        if quantize is not None:
            kept = [path for path in (family.tower, family.bridge) if path]
            options["quantization_config"] = _quantization(quantize, number, kept)
        if spread or quantize is not None:
            options["device_map"] = "auto" if spread else {"": place}
        if tensor_parallel:
            check_divisible(checkpoint.read(AutoConfig), name_or_path)
            options["distributed_config"] = DistributedConfig(tp_size=dist.get_world_size(), tp_plan="auto")
        # the small files first: what is wrong with them is then known before gigabytes are read
        image_processor = checkpoint.read_image_processor(family.encoder.image_processor)
        tokenizer = checkpoint.read_tokenizer(family.chat_template, **family.tokenizer_options)
        model = checkpoint.read_weights(AutoModelForImageTextToText, number, **options)
        if not options:
            model = model.to(place)
    _check_whole(checkpoint, model, family)
    return VLM(model.eval().requires_grad_(False), image_processor, tokenizer, words)


def check_installed(quantize: Quantization | None, *, spread: bool) -> None:
    """Check that what some ways to load a model need is installed: what is missing is told before there is work done.

    Args:
        quantize: as for `load_vlm`.
        spread: as for `load_vlm`.

    Raises:
        InvalidSetting: no such number of bits.
        MissingExtra: a package is missing.
    """
    if quantize is not None:
        check_choice(quantize, get_args(Quantization), "quantize")
        _require("bitsandbytes", "a model in few bits")
    if spread or quantize is not None:
        _require("accelerate", "a model over several devices, or in few bits")


def load_encoder(
    name_or_path: str | Path, *, device: str = "auto", dtype: str = "auto", revision: str | None = None
) -> Encoder:
    """Load a vision encoder: one that stands alone (SigLIP, CLIP, DINOv2 ...), or a vision-language model's.

    Its features can be steered through any vision-language model whose tower has the same weights; see
    [seesay.vlm.identity.encoder_difference][].

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
    model_type = checkpoint.model_type()
    family = VLMS[model_type].encoder if model_type in VLMS else encoder_family(model_type)
    with reading(checkpoint, place):
        image_processor = checkpoint.read_image_processor(family.image_processor)
        if model_type in VLMS:
            model = checkpoint.read_weights(AutoModelForImageTextToText, number).eval().requires_grad_(False)
            leave_tower(model)
            return tower_of(model.to(place), image_processor)
        whole, report = checkpoint.read_any_weights(AutoModel, number)
        # Models of images and texts (CLIP, SigLIP) come whole; their text half is not needed.
        model = getattr(whole, "vision_model", whole).to(place).eval().requires_grad_(False)
        encoder = encoder_of(model, image_processor)
        # What comes after the blocks (a pooler, a head) may be missing: no feature depends on it.
        modules = passed(encoder, encoder.n_blocks - 1).values()
        needed = {id(weight) for module in modules for weight in module.parameters(recurse=False)}
        check_complete(name_or_path, whole, report, only=needed)
    return encoder


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
    unavailable = UnavailableDevice(
        f"device {device!r}", expected="a device of this machine", remedy="leave it at 'auto'"
    )
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise unavailable from error
    if place.type == "meta":  # there, but nothing can be computed on it
        raise unavailable
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
    if dtype not in _DTYPES:
        raise UnavailableDevice(
            f"number format {dtype!r}", expected="float32, bfloat16 or float16", remedy="leave it at 'auto'"
        )
    return getattr(torch, dtype)


def _check_whole(checkpoint: Checkpoint, model: Any, family: VLMFamily) -> None:
    """Refuse a model whose vision encoder is kept in few bits: its features would not be those of the whole one."""
    for path in (family.tower, family.bridge):
        for name, weight in model.get_submodule(path).named_parameters() if path else ():
            if not weight.is_floating_point():
                raise UnreadableModel(
                    f"{checkpoint.name_or_path}: {path}.{name} is quantised",
                    expected="a vision encoder and projector in float32, bfloat16 or float16",
                    remedy="take the checkpoint that is not quantised, with quantize='4bit'",
                )


def _quantization(bits: Quantization, dtype: torch.dtype, kept: list[str]) -> Any:
    from transformers import BitsAndBytesConfig

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


def prompts_of(name_or_path: str | Path, folder: str | Path | None) -> Prompts:
    """What a model is asked.

    Args:
        name_or_path: of its checkpoint, which may bring its own prompts.
        folder: of others; None for those, or else seesay's.

    Raises:
        UnreadablePrompt: a folder of prompts that cannot be read.
    """
    if folder is not None:
        if not str(folder):  # which would be the folder that we are in
            raise UnreadablePrompt("an empty name of a folder", expected="a folder with steering.txt")
        return read_prompts(Path(folder))
    shipped = Path(name_or_path) / "prompts"
    return read_prompts(shipped if shipped.is_dir() else PACKAGED)
