"""A plan, for the terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from seesay.commands.explaining_options import ExplainerOptions

if TYPE_CHECKING:
    from seesay.planning.plan import Memory, Plan

_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


def plan_page(plan: "Plan", of: str, n_features: int, who: ExplainerOptions) -> "Iterator[Table | Text]":
    """All of it.

    Args:
        plan: as it was made.
        of: the model, its number format and the method, in words.
        n_features: that are to be explained.
        who: explains.

    Yields:
        What is printed, in order.
    """
    yield Text(f"{of}: counted from the configuration alone, nothing was loaded.")
    yield _memory_table(plan)
    yield _verdict(plan, who)
    yield _work_table(plan)
    seconds = plan.seconds(n_features)
    yield Text(f"{n_features} features: at least {duration(seconds)}, {_rate(plan)} features/s.", style="bold")
    yield Text(_assumptions(plan, who), style="dim")


def _memory_table(plan: "Plan") -> Table:
    memory, batches = plan.memory, plan.work.batches
    n_rows = batches.features * plan.work.answers_per_feature
    table = _table("memory", "parameters", "")
    for part, weights in memory.weights.items():
        table.add_row(part, f"{weights.n_parameters:,}", in_bytes(weights.n_bytes))
    table.add_row("SAE", "", "not known" if memory.sae is None else in_bytes(memory.sae))
    table.add_row(f"encoder at work, {batches.images} images at once", "", in_bytes(memory.encoder))
    table.add_row(f"language model at work, {batches.features} features at once", "", in_bytes(memory.language))
    row = f"  of these, keys and values, {in_bytes(memory.cache // n_rows)} a row"
    table.add_row(row, "", in_bytes(memory.cache))
    table.add_row("in all, as they take turns", "", in_bytes(memory.total))
    return table


def _verdict(plan: "Plan", who: ExplainerOptions) -> Text:
    memory = plan.memory
    if memory.available is None:
        return Text("Whether it fits is not known: --assume-gb X tells how much memory there is.")
    room = f"{in_bytes(memory.available)} of memory"
    if memory.fits:
        return Text(f"It fits into {room}.", style="green")
    return Text(f"It does not fit into {room}: {', or '.join(_remedies(plan, memory, who))}.", style="yellow")


def _remedies(plan: "Plan", memory: "Memory", who: ExplainerOptions) -> list[str]:
    from seesay.planning.plan import largest_batches

    fewer = largest_batches(memory, plan.work.batches)
    found: list[str] = []
    if fewer is not None:
        n = min(fewer.features, fewer.images) if not plan.work.images_per_feature > 1 else fewer.features
        found.append(f"--batch-size {n}")
    if who.quantize != "4bit":
        found.append("--quantize 4bit")
    if not who.spread:
        found.append("--spread it over all devices")
    return found or ["a smaller model"]


def _work_table(plan: "Plan") -> Table:
    work, time, flops = plan.work, plan.time, plan.flops()
    table = _table("each feature", "FLOP, linear", "attention", "seconds")
    images = "1 image" if work.images_per_feature == 1 else f"{work.images_per_feature} images"
    rows = [
        ("encoder", f"{images} of {work.n_patches} patches", time.encoding),
        ("prefill", f"{work.n_prompt} tokens read", time.prefill),
        ("decoding", f"{work.answers_per_feature} x {work.tokens_per_answer} tokens said", time.decoding),
    ]
    for stage, what, seconds in rows:
        if flops[stage]["linear"]:
            table.add_row(what, *_flop(flops[stage]), f"{seconds:.3g}")
    if flops["once"]["linear"]:
        table.add_row("once for all: the empty image", *_flop(flops["once"]), f"{time.once:.3g}")
    return table


def _assumptions(plan: "Plan", who: ExplainerOptions) -> str:
    machine, work = plan.machine, plan.work
    kind = "measured" if machine.is_measured else "assumed"
    least = f", or {machine.seconds_per_operation * 1e6:.2g} µs," if machine.seconds_per_operation else ""
    few = " bitsandbytes unpacks weights at each use, so time is that of unpacked ones." if who.quantize else ""
    return (
        f"Each operation takes as long as its arithmetic ({machine.flops_per_second / 1e12:.3g} TFLOP/s, {kind}) or "
        f"its bytes ({machine.bytes_per_second / 1e9:.4g} GB/s, {kind}){least} if that is longer. Answers are taken to "
        f"be {work.tokens_per_answer} tokens long, as long as they may be. Loading, pictures and writing are not "
        f"counted.{few}"
    )


def _table(first: str, *others: str) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _flop(flops: dict[str, int]) -> tuple[str, str]:
    return _in_units(flops["linear"], _COUNTS), _in_units(flops["attention"], _COUNTS)


def in_bytes(n_bytes: int) -> str:
    """Bytes as a text.

    Args:
        n_bytes: how many.
    """
    return _in_units(n_bytes, _SIZES)


def _in_units(value: float, units: tuple[tuple[float, str], ...]) -> str:
    size, unit = next((each for each in units if value >= each[0]), units[-1])
    return f"{value / size:.3g} {unit}"


def _rate(plan: "Plan") -> str:
    return f"{1 / plan.time.per_feature:.3g}"


def duration(seconds: float) -> str:
    """A time as a text.

    Args:
        seconds: how long.
    """
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
