"""What a reproduction would take, instead of doing it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, final

from rich.table import Table
from rich.text import Text

from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.plan_page import duration, in_bytes
from seesay.commands.planning import PlanOptions, machine_of
from seesay.commands.sae_options import SAEOptions
from seesay.errors import UnreadableModel
from seesay.explainers.config import IMAGES_AT_ONCE
from seesay.reproduction.protocol import METHODS, Explainer, Protocol

if TYPE_CHECKING:
    from seesay.planning.plan import Plan

_FEATURES_AT_ONCE = 64
_FEATURES_OF_THE_WORLD = 500
"""That can be scored, of a block, about: what a feature stands for is known when its images have been looked at."""

_THUMBNAIL_BYTES = 9_000
"""Of a kept image, about; so it was in runs of photographs of 256 pixels."""

GIB = 2**30


@final
@dataclass(frozen=True)
class Work:
    """What one explainer does by one method.

    Args:
        explainer: its size.
        method: which.
        n_questions: that are asked, of all blocks, with controls and what calibrating tries.
        total_bytes: of memory; None if that cannot be told.
        fits: whether it is there; None if nobody knows.
        seconds: at least; None if that cannot be told.
    """

    explainer: str
    method: str
    n_questions: int
    total_bytes: int | None
    fits: bool | None
    seconds: float | None


def tell_plan(
    protocol: Protocol,
    max_features: int | None,
    who: ExplainerOptions,
    options: PlanOptions,
    common: Options,
    output: Output,
    *,
    has_ablations: bool = False,
) -> int:
    """Make a plan and print it.

    Args:
        protocol: what is to be done.
        max_features: test features of each block, at most; None for what the protocol says.
        who: options of explaining models.
        options: of the plan.
        common: options of every command.
        output: of the command.
        has_ablations: whether they are asked for, too.

    Returns:
        The exit code.
    """
    n = max_features or protocol.max_features or _FEATURES_OF_THE_WORLD
    works: list[Work] = []
    remarks: list[str] = []
    with output.progress("planning", total=len(protocol.explainers)) as advance:
        for explainer in protocol.explainers:
            try:
                works += _works(protocol, explainer, n, who, options, common)
            except UnreadableModel as error:
                remarks.append(f"{explainer.name}: {error}")
                works += [
                    Work(explainer.size, method, _n_questions(protocol, method, n), None, None, None)
                    for method in METHODS
                ]
            advance(1)
    output.console.print(Text(_in_words(protocol, n)))
    output.console.print(_work_table(works))
    output.console.print(_disk_table(protocol, n))
    for each in (*remarks, *_notes(works, has_ablations=has_ablations)):
        output.console.print(Text(each))
    result = {
        "preset": protocol.name,
        "n_features": n,
        "work": [asdict(each) for each in works],
        "disk_gib": dict(_disk(protocol, n)),
        "steps": list(steps_of(protocol)),
    }
    output.finish(result, next_steps=["the same command without --plan does it"])
    return 0


def steps_of(protocol: Protocol) -> Iterator[str]:
    """What is done, in order, in words.

    Args:
        protocol: what is to be done.
    """
    blocks = ", ".join(each.name for each in protocol.blocks)
    yield f"collect: at most {protocol.n_images} of {protocol.images}, once for each of {blocks}"
    for explainer in protocol.explainers:
        for method, how in protocol.calibrating.items():
            yield (
                f"{explainer.name}: calibrate {method}, {len(how.grid)} strengths by {how.by} on at most "
                f"{protocol.n_validation} validation features of each block"
            )
        yield f"{explainer.name}: explain by {', '.join(METHODS)}, and beside each random directions and images"
    yield f"score: {', '.join(protocol.scores)}, with permuted and constant words beside"
    if protocol.labeller is not None:
        yield f"label: low-level or high-level, by {protocol.labeller}"
    yield f"judge the claims by {' and '.join(protocol.judged_by)}"


def _works(
    protocol: Protocol, explainer: Explainer, n: int, who: ExplainerOptions, options: PlanOptions, common: Options
) -> list[Work]:
    from seesay.commands.loading import hush
    from seesay.commands.names import resolve_sae, resolve_subject
    from seesay.planning.outline import outline
    from seesay.planning.plan import plan
    from seesay.planning.work import Batches
    from seesay.reproduction.reading import base
    from seesay.sae.size import size_of
    from seesay.vlm.loading import resolve_device, resolve_dtype

    device = resolve_device("auto" if who.spread else common.device)
    dtype = resolve_dtype(common.dtype, device)
    hush(common)
    model = outline(resolve_subject(explainer.name), dtype, prompts=who.prompts, quantize=who.quantize)
    machine = machine_of(options, who, device=str(device), dtype=str(dtype).removeprefix("torch."))
    block = protocol.blocks[0]
    layer = block.layer if block.layer is not None else SAEOptions.layer(block.sae, SAEOptions().load(block.sae), None)
    found: list[Work] = []
    for method in METHODS:
        setting = base(protocol, method)
        n_at_once = min(_FEATURES_AT_ONCE, n)
        n_images = n_at_once * (setting.n_images if setting.way.shows else 1)
        planned: Plan = plan(
            model,
            layer if setting.way.steers else 0,
            setting,
            Batches(n_at_once, min(IMAGES_AT_ONCE, n_images)),
            machine,
            sae=size_of(resolve_sae(block.sae), subfolder=block.subfolder) if setting.way.steers else 0,
        )
        n_questions = _n_questions(protocol, method, n)
        seconds = planned.seconds(n_questions)
        found.append(Work(explainer.size, method, n_questions, planned.memory.total, planned.memory.fits, seconds))
    return found


def _n_questions(protocol: Protocol, method: str, n: int) -> int:
    """Of all blocks: words and those of random directions, and what calibrating tries."""
    how = next((each for name, each in protocol.calibrating.items() if name == method), None)
    tried = 0 if how is None else len(how.grid) * protocol.n_validation
    n_controls = n if protocol.n_controls is None else min(n, protocol.n_controls)
    return len(protocol.blocks) * (n + n_controls + tried)


def _in_words(protocol: Protocol, n: int) -> str:
    about = "about " if protocol.max_features is None else "at most "
    return (
        f"{protocol.name}: {len(protocol.blocks)} blocks, {about}{n} test features of each, "
        f"{len(protocol.explainers)} explainers; counted from configurations alone, nothing was loaded."
    )


def _work_table(works: Sequence[Work]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("explainer")
    table.add_column("method")
    for name in ("questions", "memory", "fits", "at least"):
        table.add_column(name, justify="right")
    for each in works:
        memory = "not known" if each.total_bytes is None else in_bytes(each.total_bytes)
        fits = {True: "yes", False: "no", None: "not known"}[each.fits]
        seconds = "not known" if each.seconds is None else duration(each.seconds)
        table.add_row(each.explainer, each.method, str(each.n_questions), memory, fits, seconds)
    return table


def _disk(protocol: Protocol, n: int) -> Iterator[tuple[str, float]]:
    yield from protocol.downloads_gib.items()
    kept = min(protocol.n_images, 60 * n)  # of each feature, some sixty images of both halves
    yield f"runs, {len(protocol.blocks)} of them", round(len(protocol.blocks) * kept * _THUMBNAIL_BYTES / GIB, 2)


def _disk_table(protocol: Protocol, n: int) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("on the disk")
    table.add_column("GiB, about", justify="right")
    found = list(_disk(protocol, n))
    for name, size in found:
        table.add_row(name, f"{size:g}")
    table.add_row("together, without the images themselves", f"{sum(size for _, size in found):.1f}")
    return table


def _notes(works: Sequence[Work], *, has_ablations: bool) -> Iterator[str]:
    known = [each.seconds for each in works if each.seconds is not None]
    if known:
        yield f"Explaining and calibrating: at least {duration(sum(known))}."
    yield f"Collecting, scoring{', ablations' if has_ablations else ''} and labelling are not counted."
    yield "How it is counted: docs/large-models.md."
