"""Pipelines of diffusers, read from a folder or the hub, safely and part by part.

Only safetensors are read and no code that comes with a pipeline is run.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from torch import nn

from seesay.errors import UnreadableModel
from seesay.hub import NETWORK, absent, is_path
from seesay.vlm.checkpoints import UNREADABLE, Checkpoint, check_complete, reading

_INDEX = "model_index.json"


def read_pipeline(name: str | Path, place: torch.device, dtype: torch.dtype) -> Any:
    """Read a text-to-image pipeline.

    Args:
        name: a pipeline's folder, or its name on the hub.
        place: where it is to go.
        dtype: number format of its weights.

    Returns:
        A pipeline of diffusers, which must be installed.

    Raises:
        UnreadableModel: a pipeline that is missing, damaged, incomplete, or brings code of its own.
        NotEnoughMemory: it does not fit.
    """
    index = _index(name)
    with reading(Checkpoint(name, None), place):
        _checked_parts(name, index)  # before anything else is fetched
        from diffusers import AutoPipelineForText2Image, DiffusionPipeline

        folder = Path(name)
        if not folder.is_dir():
            folder = Path(DiffusionPipeline.download(str(name), use_safetensors=True, trust_remote_code=False))
        parts = _checked_parts(name, folder / _INDEX)
        models = {
            # what the index leaves out is said to be none, or some pipelines would miss it
            part: None if kind is None else _read(name, folder / part, kind, dtype)
            for part, kind in parts.items()
            if kind is None or issubclass(kind, nn.Module)
        }
        found = AutoPipelineForText2Image.from_pretrained(
            str(folder), use_safetensors=True, trust_remote_code=False, **models
        )
        return found.to(place)


def _index(name: str | Path) -> Path:
    """The file that says what a pipeline is made of."""
    if not str(name):
        raise UnreadableModel("an empty name", expected="a pipeline's folder, or a name on the hub")
    if Path(name).is_dir():
        found = Path(name) / _INDEX
        if not found.is_file():
            raise UnreadableModel(f"{name} has no {_INDEX}", expected="the folder of a diffusers pipeline")
        return found
    if is_path(name):
        raise UnreadableModel(f"no folder {name}", expected="a pipeline's folder, or a name on the hub")
    try:
        return Path(hf_hub_download(str(name), _INDEX))
    except (*UNREADABLE, NETWORK) as error:
        repository = "the repository of a diffusers pipeline"
        raise absent(UnreadableModel, str(name), error, file=_INDEX, repository=repository) from error


def _checked_parts(name: str | Path, index: Path) -> dict[str, type | None]:
    """The classes of a pipeline's parts, None for one that is left out; all are diffusers' or transformers'.

    diffusers would refuse foreign code by itself unless told to trust it. This says so in one line, before anything is
    fetched, and refuses what that does not cover: parts that are pipelines themselves, whose parts may be pickles.
    """
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        pipeline, parts = content["_class_name"], dict(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableModel(
            f"{name}: {_INDEX} is damaged", expected="what a diffusers pipeline is made of"
        ) from error
    _check_is_pipeline(name, pipeline)
    found: dict[str, type | None] = {}
    for part, value in parts.items():
        match value:
            case [str(library), str(kind)]:
                found[part] = _part(name, part, library, kind)
            case [None, None]:
                found[part] = None
            case _:  # a setting
                pass
    return found


def _check_is_pipeline(name: str | Path, pipeline: object) -> None:
    refusal = UnreadableModel(
        f"{name}: a pipeline of class {pipeline!r}",
        expected="a text-to-image pipeline of diffusers in one repository",
        remedy="take another: no code that comes with a model is run",
    )
    if not isinstance(pipeline, str):  # a list names a file of code, which comes with the pipeline
        raise refusal
    import diffusers

    kind: Any = getattr(diffusers, pipeline, None)
    # Those that fetch other pipelines by themselves look for them in a README.
    if not _is_class(kind, diffusers.DiffusionPipeline) or kind._load_connected_pipes:
        raise refusal


def _part(name: str | Path, part: str, library: str, kind: str) -> type:
    import diffusers
    import transformers

    libraries = {"diffusers": diffusers, "transformers": transformers}
    module = libraries.get(library) or getattr(diffusers.pipelines, library, None)
    found: Any = getattr(module, kind, None) if isinstance(module, ModuleType) and part.isidentifier() else None
    forbidden = (diffusers.DiffusionPipeline, diffusers.OnnxRuntimeModel)
    if not _is_class(found, object) or issubclass(found, forbidden):
        raise UnreadableModel(
            f"{name}: its part {part!r} is {library}.{kind}",
            expected="parts of diffusers and transformers alone",
            remedy="take another pipeline, or update them if they should know it",
        )
    return found


def _is_class(found: Any, of: type) -> bool:
    return isinstance(found, type) and issubclass(found, of)


def _read(name: str | Path, folder: Path, kind: Any, dtype: torch.dtype) -> nn.Module:
    """Read a part with weights; what lacks some would be filled up with noise."""
    from diffusers import ModelMixin

    number_format = {"torch_dtype" if _is_class(kind, ModelMixin) else "dtype": dtype}
    model, report = kind.from_pretrained(
        folder, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **number_format
    )
    check_complete(f"{name}/{folder.name}", model, report)
    return model.eval().requires_grad_(False)
