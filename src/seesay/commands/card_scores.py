"""What a feature's card tells of scores."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from seesay.commands.output import one_line
from seesay.scorers.config import SCORES, Score

if TYPE_CHECKING:
    from seesay.cards import Card
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
    if any(scoring.is_shared for of_setting in shown.values() for scoring, _ in of_setting.values()):
        parts.append(Text(f"* {_SHARED}", style="dim italic"))
    parts += _of_itself(card)
    return Group(*parts, Text()) if parts else Group()


def _of_words(card: "Card", shown: "Mapping[int, Mapping[Score, tuple[StoredScoring, list[Measured]]]]") -> Table:
    names = _names(card)
    table = Table(header_style="dim", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("method", overflow="fold")
    for name in names:
        table.add_column(SCORES[name].value.replace("_", " "), justify="right", overflow="fold")
    titles = {setting.setting_id: setting.title for setting, _ in card.said}
    for setting_id, found in shown.items():
        cells = [_number(*found[name]) if name in found else Text() for name in names]
        table.add_row(Text(one_line(titles[setting_id])), *cells)
    chances = [SCORES[name].chance for name in names]
    if any(chances):
        cells = ["" if chance is None else f"{chance:g}" for chance in chances]
        table.add_row("words that say nothing", *cells, style="dim")
    return table


def _names(card: "Card") -> list[Score]:
    measured = {scoring.score for scoring, _ in card.scores if scoring.setting_id is not None}
    return [name for name in SCORES if measured & {name}]


def _number(scoring: "StoredScoring", samples: "Sequence[Measured]") -> Text:
    values = [each.value for each in samples if each.value is not None]
    mark = "*" if scoring.is_shared else ""
    style = "dim" if any(each.reason for each in samples) else ""
    return Text(f"{sum(values) / len(values):.2f}{mark}" if values else "-", style=style)


def _of_itself(card: "Card") -> list[Text | Table]:
    told: list[str] = []
    for scoring, score in card.scores:
        measured = score.measured
        if scoring.setting_id is None and measured.value is not None:
            numbers = {SCORES[scoring.score].value: measured.value, **measured.others}
            told += [f"{one_line(name)} {number:.2f}" for name, number in numbers.items()]
    return [Text.assemble(("The feature itself: ", "bold"), ", ".join(told))] if told else []
