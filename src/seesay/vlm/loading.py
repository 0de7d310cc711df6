"""Loading models from a folder or the hub, safely and with errors that say what is wrong."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import torch
import transformers
from huggingface_hub import errors as hub
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoTokenizer,
    ProcessorMixin,
)

from seesay.errors import MissingExtra, NotEnoughMemory, UnavailableDevice, UnreadableModel
from seesay.vlm.batches import is_out_of_memory
from seesay.vlm.encoder import Encoder
from seesay.vlm.families import VLMS, encoder_family, vlm_family
from seesay.vlm.model import VLM
from seesay.vlm.prompts import PACKAGED, Prompts, read_prompts

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError)
"""What transformers is seen to raise on files that are missing, damaged or of another shape than announced."""

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
    source = _Source(name_or_path, revision)
    source.check()
    words = _prompts(name_or_path, prompts)
    with _reading(source, place):
        config: Any = source.read(AutoConfig)
        family = vlm_family(config.model_type)
        options: dict[str, Any] = {}
        if quantize is not None:
            kept = [path for path in (family.tower, family.bridge) if path]
            options["quantization_config"] = _quantization(quantize, number, kept)
        if spread or quantize is not None:
            _require("accelerate", "a model over several devices, or in few bits")
            options["device_map"] = "auto" if spread else {"": place}
        model = source.read_weights(AutoModelForImageTextToText, config, number, **options)
        if not options:
            model = model.to(place)
        image_processor = source.read_image_processor(family.encoder.image_processor)
        tokenizer = source.read_tokenizer(family.chat_template)
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
    source = _Source(name_or_path, revision)
    source.check()
    with _reading(source, place):
        config: Any = source.read(AutoConfig)
        if config.model_type in VLMS:
            return load_vlm(name_or_path, device=device, dtype=dtype, revision=revision).encoder
        family = encoder_family(config.model_type)
        whole = source.read_weights(AutoModel, config, number)
        image_processor = source.read_image_processor(family.image_processor)
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
    from inspect import signature

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


@dataclass(frozen=True)
class _Source:
    """A checkpoint, and how its parts are read from it."""

    name_or_path: str | Path
    revision: str | None

    def check(self) -> None:
        """See whether it is there; transformers would say so in many words, or speak of something else.

        Raises:
            UnreadableModel: it is not, or may not be read.
        """
        name = self.name_or_path
        if Path(name).is_dir():
            return
        if _is_path(name):
            raise UnreadableModel(f"no folder {name}", expected="a checkpoint's folder, or a name on the hub")
        try:
            hf_hub_download(str(name), "config.json", revision=self.revision)
        except (OSError, ValueError) as error:
            raise _absent(str(name), error) from error

    def read(self, kind: Any, **options: Any) -> Any:
        revision = {} if self.revision is None else {"revision": self.revision}
        return kind.from_pretrained(self.name_or_path, trust_remote_code=False, **revision, **options)

    def read_weights(self, kind: Any, config: Any, dtype: torch.dtype, **options: Any) -> Any:
        model, report = self.read(
            kind,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported, and refused below with their names
            **options,
        )
        check_complete(self.name_or_path, model, report)
        return model

    def read_image_processor(self, stand_in: str | None) -> Any:
        # Pillow's resizing, so that torchvision's being there or not changes no picture.
        if stand_in is None:
            return self.read(AutoImageProcessor, backend="pil")
        return self.read(getattr(transformers, f"{stand_in}Pil"))

    def read_tokenizer(self, chat_template: str | None) -> Any:
        tokenizer = self.read(AutoTokenizer)
        # A template may stand in a file of the processor's alone.
        files, _ = ProcessorMixin.get_processor_dict(self.name_or_path, revision=self.revision)
        tokenizer.chat_template = files.get("chat_template") or tokenizer.chat_template or chat_template
        if tokenizer.chat_template is None:
            raise UnreadableModel(
                f"{self.name_or_path} has no chat template", expected="an instruction-tuned vision-language model"
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer


@contextmanager
def _reading(source: _Source, place: torch.device) -> Generator[None]:
    """Turn what transformers raises while reading into one line that says what to do."""
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise NotEnoughMemory(
                f"{source.name_or_path} does not fit into the memory of {place}",
                expected="a smaller model, or more room",
                remedy="use bfloat16, quantize, or spread it over several devices",
            ) from error
        raise UnreadableModel(
            f"{source.name_or_path}: {shorten(str(error), 200)}",
            expected="the checkpoint of a model in safetensors",
            remedy="check the name, or download it again",
        ) from error


def _absent(name: str, error: Exception) -> UnreadableModel:
    """What it means that the hub did not give a checkpoint's configuration."""
    match error:
        case hub.GatedRepoError():
            return UnreadableModel(
                f"{name} is gated on the hub",
                expected="a token with access to it",
                remedy="ask for access on the model's page, then run `hf auth login`",
            )
        case hub.RepositoryNotFoundError():
            return UnreadableModel(
                f"no repository {name} on the hub, or a private one",
                expected="owner/name, or a folder",
                remedy="check the name; for a private one, run `hf auth login`",
            )
        case hub.RevisionNotFoundError():
            return UnreadableModel(f"{name} has no such revision", expected="a branch, tag or commit of it")
        case hub.LocalEntryNotFoundError():
            return UnreadableModel(
                f"{name} is not on this machine, and the hub cannot be reached",
                expected="a network, or a folder",
                remedy="check the network and HF_HUB_OFFLINE",
            )
        case hub.EntryNotFoundError():
            return UnreadableModel(f"{name} has no config.json", expected="the repository of a model")
        case _:
            return UnreadableModel(f"{name}: {shorten(str(error), 200)}", expected="owner/name, or a folder")


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
        if parameter.is_floating_point() and not parameter.is_meta and not parameter.isfinite().all():
            raise UnreadableModel(
                f"{name_or_path}: {name} holds NaN or infinity", expected="finite weights", remedy="download it again"
            )
