"""What `seesay doctor` looks at: each check is a function that returns what it found and, where needed, the remedy."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from seesay import __version__
from seesay.commands.options import Options
from seesay.errors import SeesayError

Verdict = Literal["ok", "note", "problem"]
"""`note` is worth knowing; `problem` means that seesay cannot work here."""

_PACKAGES = {
    "torch": "torch",
    "transformers": "transformers",
    "tokenizers": "tokenizers",
    "safetensors": "safetensors",
    "huggingface-hub": "huggingface_hub",
    "numpy": "numpy",
    "scipy": "scipy",
    "pillow": "PIL",
    "einops": "einops",
    "jaxtyping": "jaxtyping",
}
_EXTRAS = {
    "train": ("sae_lens", "training SAEs, and the world's models"),
    "synthesis": ("diffusers", "images made of words, which seesay score looks at"),
    "ray": ("ray", "work shared out among GPUs and machines"),
    "large": ("bitsandbytes", "explainers in few bits, or over several devices"),
}
_LEAST_FREE_DISK_GIB = 1.0
_LEAST_FREE_MEMORY_GIB = 2.0
_GIB = 1024**3


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report.

    Args:
        name: what was looked at.
        verdict: `ok`, `note` or `problem`.
        found: what was found, with versions and sizes.
        remedy: what to do about it; empty if nothing.
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def all_checks(*, deep: bool) -> Iterator[Check]:
    """Look at everything, in the order of the report.

    Args:
        deep: also load the world's model and SAE, which takes some seconds.
    """
    yield Check("seesay", "ok", f"{__version__} on Python {platform.python_version()}, {platform.platform()}")
    packages = [check_package(name, module) for name, module in _PACKAGES.items()]
    yield from packages
    usable = all(package.verdict != "problem" for package in packages)
    if usable:
        yield from check_devices()
    yield check_world()
    if deep and usable:
        yield check_world_loads()
    for name, (module, purpose) in _EXTRAS.items():
        yield check_extra(name, module, purpose)
    if usable:
        yield check_cache()
    yield check_disk(Path.cwd())
    yield from check_memory()


def check_package(name: str, module: str) -> Check:
    """Whether a package that seesay cannot do without is installed and can be imported."""
    try:
        found = version(name)
        import_module(module)
    except PackageNotFoundError:
        return Check(name, "problem", "not installed", f"{_pip()} install {name}")
    except (ImportError, OSError, RuntimeError) as error:
        return Check(name, "problem", f"does not import: {error}", f"{_pip()} install --force-reinstall {name}")
    return Check(name, "ok", found)


def check_devices() -> Iterator[Check]:
    """The CPU, and every accelerator that torch can use."""
    import torch

    cpu: Any = (
        torch.cpu
    )  # what it can has no public name; without such instructions bfloat16 is far slower than float32
    fast = any(getattr(cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    half = "computes in bfloat16, too: --dtype bfloat16" if fast else "bfloat16 would be slow: leave it at float32"
    yield Check("CPU", "ok", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads; {half}")
    if torch.backends.mps.is_available():
        yield Check("MPS", "ok", "available")
    if not torch.cuda.is_available():
        yield Check("CUDA", "note", "no device; the CPU is used")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found = f"{properties.name}, {properties.total_memory / _GIB:.1f} GiB"
        yield Check(f"CUDA {index}", "ok", found)


def check_world() -> Check:
    """Whether the embedded world's weights are where they were shipped."""
    from seesay import world
    from seesay.world.training.config import BLOCKS, SIZES

    try:
        folders = [
            *(world.checkpoint(f"world:{name}") for name in (*SIZES, "judge")),
            *(world.sae(f"world:{name}") for name in BLOCKS),
            world.scorer(),
        ]
    except SeesayError as error:
        return Check("world", "problem", str(error), "install seesay again")
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    return Check("world", "ok", f"{len(folders)} models, {size / 1024**2:.1f} MiB")


def check_world_loads() -> Check:
    """Whether the embedded world's weights load."""
    from seesay.commands.loading import load_explainer
    from seesay.commands.sae_options import SAEOptions

    try:
        load_explainer("world", Options())
        SAEOptions().load("world:late")
    except SeesayError as error:
        return Check("world loads", "problem", str(error), "install seesay again")
    return Check("world loads", "ok", "model and SAE")


def check_extra(name: str, module: str, purpose: str) -> Check:
    """Whether an extra is installed.

    Args:
        name: as in `seesay[name]`.
        module: what it brings.
        purpose: what it is needed for.
    """
    if find_spec(module) is not None:
        return Check(f"extra {name}", "ok", f"installed, for {purpose}")
    return Check(f"extra {name}", "note", f"not installed; for {purpose}", f"{_pip()} install 'seesay[{name}]'")


def check_cache() -> Check:
    """Where models from the hub are kept."""
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

    cache = Path(HF_HUB_CACHE)
    state = "there" if cache.is_dir() else "not there yet"
    if HF_HUB_OFFLINE:
        return Check(
            "hub cache", "note", f"{_tilde(cache)}, {state}; offline", "unset HF_HUB_OFFLINE to download models"
        )
    return Check("hub cache", "ok", f"{_tilde(cache)}, {state}")


def check_disk(folder: Path) -> Check:
    """Free disk space where runs are written by default."""
    free = shutil.disk_usage(folder).free / _GIB
    if free < _LEAST_FREE_DISK_GIB:
        return Check(
            "disk", "note", f"{free:.1f} GiB free in {_tilde(folder)}", "make room, or write runs elsewhere: --out"
        )
    return Check("disk", "ok", f"{free:.0f} GiB free in {_tilde(folder)}")


def check_memory() -> Iterator[Check]:
    """Free memory, on systems that tell."""
    free = free_memory_in_gib()
    if free is None:
        return
    if free < _LEAST_FREE_MEMORY_GIB:
        yield Check("memory", "note", f"{free:.1f} GiB free", "close something, or lower --batch-size")
    else:
        yield Check("memory", "ok", f"{free:.0f} GiB free")


def free_memory_in_gib(meminfo: Path = Path("/proc/meminfo")) -> float | None:
    """Memory that a new process can have without swapping; None where the kernel does not tell.

    Args:
        meminfo: Linux's table of memory.
    """
    try:
        lines = meminfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key == "MemAvailable":
            return int(value.split()[0]) * 1024 / _GIB
    return None


def _pip() -> str:
    # the interpreter of this very environment, whichever pip comes first in PATH
    return f"{_tilde(Path(sys.executable))} -m pip"


def _tilde(path: Path) -> str:
    home = Path.home()
    return str(Path("~") / path.relative_to(home)) if path.is_relative_to(home) else str(path)
