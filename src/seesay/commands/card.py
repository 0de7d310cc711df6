"""A feature's card: what a run knows of it, laid out for the terminal."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from seesay.records import Explanation
from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.cards import Card
    from seesay.exemplars.exemplar import Exemplar
    from seesay.store.explanations import StoredSetting

_BARS = " ▁▂▃▄▅▆▇█"
_LONGEST_FACT = 40


def statistics(card: "Card", console: Console) -> Group:
    """How often and how much the feature is active, and with which others.

    Args:
        card: of the feature.
        console: where it will be printed.
    """
    of = card.statistics
    if of is None:
        return Group(Text("\nNo images were collected: no statistics, and none to show.", style="dim"))
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {"active": "on no image"}
    if of.frequency:
        rows = {
            "active": f"on {of.frequency:.3%} of the patches, {of.image_frequency:.2%} of the images",
            "activation": f"{of.mean_activation:.4g} on average where it is active, {of.max_activation:.4g} at most",
            "histogram": "" if console.options.ascii_only else _histogram(of.histogram, console.width // 2),
            "fires with": _numbered(of.fires_with, "on {:.0%} of its patches", "{:.0%}"),
        }
    rows["nearest"] = _numbered(of.nearest, "cosine {:.2f}", "{:.2f}")
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    return Group(Text(), table)


def _histogram(counts: Sequence[int], room: int) -> str:
    from seesay.exemplars.histogram import bin_edge

    filled = [place for place, n in enumerate(counts) if n > 0]
    if not filled:
        return ""
    first, end = filled[0], filled[-1] + 1
    together = math.ceil((end - first) / max(1, room))
    sums = [sum(counts[place : min(place + together, end)]) for place in range(first, end, together)]
    bars = "".join(_BARS[max(0, math.ceil((len(_BARS) - 1) * n / max(1, *sums)))] for n in sums)
    return f"{bin_edge(first):.3g} {bars} {bin_edge(end):.3g}   patches by activation, on a log scale"


def _numbered(neighbours: Iterable[tuple[int, float]], first: str, others: str) -> str:
    """Features with their numbers, of which the first says what they mean."""
    return ", ".join(
        f"{other} ({(others if place else first).format(number)})" for place, (other, number) in enumerate(neighbours)
    )


def explanations(card: "Card") -> Group:
    """All that was said of it, as a table.

    Args:
        card: of the feature.
    """
    from seesay.cards import particulars

    if not card.said:
        return Group(Text("\nNot explained yet.\n", style="dim"))
    names = {setting.explainer for setting, _ in card.said}
    title = f"What {one_line(*names)} says of it" if len(names) == 1 else "What is said of it"
    table = Table(header_style="dim", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("method", overflow="fold")
    if len(names) > 1:
        table.add_column("explainer", overflow="fold")
    table.add_column("words", overflow="fold", ratio=1, min_width=24)
    table.add_column("log-prob", justify="right", no_wrap=True, min_width=len("log-prob"))
    if card.sure:
        table.add_column("sure", justify="right", no_wrap=True)
    told = card.told
    differing = particulars([setting for setting, *_ in told])
    for place, (setting, samples, n_others) in enumerate(told):
        if place and setting.control is not None and told[place - 1][0].control is None:
            table.add_section()
        for sample in samples:
            cells = [_method(setting, sample, differing[setting.setting_id])]
            if len(names) > 1:
                cells.append(Text(one_line(setting.explainer)))
            is_first = sample is samples[0]
            log_probability = sample.mean_log_probability
            table.add_row(
                *(cells if is_first else ["" for _ in cells]),
                words_of(sample),
                "" if log_probability is None else f"{log_probability:.2f}",
                *([_sure(card.sure.get((setting.setting_id, sample.sample)))] if card.sure else []),
            )
        if n_others:
            table.add_row(Text(f"  and at {n_others} other strengths (--json)", style="dim"))
    return Group(Text(f"\n{title}", style="bold"), table, Text())


def _sure(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.0%}"


def _method(setting: "StoredSetting", sample: Explanation, differing: "Sequence[tuple[str, str]]") -> Text:
    strength = "" if setting.strength is None else f" at {setting.strength.value:.4g} {setting.strength.unit}"
    donor = [] if sample.donor_id is None else [f"feature {sample.donor_id} instead"]
    facts = (f"{_short(name)} {_short(value)}".strip() for name, value in differing)
    more = "".join(f", {each}" for each in (*donor, *facts))
    return Text.assemble(f"{setting.title}{strength}", (more, "dim"))


def words_of(explanation: Explanation) -> Text:
    """What was said, or why nothing was; text, because a model's words are no markup, whatever brackets it says.

    Args:
        explanation: of one feature.
    """
    reason = one_line(explanation.reason)
    match explanation.status:
        case "ok":
            return Text(one_line(explanation.text))
        case "empty":
            return Text(f"empty: {reason}", style="dim")
        case "failed":
            return Text(f"failed: {reason}", style="red")


def _short(text: str) -> str:
    line = one_line(text)
    if len(line) <= _LONGEST_FACT:
        return line
    return f"{line[: _LONGEST_FACT // 3]}…{line[-_LONGEST_FACT // 2 :]}"  # of paths, the end tells more


def exemplar_table(exemplars: "Sequence[Exemplar]") -> Group:
    """The images that activate it most, where they cannot be drawn.

    Args:
        exemplars: the best first.
    """
    table = Table(header_style="dim", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("activation", justify="right", no_wrap=True)
    table.add_column("on a patch", justify="right", no_wrap=True)
    table.add_column("image", overflow="fold")
    for each in exemplars:
        table.add_row(f"{each.activation:.3g}", f"{each.peak:.3g}", Text(one_line(each.image.source_id)))
    return Group(Text("What activates it most", style="bold"), table)


def caption(exemplar: "Exemplar") -> str:
    """What stands over a picture: how active the feature is on it, and what it is called."""
    largest = exemplar.peak
    on_image = f"{exemplar.activation:.3g}"
    told = on_image if f"{largest:.3g}" == on_image else f"{on_image}, up to {largest:.3g}"
    return f"{told}\n{_short(exemplar.image.source_id)}"
