"""Sections of words and tables, printed."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.report.sections import Section, Table, Tone

_STYLES: "dict[Tone, str]" = {"plain": "", "faint": "dim", "strong": "bold", "warning": "yellow"}


def print_sections(console: Console, sections: "Iterable[Section]") -> None:
    """Print all of it.

    Args:
        console: where to.
        sections: in their order.
    """
    for section in sections:
        if section.title:
            heading = Text(f"\n{one_line(section.title)}", style="bold")
            console.print(heading.append(one_line(section.subtitle), style="not bold dim"))
        for each in section.sentences:
            console.print(Text(one_line(each.text), style=_STYLES[each.tone]))
        for table in section.tables:
            if table.rows:
                console.print(_printable(table))
        for each in section.remarks:
            console.print(Text(one_line(each.text), style=_STYLES[each.tone]))


def _printable(table: "Table") -> RichTable:
    found = RichTable(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in table.columns:
        found.add_column(
            Text(one_line(column.name)),
            justify="left" if column.is_words else "right",
            style="dim" if column.is_faint else "",
            no_wrap=column.is_whole,
            overflow="fold",
        )
    for row in table.rows:
        found.add_row(*map(_cell, row.cells), style=_STYLES[row.tone])
    return found


def _cell(text: str) -> Text:
    from seesay.report.sections import PLAIN_LINES

    lines = [one_line(line) for line in text.split("\n")]
    found = Text("\n".join(lines[:PLAIN_LINES]))
    for line in lines[PLAIN_LINES:]:
        found.append(f"\n{line}", style="dim")
    return found
