"""Loading a vision-language model from a folder or the hub, safely and with errors that say what is wrong."""

from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from seesay.errors import UnavailableDevice, UnreadableModel
from seesay.vlm.families import family_of
from seesay.vlm.model import VLM
from seesay.vlm.prompts import PACKAGED, Prompts, read_prompts

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError)
"""What transformers is seen to raise on files that are missing, damaged or of another shape than announced."""


def load_vlm(
    name_or_path: str | Path, *, device: str = "auto", dtype: str = "auto", prompts: str | Path | None = None
) -> VLM:
    """Load a vision-language model, ready to be steered.

    Only safetensors are read and no code that comes with a checkpoint is run.

    Args:
        name_or_path: a checkpoint's folder, or its name on the hub.
        device: `auto` takes the accelerator if there is one, else the CPU; or torch's name of a device.
        dtype: `auto` is float32 on the CPU (a resumed run then equals an unbroken one to the letter) and bfloat16
            elsewhere; or torch's name of a floating-point format.
        prompts: a folder of prompts; if None, the folder `prompts` in the checkpoint's own, else seesay's.

    Raises:
        UnreadableModel: a checkpoint that is missing, damaged, incomplete, or of a kind that is not known.
        UnavailableDevice: a device or number format that this machine does not have.
        UnreadablePrompt: a folder of prompts that cannot be read.
    """
    if _is_path(name_or_path) and not Path(name_or_path).is_dir():
        raise UnreadableModel(f"no folder {name_or_path}", expected="a checkpoint's folder, or a name on the hub")
    place = resolve_device(device)
    number = resolve_dtype(dtype, place)
    words = _prompts(name_or_path, prompts)
    try:
        config: Any = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
        family_of(config.model_type)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            name_or_path,
            config=config,
            dtype=number,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported, and refused below with their names
        )
        processor: Any = AutoProcessor.from_pretrained(name_or_path, trust_remote_code=False)
    except UNREADABLE as error:
        raise UnreadableModel(
            f"{name_or_path}: {shorten(str(error), 200)}",
            expected="the checkpoint of a vision-language model in safetensors",
            remedy="check the name, or download it again",
        ) from error
    model, report = loaded
    check_complete(name_or_path, model, report)
    _check_processor(name_or_path, processor)
    return VLM(model.to(place).eval().requires_grad_(False), processor, words)


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


def _is_path(name_or_path: str | Path) -> bool:
    """Tell a path from a name on the hub, `owner/name`, which begins with a letter or digit."""
    return isinstance(name_or_path, Path) or name_or_path.startswith(("/", ".", "~"))


def _prompts(name_or_path: str | Path, folder: str | Path | None) -> Prompts:
    if folder is not None:
        return read_prompts(Path(folder))
    shipped = Path(name_or_path) / "prompts"
    return read_prompts(shipped if shipped.is_dir() else PACKAGED)


def check_complete(name_or_path: str | Path, model: nn.Module, report: dict[str, Any]) -> None:
    """Refuse a checkpoint that lacks tensors, holds others than announced, or is not finite.

    transformers fills in at random what a checkpoint lacks, and would then explain noise.

    Args:
        name_or_path: of the checkpoint, for the message.
        model: as loaded.
        report: transformers' `output_loading_info`.

    Raises:
        UnreadableModel: if it is to be refused.
    """
    if missing := sorted(report["missing_keys"]):
        raise UnreadableModel(
            f"{name_or_path} lacks {len(missing)} tensors, {missing[0]} first", remedy="download it again"
        )
    for name, found, expected in report["mismatched_keys"]:
        raise UnreadableModel(
            f"{name_or_path}: {name} is {list(found)}", expected=str(list(expected)), remedy="download it again"
        )
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise UnreadableModel(
                f"{name_or_path}: {name} holds NaN or infinity", expected="finite weights", remedy="download it again"
            )


def _check_processor(name_or_path: str | Path, processor: object) -> None:
    # A checkpoint without a processor's file gets a bare tokenizer instead.
    if not hasattr(processor, "image_processor") or getattr(processor, "chat_template", None) is None:
        raise UnreadableModel(
            f"{name_or_path} has no image processor with a chat template",
            expected="an instruction-tuned vision-language model",
        )
