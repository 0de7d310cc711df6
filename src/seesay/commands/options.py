"""The options that every command takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from seesay.commands.counts import Seed

DType = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Options:
    """Taken by every command."""

    device: Annotated[str, arg(metavar="DEVICE")] = "auto"
    """Where to compute: cpu, cuda, cuda:1 or mps; auto takes an accelerator if there is any, else the CPU."""

    dtype: DType = "auto"
    """Number format of the weights; auto is float32 on the CPU, else bfloat16."""

    seed: Seed = 0
    """Start of everything random; the same seed gives the same answer."""

    json: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write the result to this file as JSON, for scripts; - is the standard output."""

    verbose: Annotated[bool, arg(aliases=["-v"])] = False
    """Let the libraries underneath speak, too: their advice, warnings and loading bars."""
