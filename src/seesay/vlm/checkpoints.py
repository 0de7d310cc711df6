"""Checkpoints in a folder or on the hub, read safely and with errors that say what is wrong.

Only safetensors are read and no code that comes with a checkpoint is run.
"""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
import transformers
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from torch import nn
from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedConfig, ProcessorMixin

from seesay.errors import NotEnoughMemory, UnreadableModel
from seesay.hub import NETWORK, absent, is_path
from seesay.vlm.batches import is_out_of_memory

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError)
"""What transformers is seen to raise on files that are missing, damaged or of another shape than announced."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, and how its parts are read from it.

    Args:
        name_or_path: its folder, or its name on the hub.
        revision: branch, tag or commit on the hub; None is the newest.
    """

    name_or_path: str | Path
    revision: str | None

    def model_type(self) -> str:
        """Which family it is of.

        Raises:
            UnreadableModel: it is not there, may not be read, or does not say.
        """
        self._check()
        model_type = self._config().get("model_type")
        if not isinstance(model_type, str):
            raise UnreadableModel(
                f"{self.name_or_path} has no config.json that tells its model_type",
                expected="a model's folder or hub id",
            )
        return model_type

    def is_quantized(self) -> bool:
        """Whether its weights are kept in few bits already."""
        return self._config().get("quantization_config") is not None

    def _config(self) -> dict[str, Any]:
        try:
            return PreTrainedConfig.get_config_dict(self.name_or_path, revision=self.revision)[0]
        except UNREADABLE as error:
            raise self._unreadable(error, "a model's config.json") from error

    def _check(self) -> None:
        """See whether it is there; transformers would say so in many words, or speak of something else."""
        name = self.name_or_path
        if not str(name):
            raise UnreadableModel("an empty name", expected="a checkpoint's folder, or a name on the hub")
        if Path(name).is_dir():
            if self.revision is not None:
                raise UnreadableModel(f"revision {self.revision!r} of a folder", expected="none, or a name on the hub")
            return
        if is_path(name):
            raise UnreadableModel(f"no folder {name}", expected="a checkpoint's folder, or a name on the hub")
        try:
            hf_hub_download(str(name), "config.json", revision=self.revision)
        except (*UNREADABLE, NETWORK) as error:
            raise self.absent(error) from error

    def absent(self, error: Exception) -> UnreadableModel:
        """Tell why the hub did not give it.

        Args:
            error: what huggingface_hub raised.
        """
        name = str(self.name_or_path)
        return absent(UnreadableModel, name, error, file="config.json", repository="the repository of a model")

    def read(self, kind: Any, **options: Any) -> Any:
        """Read a part by a class of transformers.

        Args:
            kind: has `from_pretrained`.
            options: of that.
        """
        revision = {} if self.revision is None else {"revision": self.revision}
        return kind.from_pretrained(self.name_or_path, trust_remote_code=False, **revision, **options)

    def read_weights(self, kind: Any, dtype: torch.dtype, **options: Any) -> Any:
        """Read a model, and refuse it if it is not complete.

        Args:
            kind: an automatic class of transformers.
            dtype: number format of the weights.
            options: of `from_pretrained`.

        Raises:
            UnreadableModel: tensors are missing, of another shape, or not finite.
        """
        model, report = self.read_any_weights(kind, dtype, **options)
        check_complete(self.name_or_path, model, report)
        return model

    def read_any_weights(self, kind: Any, dtype: torch.dtype, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Read a model, complete or not.

        Args:
            kind: an automatic class of transformers.
            dtype: number format of the weights.
            options: of `from_pretrained`.

        Returns:
            The model, and transformers' report, for `check_complete`.
        """
        return self.read(
            kind,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported, and refused below with their names
            **options,
        )

    def read_image_processor(self, stand_in: str | None) -> Any:
        """Read the image processor.

        Args:
            stand_in: name of a class to use instead of the checkpoint's own.
        """
        # Pillow's resizing, so that torchvision's being there or not changes no picture.
        try:
            if stand_in is None:
                return self.read(AutoImageProcessor, backend="pil")
            return self.read(getattr(transformers, f"{stand_in}Pil"))
        except UNREADABLE as error:
            raise self._unreadable(error, "an image processor: preprocessor_config.json") from error

    def read_tokenizer(self, chat_template: str | None, **options: Any) -> Any:
        """Read the tokenizer, with a chat template and something to pad with.

        Args:
            chat_template: for a checkpoint that has none.
            options: of `from_pretrained`.

        Raises:
            UnreadableModel: there is none from anywhere.
        """
        try:
            tokenizer = self.read(AutoTokenizer, **options)
        except UNREADABLE as error:
            raise self._unreadable(error, "a tokenizer: tokenizer.json and tokenizer_config.json") from error
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

    def _unreadable(self, error: Exception, expected: str) -> UnreadableModel:
        return UnreadableModel(
            f"{self.name_or_path}: {shorten(str(error), 200)}", expected=expected, remedy="download it again"
        )


@contextmanager
def reading(checkpoint: Checkpoint, place: torch.device) -> Generator[None]:
    """Turn what transformers raises while reading into one line that says what to do.

    Args:
        checkpoint: what is read.
        place: where it is to go.

    Raises:
        UnreadableModel: instead of whatever transformers raises.
        NotEnoughMemory: instead of torch's own.
    """
    try:
        yield
    except NETWORK as error:
        raise checkpoint.absent(error) from error
    except (*UNREADABLE, MemoryError) as error:
        # bitsandbytes says it so, where a model that is spread would not fit into the accelerators
        if is_out_of_memory(error) or "dispatched on the CPU" in str(error):
            raise NotEnoughMemory(
                f"{checkpoint.name_or_path} does not fit into the memory of {place}",
                expected="a smaller model, or more room",
                remedy="use bfloat16, quantize, or spread it over several devices",
            ) from error
        raise UnreadableModel(
            f"{checkpoint.name_or_path}: {shorten(str(error), 200)}",
            expected="the checkpoint of a model in safetensors",
            remedy="check the name, or download it again",
        ) from error


def check_complete(
    name_or_path: str | Path, model: nn.Module, report: dict[str, Any], *, only: Collection[int] | None = None
) -> None:
    """Refuse a checkpoint that lacks tensors, holds others than announced, or is not finite.

    transformers fills in at random what a checkpoint lacks, and would then explain noise.

    Args:
        name_or_path: of the checkpoint, for the message.
        model: as loaded.
        report: transformers' `output_loading_info`.
        only: the weights that matter, by `id`; None for all.

    Raises:
        UnreadableModel: if it is to be refused.
    """
    weights = dict(model.named_parameters())
    missing = sorted(name for name in report["missing_keys"] if only is None or id(weights.get(name)) in only)
    if missing:
        raise UnreadableModel(
            f"{name_or_path} lacks {len(missing)} tensors, {missing[0]} first", remedy="download it again"
        )
    for name, found, expected in report["mismatched_keys"]:
        raise UnreadableModel(
            f"{name_or_path}: {name} is {list(found)}", expected=str(list(expected)), remedy="download it again"
        )
    for name, parameter in weights.items():
        if parameter.is_floating_point() and not parameter.is_meta and not parameter.isfinite().all():
            raise UnreadableModel(
                f"{name_or_path}: {name} holds NaN or infinity", expected="finite weights", remedy="download it again"
            )
