"""A comparison as tables for the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seesay.commands.output import one_line

if TYPE_CHECKING:
    from seesay.comparison.contender import AidName
    from seesay.comparison.reading import Contest
    from seesay.comparison.results import Comparison, Group, Kind, Standing
    from seesay.statistics import Correlation, Estimate

AIDS: "tuple[AidName, ...]" = ("random", "permuted", "constant")
_NOT_SCORED = "-"
_LARGE, _RARE = 100.0, 0.001
_BY: "Mapping[Kind, str]" = {
    "level": "By level of what features stand for",
    "layer": "By block: other features in each, so that methods compare within a column, not across",
    "frequency": "By how often a feature is active",
}
_TOLD_BY = {
    "truth": "of the concept that holds",
    "records": "of most of what is said of them, by the scenes' records",
    "model": "of most of what is said of them, as a language model labels it",
}
SHARED = "Computed on images that were shared with the explainers (the paper's habit): too high to be true."
UNINFORMATIVE = "Uninformative here: feature by feature, no method is above all that stands beside it."
_FEW = 10
"""Features below which an interval by resampling says nothing."""

_SURE = 0.05


def print_comparison(
    console: Console,
    of: Mapping[str, Mapping[str, Any]],
    contest: "Contest",
    comparison: "Comparison",
    labeller: str,
) -> None:
    """Print all of it.

    Args:
        console: where to.
        of: what each run is of.
        contest: who was compared.
        comparison: what came of it.
        labeller: who told levels.
    """
    for folder, subject in of.items():
        what = f"{folder}: {subject.get('subject')}, block {subject.get('layer')}, {subject.get('sae')}"
        console.print(Text(one_line(what)))
    if contest.part != "test" and any(each.strengths for each in contest.contenders):
        console.print(
            Text("Strengths are chosen on validation features: figures come from --split test.", style="yellow")
        )
    for note in comparison.notes:
        console.print(Text(one_line(f"{note}."), style="dim"))
    for standing in comparison.standings:
        console.print(_heading(standing, contest))
        console.print(standing_table(standing))
        for line, style in _captions(standing):
            console.print(Text(one_line(line), style=style))
        if standing.pairs:
            console.print(pair_table(standing))
    for kind, title in _BY.items():
        shown = [each for each in comparison.standings if each.quantity.is_primary and each.groups.get(kind)]
        if shown:
            by = f": {_TOLD_BY[labeller.partition(':')[0]]}" if kind == "level" and labeller else ""
            console.print(Text(f"\n{one_line(title + by)}", style="bold"))
            console.print(group_table(shown, kind))
            if any(any(group.aids) for each in shown for group in each.groups[kind]):
                console.print(Text(f"In brackets: {', '.join(AIDS)}.", style="dim"))
    told = summary(comparison)
    if told:
        console.print(Text("\nIn short (5 %, corrected within each score, not over all of them)", style="bold"))
        for line in told:
            console.print(Text(one_line(line)))
    for title, table in (
        ("Rank correlation with ground_truth over features: the measure of the measures", truth_table(comparison)),
        ("Score against strength", curve_table(comparison)),
    ):
        if table.row_count:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(table)


def summary(comparison: "Comparison") -> list[str]:
    """What tests say, a line for each score that tells words from what stands beside them.

    Args:
        comparison: what came of comparing.
    """
    found: list[str] = []
    for standing in comparison.standings:
        sure = [each for each in standing.pairs if each.adjusted < _SURE]
        if not standing.quantity.is_primary or not standing.pairs:
            continue
        if standing.is_informative is False:
            found.append(f"{standing.quantity.title}: tells words from nothing, and so no method from another")
            continue
        ahead = [
            f"{each.first} above {each.second}" if each.difference.mean > 0 else f"{each.second} above {each.first}"
            for each in sure
        ]
        best = max(standing.rows, key=lambda row: row.estimate.mean)
        told = "; ".join(ahead) or "no difference that tests are sure of"
        found.append(f"{standing.quantity.title}: {best.contender} is highest, {number(best.estimate.mean)}; {told}")
    return found


def standing_table(standing: "Standing") -> Table:
    """All contenders by one number, with what stands beside each.

    Args:
        standing: of that number.
    """
    table = bare_table("method" if standing.of_words else "", "mean", "95 % interval", "of")
    table.columns[2].no_wrap = True
    if standing.of_words:
        for aid in AIDS:
            table.add_column(aid, justify="right", style="dim", overflow="fold")
    is_pooled = any(row.pooled is not None for row in standing.rows)
    if is_pooled:
        table.add_column("one ROC", justify="right", no_wrap=True)
    for row in standing.rows:
        found = row.estimate
        cells = [
            Text(one_line(row.contender)),
            number(found.mean),
            f"{number(found.low)} to {number(found.high)}",
            str(row.n_explained),
        ]
        if standing.of_words:
            cells += [_of_aid(row.aids.get(aid), found.n) for aid in AIDS]
        if is_pooled:
            cells.append(_NOT_SCORED if row.pooled is None else number(row.pooled))
        table.add_row(*cells)
    return table


def pair_table(standing: "Standing") -> Table:
    """All pairs of contenders, with their tests.

    Args:
        standing: of one number.
    """
    table = bare_table("difference", "mean", "95 % interval", "effect", "p", f"Holm, {len(standing.pairs)} tests")
    for pair in standing.pairs:
        found = pair.difference
        table.add_row(
            Text(one_line(f"{pair.first} - {pair.second}")),
            f"{found.mean:+.3f}" if abs(found.mean) < _LARGE else f"{found.mean:+.4g}",
            f"{number(found.low)} to {number(found.high)}",
            f"{pair.effect:+.2f}",
            probability(pair.p_value),
            probability(pair.adjusted),
            style="bold" if pair.adjusted < _SURE else "",
        )
    return table


def group_table(standings: "Sequence[Standing]", kind: "Kind") -> Table:
    """Contenders by parts of the features.

    Args:
        standings: of some numbers, all divided in one way.
        kind: which way.
    """
    names = list(dict.fromkeys(group.name for each in standings for group in each.groups[kind]))
    table = bare_table("score", "method", *map(one_line, names), left=2)
    for standing in standings:
        groups = [{group.name: group for group in standing.groups[kind]}.get(name) for name in names]
        table.add_row(standing.quantity.title, "features", *map(_n_features, groups), style="dim")
        for place, row in enumerate(standing.rows):
            cells = (_of_group(group, place) for group in groups)
            table.add_row("", Text(one_line(row.contender)), *cells)
    return table


def truth_table(comparison: "Comparison") -> Table:
    """How far each number agrees with the truth.

    Args:
        comparison: what came of comparing.
    """
    found = [(each.quantity.title, each.truth) for each in comparison.standings if each.truth is not None]
    names = list(dict.fromkeys(name for _, truth in found for name in truth.by_contender))
    table = bare_table("score", "features", *map(one_line, names), "pooled")
    for title, truth in found:
        cells = [_of_correlation(truth.by_contender.get(name)) for name in names]
        # Methods often say the same of a feature, so that its p value would be too small.
        table.add_row(title, str(truth.n), *cells, _NOT_SCORED if truth.pooled is None else f"{truth.pooled.rho:+.2f}")
    return table


def curve_table(comparison: "Comparison") -> Table:
    """Score against strength.

    Args:
        comparison: what came of comparing.
    """
    table = bare_table("score", "method", "strength", "mean", "95 % interval", left=2)
    for standing in comparison.standings:
        for curve in standing.curves:
            for place, point in enumerate(curve.points):
                table.add_row(
                    standing.quantity.title if not place else "",
                    Text(one_line(curve.name)) if not place else "",
                    f"{point.strength:g} {curve.unit}",
                    number(point.estimate.mean),
                    f"{number(point.estimate.low)} to {number(point.estimate.high)}",
                )
    return table


def bare_table(*names: str, left: int = 1) -> Table:
    """A table without rows.

    Args:
        names: of its columns, numbers in all but the first ones.
        left: how many of these hold words.
    """
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, name in enumerate(names):
        table.add_column(Text(name), justify="left" if place < left else "right", overflow="fold")
    return table


def number(value: float) -> str:
    """A score as a text.

    Args:
        value: a finite number.
    """
    return f"{value:.3f}" if abs(value) < _LARGE else f"{value:.4g}"


def probability(value: float) -> str:
    """A p value as a text.

    Args:
        value: 0 to 1.
    """
    return f"< {_RARE}" if value < _RARE else f"{value:.3f}"


def _heading(standing: "Standing", contest: "Contest") -> Text:
    part = "" if contest.part == "all" else f"{contest.part} "
    told = f", {len(standing.keys)} {part}features: {standing.what}"
    return Text.assemble("\n", (standing.quantity.title, "bold"), (told, "dim"))


def _captions(standing: "Standing") -> Iterator[tuple[str, str]]:
    if standing.is_shared:
        yield SHARED, "yellow"
    if standing.is_informative is False:
        yield UNINFORMATIVE, "yellow"
    if standing.chance is not None:
        yield f"Words that say nothing get {standing.chance:g}.", "dim"
    for note in standing.notes:
        yield f"{note}.", "dim"


def _interval(found: "Estimate") -> str:
    if found.n < _FEW:
        return f"{number(found.mean)}\nof {found.n}"
    if found.low == found.high:
        return f"{number(found.mean)}\nall alike"
    return f"{number(found.mean)}\n{_short(found.low)} {_short(found.high)}"


def _short(value: float) -> str:
    """The end of an interval, where there is little room."""
    return f"{value:.2f}".replace("0.", ".") if abs(value) < 1 else f"{value:.3g}"


def _of_aid(found: "Estimate | None", n: int) -> Text:
    if found is None:
        return Text(_NOT_SCORED)
    return Text(_interval(found) + ("" if found.n == n else f" n={found.n}"))


def _of_group(group: "Group | None", place: int) -> Text:
    found = None if group is None else group.estimates[place]
    if group is None or found is None:
        return Text(_NOT_SCORED)
    beside = [_short(group.aids[place][aid]) if aid in group.aids[place] else _NOT_SCORED for aid in AIDS]
    return Text.assemble(_interval(found), (f"\n({' '.join(beside)})", "dim") if group.aids[place] else "")


def _n_features(group: "Group | None") -> str:
    return str(max((each.n for each in group.estimates if each is not None), default=0)) if group else "0"


def _of_correlation(found: "Correlation | None") -> str:
    return _NOT_SCORED if found is None else f"{found.rho:+.2f}\np {probability(found.p_value).replace(' ', '')}"
