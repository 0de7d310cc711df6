"""Any text-to-image pipeline of diffusers as a synthesiser."""

import hashlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType
from typing import Any, final

import numpy as np
import torch
from PIL import Image
from torch import nn

from seesay.errors import InvalidSetting, MissingExtra, NotEnoughMemory, NotFinite
from seesay.instruments.pipelines import read_pipeline
from seesay.vlm.batches import fitting
from seesay.vlm.identity import model_digest
from seesay.vlm.loading import resolve_device, resolve_dtype

TEMPLATE = "a realistic image of {}"

_ALGORITHM = 1
"""Counts up when the same pipeline, words and number give another image."""

_SLOT = "{}"
_SIDE_UNIT, _LARGEST_SIDE = 16, 2048  # what autoencoders and patches divide by, in most pipelines
_NOT_WEIGHTS = frozenset({"transformers_version"})
"""What a part's configuration says that its images do not depend on, besides names with an underscore, paths among
them."""


@final
class DiffusionSynthesiser:
    """Makes images by a pipeline of diffusers.

    A safety checker of the pipeline's own is left in place: an image that it blackens counts as it is.

    Args:
        pipeline: text-to-image, on its device.
        steps: of denoising; None for as many as the pipeline takes by itself.
        template: what is asked for, with `{}` where the words go.
        size: side of the images in pixels.
        batch_size: images at a time; halved when memory runs out. It changes nothing but speed, memory and the last
            digits.

    Raises:
        InvalidSetting: a template without a place for the words, or a number that cannot be.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        steps: int | None = None,
        template: str = TEMPLATE,
        size: int = 512,
        batch_size: int = 4,
    ) -> None:
        _check(steps, template, size)
        defaults = signature(pipeline.__call__).parameters
        steps = steps or _default(defaults, "num_inference_steps")
        self._pipeline, self._template, self._size, self._batch_size = pipeline, template, size, batch_size
        self._options: dict[str, Any] = {"height": size, "width": size}
        if steps is not None:
            self._options["num_inference_steps"] = steps
        self._facts = MappingProxyType({
            "synthesiser": type(pipeline).__name__,
            "weights": _digest(pipeline.components),
            "template": template,
            "steps": steps,
            "guidance": _default(defaults, "guidance_scale"),
            "size": size,
            "dtype": str(pipeline.dtype),
            "algorithm": _ALGORITHM,
        })  # fmt: skip
        pipeline.set_progress_bar_config(disable=True)

    @property
    def facts(self) -> MappingProxyType[str, Any]:
        """Pipeline, weights and how it is asked."""
        return self._facts

    def synthesise(self, texts: Sequence[str], numbers: Sequence[int]) -> list[Image.Image | None]:
        """Make an image of each text.

        Args:
            texts: what is to be seen.
            numbers: one for each of them; see [seesay.instruments.instrument.Synthesiser][].

        Returns:
            RGB images; None for a text without words.

        Raises:
            NotEnoughMemory: a single image does not fit.
            NotFinite: numbers overflowed on the way.
            InvalidSetting: a size that this pipeline does not take.
        """
        wanted = [(text, number) for text, number in zip(texts, numbers, strict=True) if text.strip()]
        too_large = NotEnoughMemory(
            f"one image of {self._size}x{self._size} pixels, and no memory left on {self._pipeline.device}",
            expected="room for a single image",
            remedy="take a smaller size, bfloat16, or another --device",
        )
        made = fitting(wanted, self._batch_size, self._make, lambda _one: too_large)
        images = iter([image for batch in made for image in batch])
        return [next(images) if text.strip() else None for text in texts]

    def _make(self, batch: Sequence[tuple[str, int]]) -> list[Image.Image]:
        # A generator for each image, on the CPU: its noise is then the same in any batch and on any device.
        generators = [torch.Generator().manual_seed(_seed(text, number)) for text, number in batch]
        prompts = [self._template.replace(_SLOT, text) for text, _ in batch]
        try:
            with np.errstate(invalid="raise"):  # as when NaN becomes a pixel, of which numpy only warns
                found = self._pipeline(prompts, generator=generators, **self._options)
        except FloatingPointError as error:
            raise NotFinite(
                f"{type(self._pipeline).__name__} made no finite pixels",
                expected="numbers",
                remedy="take another number format: what is too large for float16 is not for bfloat16 and float32",
            ) from error
        except ValueError as error:
            if "divisible" not in str(error):
                raise
            raise InvalidSetting(
                f"images of {self._size} pixels: {shorten(str(error), 200)}", expected="a size that the pipeline takes"
            ) from error
        return [image.convert("RGB") for image in found.images]


def load_synthesiser(
    name: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    steps: int | None = None,
    template: str = TEMPLATE,
    size: int = 512,
    batch_size: int = 4,
) -> DiffusionSynthesiser:
    """Load a text-to-image pipeline, such as the paper's, `stabilityai/stable-diffusion-3.5-medium`.

    Only safetensors are read and no code that comes with a pipeline is run.

    Args:
        name: a pipeline's folder, or its name on the hub.
        device: as for [seesay.vlm.loading.load_vlm][].
        dtype: as for `load_vlm`.
        steps: see [seesay.instruments.synthesisers.DiffusionSynthesiser][].
        template: see there.
        size: see there.
        batch_size: see there.

    Raises:
        MissingExtra: diffusers is not installed.
        UnreadableModel: a pipeline that is missing, damaged, incomplete, or brings code of its own.
        UnavailableDevice: a device or number format that this machine does not have.
        NotEnoughMemory: the pipeline does not fit.
        InvalidSetting: see there.
    """
    _check(steps, template, size)
    place = resolve_device(device)
    number_format = resolve_dtype(dtype, place)
    if find_spec("diffusers") is None:
        raise MissingExtra("making images from words needs diffusers", remedy="pip install 'seesay[synthesis]'")
    pipeline = read_pipeline(name, place, number_format)
    return DiffusionSynthesiser(pipeline, steps=steps, template=template, size=size, batch_size=batch_size)


def _check(steps: int | None, template: str, size: int) -> None:
    if steps is not None and steps < 1:
        raise InvalidSetting(f"{steps} steps", expected="at least one")
    if template.count(_SLOT) != 1:
        raise InvalidSetting(f"template {template!r}", expected="{} in it, where the words go")
    if size not in range(_SIDE_UNIT, _LARGEST_SIDE + 1, _SIDE_UNIT):
        raise InvalidSetting(f"size {size}", expected=f"a multiple of {_SIDE_UNIT}, at most {_LARGEST_SIDE} pixels")


def _default(parameters: Any, name: str) -> Any:
    """What a pipeline takes by itself; None if it does not say, or has no such setting."""
    default = parameters[name].default if name in parameters else None
    return default if isinstance(default, (int, float)) else None


def _digest(parts: dict[str, Any]) -> str:
    """A hash of all weights, vocabularies and settings that a pipeline's images depend on."""
    whole = hashlib.sha256()
    for part, found in sorted(parts.items()):
        whole.update(f"{part} {type(found).__name__} {_settings(found)}".encode())
        if isinstance(found, nn.Module):
            whole.update(model_digest(found).encode())
    return whole.hexdigest()


def _settings(part: Any) -> str:
    """What a part is told besides weights, as text: a tokenizer's words, or a configuration of either library."""
    config: Any = getattr(part, "config", {})
    found: dict[Any, Any]
    if hasattr(part, "get_vocab"):
        found = part.get_vocab()
    elif hasattr(config, "to_diff_dict"):
        found = config.to_diff_dict()
    else:
        found = dict(config)
    kept = {str(key): value for key, value in found.items() if key not in _NOT_WEIGHTS and not str(key).startswith("_")}
    return json.dumps(kept, sort_keys=True, default=str)


def _seed(text: str, number: int) -> int:
    hashed = hashlib.blake2b(json.dumps([text, number]).encode(), digest_size=8, person=b"seesay-synth").digest()
    return int.from_bytes(hashed, "big") >> 1
