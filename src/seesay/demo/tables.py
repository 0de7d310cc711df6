"""The demo's tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from seesay.demo.scoring import Outcome
from seesay.records import Ablation, Control, Method
from seesay.world.grammar import phrase

_PLACES = "random: a direction, and images, drawn at random; permuted: another feature's"


def feature_table(shown: Sequence[Outcome], methods: Sequence[str]) -> Table:
    """Features with a known concept: what is said, what is true, and whether they agree.

    Args:
        shown: features with a concept.
        methods: a column each.
    """
    table = Table(title="What the model says of its own features", title_justify="left", header_style="bold")
    table.add_column("feature", justify="right")
    for method in methods:
        table.add_column(method, overflow="fold")
    table.add_column("stands for", overflow="fold")
    for outcome in shown:
        words = [
            Text(f"+ {outcome.explanations[method].text}", style="green")
            if outcome.hits[method]
            else Text(f"- {outcome.explanations[method].text}", style="red")
            for method in methods
        ]
        table.add_row(str(outcome.feature_id), *words, Text(phrase(outcome.concepts[0])))
    return table


def title_of(method: Method, control: Control | Ablation | None) -> str:
    """What a method is called with what took the feature's place, as in the tables of comparisons.

    Args:
        method: which.
        control: what took the place of the feature, or of a part of what it brings.
    """
    return ", ".join(filter(None, [method, "nothing pushed" if control == "none" else control]))


def summary_table(summary: Mapping[str, Any], titles: Mapping[str, str]) -> Table:
    """Each method's, control's and ablation's share of hits, with its interval.

    Args:
        summary: of the demo.
        titles: what each of them is called.
    """
    n = summary["n_features_with_concept"]
    title = f"Named rightly, of {n} features that a word of the world fits (oracle: the scenes' own records)"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("method")
    table.add_column("right", justify="right")
    table.add_column("of", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("said anywhere", justify="right")
    for part in ("methods", "ablations"):
        for name, figures in summary[part].items():
            _add(table, titles[name], figures)
        table.add_section()
    told = [_PLACES]
    constant = summary["constant"]
    if constant["concept"] is not None:
        table.add_row(f"always {constant['concept']} *", f"{constant['ground_truth']:.1%}", str(n), "", "")
        told.append("* one answer for all, chosen after the fact: it tells no feature from another")
    table.caption, table.caption_justify = "\n".join(told), "left"
    return table


def _add(table: Table, name: str, figures: Mapping[str, Any]) -> None:
    if figures["n"] == 0:
        table.add_row(name, "-", "0", "-", "-")
        return
    low, high = figures["interval"]
    table.add_row(
        name,
        f"{figures['ground_truth']:.1%}",
        str(figures["n"]),
        f"{low:.1%} to {high:.1%}",
        f"{figures['names_any']:.1%}",
    )
