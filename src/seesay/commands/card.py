"""A feature's card: what a run knows of it, laid out for the terminal."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from seesay.commands.output import one_line
from seesay.records import Explanation, FeatureStats, Strength

if TYPE_CHECKING:
    from seesay.exemplars.exemplar import Exemplar
    from seesay.store.explanations import StoredSetting
    from seesay.store.scores import StoredScore, StoredScoring

_BARS = " ▁▂▃▄▅▆▇█"
_TOLD_ELSEWHERE = frozenset(
    {"method", "control", "strength", "seed", "explainer", "encoder", "encoder_differs_in", "algorithm"}
)
_TELL_NOTHING = frozenset({"opening", "start", "mask_fill"})  # parts of a prompt file, which its question stands for
_LONGEST_FACT = 40
_MOST_ALIKE = 3
"""Strengths of one way of explaining that are all told; calibrating tries more."""


@final
@dataclass(frozen=True, eq=False)
class Card:
    """What a run knows of a feature.

    Args:
        of: what the run is of.
        collected: what was found when its images were read; None if none were.
        statistics: the feature's; None without images.
        said: all explanations by setting: methods first, then controls and ablations.
        exemplars: the images that activate it most.
        chosen: the strengths that calibrating chose, with method and explainer.
        scores: of its explanations, and of itself.
        sure: how probable it is that an explanation is right, by its setting's number and its sample.
    """

    of: Mapping[str, Any]
    collected: Mapping[str, Any] | None
    statistics: FeatureStats | None
    said: "Sequence[tuple[StoredSetting, Sequence[Explanation]]]"
    exemplars: "Sequence[Exemplar]"
    chosen: frozenset[tuple[str, str, Strength]] = frozenset()
    scores: "Sequence[tuple[StoredScoring, StoredScore]]" = ()
    sure: Mapping[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])

    @property
    def told(self) -> "list[tuple[StoredSetting, Sequence[Explanation], int]]":
        """What is told of all that was said: of many strengths that were tried the same way, one stands for all.

        It is the one that was chosen, or the last; with it comes how many it stands for besides itself.
        """
        tries: dict[str, list[tuple[StoredSetting, Sequence[Explanation]]]] = defaultdict(list)
        for setting, samples in self.said:
            tries[repr(sorted((name, str(fact)) for name, fact in setting.facts.items() if name != "strength"))].append(
                (setting, samples)
            )
        found: list[tuple[StoredSetting, Sequence[Explanation], int]] = []
        for alike in tries.values():
            chosen = [each for each in alike if self._is_chosen(each[0])]
            shown = alike if len(alike) <= _MOST_ALIKE else (chosen or alike)[-1:]
            found += [(*each, len(alike) - len(shown)) for each in shown]
        return found

    def _is_chosen(self, setting: "StoredSetting") -> bool:
        return setting.strength is not None and (setting.method, setting.explainer, setting.strength) in self.chosen


def statistics(card: Card, console: Console) -> Group:
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


def explanations(card: Card) -> Group:
    """All that was said of it, as a table.

    Args:
        card: of the feature.
    """
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
    particulars = _particulars([setting for setting, *_ in told])
    for place, (setting, samples, n_others) in enumerate(told):
        if place and setting.control is not None and told[place - 1][0].control is None:
            table.add_section()
        for sample in samples:
            cells = [_method(setting, sample, particulars[setting.setting_id])]
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


def _method(setting: "StoredSetting", sample: Explanation, particulars: Sequence[str]) -> Text:
    strength = "" if setting.strength is None else f" at {setting.strength.value:.4g} {setting.strength.unit}"
    donor = [] if sample.donor_id is None else [f"feature {sample.donor_id} instead"]
    more = "".join(f", {each}" for each in (*donor, *particulars))
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


def _particulars(settings: "Sequence[StoredSetting]") -> dict[int, list[str]]:
    """What tells settings of one method apart beside control and strength: facts unlike those of most of them."""
    values: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    facts = {each.setting_id: dict(_told(each.facts)) for each in settings}
    names = {name for told in facts.values() for name in told}
    for each in settings:
        for name in names:  # what is not there counts, too: greedy words have no temperature
            values[each.method, name][facts[each.setting_id].get(name, "")] += 1
    return {
        each.setting_id: [
            f"{name} {value}"
            for name, value in facts[each.setting_id].items()
            if value != values[each.method, name].most_common(1)[0][0]
        ]
        + (["another encoder"] if each.facts.get("encoder_differs_in") else [])
        for each in settings
    }


def _told(facts: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict) and name not in _TOLD_ELSEWHERE:
            yield from _told(value)
        elif name not in _TOLD_ELSEWHERE | _TELL_NOTHING and value is not None:
            yield ("asked" if name == "prompt" else one_line(name).replace("_", " ")), _short(str(value))


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
        table.add_row(f"{each.activation:.3g}", f"{peak(each):.3g}", Text(one_line(each.image.source_id)))
    return Group(Text("What activates it most", style="bold"), table)


def caption(exemplar: "Exemplar") -> str:
    """What stands over a picture: how active the feature is on it, and what it is called."""
    largest = peak(exemplar)
    on_image = f"{exemplar.activation:.3g}"
    told = on_image if f"{largest:.3g}" == on_image else f"{on_image}, up to {largest:.3g}"
    return f"{told}\n{_short(exemplar.image.source_id)}"


def peak(exemplar: "Exemplar") -> float:
    """The largest activation on any patch of it."""
    return float(exemplar.heatmap.activations.max(initial=0))
