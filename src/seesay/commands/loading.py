"""Loading what a command works on, with nothing on the screen but what was asked for."""

import logging as standard_logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.commands.names import resolve_subject
from seesay.commands.options import Options

if TYPE_CHECKING:
    from seesay.vlm import VLM, Encoder
    from seesay.vlm.loading import Quantization

_KEPT: "ContextVar[dict[str, VLM] | None]" = ContextVar("kept", default=None)


def load_explainer(
    name: str,
    options: Options,
    *,
    prompts: Path | None = None,
    quantize: "Quantization | None" = None,
    spread: bool = False,
    tensor_parallel: bool = False,
) -> "VLM":
    """Load the vision-language model that `--explainer` or `--subject` names, as the options say.

    Raises:
        UnreadableModel: if there is none, or it is damaged.
        UnavailableDevice: if this machine lacks the device or the number format.
        NotEnoughMemory: if it does not fit.
        MissingExtra: if it needs a package that is not installed.
        UnreadablePrompt: if the folder of prompts cannot be read.
        InvalidSetting: if it is to be shared out among processes that are not there.
    """
    from seesay import vlm

    found = resolve_subject(name)
    hush(options, bars=Path(found).is_dir())
    load = partial(
        vlm.load_vlm,
        found,
        device=options.device,
        dtype=options.dtype,
        prompts=prompts,
        quantize=quantize,
        spread=spread,
        tensor_parallel=tensor_parallel,
    )
    kept = _KEPT.get()
    if kept is None:
        return load()
    wanted = repr(load.keywords | {"name": found})
    if wanted not in kept:
        kept.clear()  # before another one is loaded: two may not fit
        kept[wanted] = load()
    return kept[wanted]


@contextmanager
def keeping() -> Generator[None]:
    """Within it, the model that explained last is not loaded again where the same one is asked for."""
    before = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(before)


def load_encoder(name: str, options: Options, *, compared: bool = False) -> "Encoder":
    """Load the vision encoder of what `--subject` names, as the options say.

    Args:
        name: as given to `--subject`.
        options: of the command.
        compared: it is only to be compared with another, for which main memory and few bits will do.

    Raises:
        UnreadableModel: if there is none, or it is damaged.
        UnavailableDevice: if this machine lacks the device or the number format.
        NotEnoughMemory: if it does not fit.
    """
    from seesay import vlm

    found = resolve_subject(name)
    hush(options, bars=Path(found).is_dir())
    if compared:
        return vlm.load_encoder(found, device="cpu", dtype="bfloat16")
    return vlm.load_encoder(found, device=options.device, dtype=options.dtype)


def hush(options: Options, *, bars: bool = True) -> None:
    """Keep libraries' advice to programmers, which would bury a command's own words, to those who ask with `-v`.

    Args:
        options: of the command.
        bars: also hide loading bars: reading a folder takes a moment, while a download keeps its bar.
    """
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    if not options.verbose:
        logging.set_verbosity_error()
        hub_logging.set_verbosity_error()  # which would tell of every try at a network that is not there
        standard_logging.getLogger("bitsandbytes").setLevel("ERROR")
        if bars:
            logging.disable_progress_bar()


def hush_diffusers(options: Options) -> None:
    """Keep diffusers' advice and bars to those who ask with `-v`; nothing where it is not installed.

    Args:
        options: of the command.
    """
    if options.verbose or find_spec("diffusers") is None:
        return
    from diffusers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
