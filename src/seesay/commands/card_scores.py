"""What a feature's card tells of scores."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from seesay.commands.card import Card
from seesay.commands.output import one_line
from seesay.scorers.config import SCORES, Score

if TYPE_CHECKING:
    from seesay.scorers.scorer import Measured
    from seesay.store.scores import StoredScoring

    _Shown = dict[Score, tuple[StoredScoring, list[Measured]]]

_SHARED = "on images that the explainer was shown, the paper's habit"


def scores(card: Card) -> Group:
    """What explanations are worth, method by method, and the scores of the feature itself.

    Args:
        card: of the feature.
    """
    shown = {setting_id: _shown(card, setting_id) for setting_id in _settings(card)}
    parts: list[Text | Table] = [Text("What words are worth", style="bold"), _of_words(card, shown)] if shown else []
    if any(_is_shared(scoring) for of_setting in shown.values() for scoring, _ in of_setting.values()):
        parts.append(Text(f"* {_SHARED}", style="dim italic"))
    parts += _of_itself(card)
    return Group(*parts, Text()) if parts else Group()


def _shown(card: Card, setting_id: int) -> "_Shown":
    """Of several ways to compute a score the last that was begun, all samples; on held-out images if there is one."""
    found: "_Shown" = {}
    for scoring, each in sorted(card.scores, key=lambda each: not _is_shared(each[0])):
        if scoring.setting_id == setting_id and scoring.aid is None:
            before = found.get(scoring.score)
            samples = before[1] if before and before[0] == scoring else []
            found[scoring.score] = (scoring, [*samples, each.measured])
    return found


def _of_words(card: Card, shown: "Mapping[int, _Shown]") -> Table:
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


def _is_shared(scoring: "StoredScoring") -> bool:
    return scoring.facts.get("holding") == "shared"


def _settings(card: Card) -> list[int]:
    """Whose words are scored, in the order in which they are told."""
    scored = {scoring.setting_id for scoring, _ in card.scores if scoring.aid is None}
    return [setting.setting_id for setting, *_ in card.told if setting.setting_id in scored]


def _names(card: Card) -> list[Score]:
    measured = {scoring.score for scoring, _ in card.scores if scoring.setting_id is not None}
    return [name for name in SCORES if measured & {name}]


def _number(scoring: "StoredScoring", samples: "Sequence[Measured]") -> Text:
    values = [each.value for each in samples if each.value is not None]
    mark = "*" if _is_shared(scoring) else ""
    style = "dim" if any(each.reason for each in samples) else ""
    return Text(f"{sum(values) / len(values):.2f}{mark}" if values else "-", style=style)


def _of_itself(card: Card) -> list[Text | Table]:
    told: list[str] = []
    for scoring, score in card.scores:
        measured = score.measured
        if scoring.setting_id is None and measured.value is not None:
            numbers = {SCORES[scoring.score].value: measured.value, **measured.others}
            told += [f"{one_line(name)} {number:.2f}" for name, number in numbers.items()]
    return [Text.assemble(("The feature itself: ", "bold"), ", ".join(told))] if told else []
