"""A result as sections of words and tables, written once, for the terminal and for pages alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal, final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from seesay.commands.output import one_line

Tone = Literal["plain", "faint", "strong", "warning"]

_STYLES: dict[Tone, str] = {"plain": "", "faint": "dim", "strong": "bold", "warning": "yellow"}


@final
@dataclass(frozen=True)
class Sentence:
    """A line of words.

    Args:
        text: from anyone.
        tone: how it is said.
    """

    text: str
    tone: Tone = "plain"


@final
@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: its head.
        is_words: it holds words, not numbers.
        is_faint: it holds what others are compared with.
        is_whole: its cells are never broken.
    """

    name: str
    is_words: bool = False
    is_faint: bool = False
    is_whole: bool = False


@final
@dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        cells: one for each column; a cell may have several lines, of which those after the second are faint.
        tone: of all of them.
    """

    cells: tuple[str, ...]
    tone: Tone = "plain"


@final
@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        columns: the words first.
        rows: from top to bottom.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@final
@dataclass(frozen=True)
class Section:
    """A heading with what stands under it.

    Args:
        title: of it; empty for what stands before the first heading.
        subtitle: what follows the title in its line.
        sentences: before the tables.
        tables: those that have rows are shown.
        remarks: after them.
    """

    title: str
    subtitle: str = ""
    sentences: Sequence[Sentence] = ()
    tables: Sequence[Table] = ()
    remarks: Sequence[Sentence] = field(default=())


def print_sections(console: Console, sections: Iterable[Section]) -> None:
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


def _printable(table: Table) -> RichTable:
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


_PLAIN_LINES = 2
"""Lines of a cell that are no remark: a number, and its interval."""


def _cell(text: str) -> Text:
    lines = [one_line(line) for line in text.split("\n")]
    found = Text("\n".join(lines[:_PLAIN_LINES]))
    for line in lines[_PLAIN_LINES:]:
        found.append(f"\n{line}", style="dim")
    return found


def as_html(sections: Iterable[Section]) -> str:
    """The same for a page, all text escaped; `class` says what is faint, strong or a warning.

    Args:
        sections: in their order.
    """
    return "".join(map(_section, sections))


def _section(section: Section) -> str:
    heading = f"<h3>{_escaped(section.title)}<small>{_escaped(section.subtitle)}</small></h3>" if section.title else ""
    sentences, remarks = ("".join(map(_sentence, each)) for each in (section.sentences, section.remarks))
    tables = "".join(_table(table) for table in section.tables if table.rows)
    return f"<section>{heading}{sentences}{tables}{remarks}</section>"


def _sentence(sentence: Sentence) -> str:
    return f"<p class='{sentence.tone}'>{_escaped(sentence.text)}</p>"


def _table(table: Table) -> str:
    kinds = [_classes(column) for column in table.columns]
    head = "".join(
        f"<th scope='col' class='{kind}'>{_escaped(column.name)}</th>"
        for kind, column in zip(kinds, table.columns, strict=True)
    )
    body = "".join(
        f"<tr class='{row.tone}'>{''.join(map(_html_cell, kinds, table.columns, row.cells))}</tr>" for row in table.rows
    )
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _html_cell(kind: str, column: Column, text: str) -> str:
    lines = [_escaped(line) for line in text.split("\n")]
    lines[_PLAIN_LINES:] = [f"<span class='faint'>{line}</span>" for line in lines[_PLAIN_LINES:]]
    tag = "th scope='row'" if column.is_words else "td"
    return f"<{tag} class='{kind}'>{'<br>'.join(lines)}</{tag.split()[0]}>"


def _classes(column: Column) -> str:
    given = {"words": column.is_words, "faint": column.is_faint, "whole": column.is_whole}
    return " ".join(name for name, is_given in given.items() if is_given)


def _escaped(text: str) -> str:
    return escape(one_line(text))
