"""What a feature's card tells of scores."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.cards import Card
    from seesay.scorers.config import Score
    from seesay.scorers.scorer import Measured
    from seesay.store.scores import StoredScoring


_SHARED = "on images that the explainer was shown, the paper's habit"


def scores(card: "Card") -> Group:
    """What explanations are worth, method by method, and the scores of the feature itself.

    Args:
        card: of the feature.
    """
    shown = {setting_id: card.numbers(setting_id) for setting_id in card.scored}
    parts: list[Text | Table] = [Text("What words are worth", style="bold"), _of_words(card, shown)] if shown else []
    of_words = (scoring.is_shared for of_setting in shown.values() for scoring, _ in of_setting.values())
    if any(of_words) or any(is_shared for _, is_shared in card.itself.values()):
        parts.append(Text(f"* {_SHARED}", style="dim italic"))
    if card.itself:
        told = (f"{one_line(name)} {value:.2f}{_mark(is_shared)}" for name, (value, is_shared) in card.itself.items())
        parts.append(Text.assemble(("The feature itself: ", "bold"), ", ".join(told)))
    return Group(*parts, Text()) if parts else Group()


def _of_words(card: "Card", shown: "Mapping[int, Mapping[Score, tuple[StoredScoring, list[Measured]]]]") -> Table:
    scored = {score for found in shown.values() for score in found}
    measures = {name: measure for name, measure in card.measures.items() if name in scored}
    table = Table(header_style="dim", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("method", overflow="fold")
    for measure in measures.values():
        table.add_column(measure.value.replace("_", " "), justify="right", overflow="fold")
    titles = {setting.setting_id: setting.title for setting, _ in card.said}
    for setting_id, found in shown.items():
        cells = [_number(*found[name]) if name in found else Text() for name in measures]
        table.add_row(Text(one_line(titles[setting_id])), *cells)
    chances = [measure.chance for measure in measures.values()]
    if any(chances):
        cells = ["" if chance is None else f"{chance:g}" for chance in chances]
        table.add_row("words that say nothing", *cells, style="dim")
    return table


def _mark(is_shared: bool) -> str:
    return "*" if is_shared else ""


def _number(scoring: "StoredScoring", samples: "Sequence[Measured]") -> Text:
    values = [each.value for each in samples if each.value is not None]
    mark = _mark(scoring.is_shared)
    style = "dim" if any(each.reason for each in samples) else ""
    return Text(f"{sum(values) / len(values):.2f}{mark}" if values else "-", style=style)
