"""A result as sections of words and tables, written once, for the terminal and for pages alike."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal, final

from seesay.texts import one_line

Tone = Literal["plain", "faint", "strong", "warning"]


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


_MARKUP = re.compile(r"[\\`*_\[\]|#~]")

PLAIN_LINES = 2
"""Lines of a cell that are no remark: a number, and its interval."""


def as_html(sections: Iterable[Section]) -> str:
    """The same for a page, all text escaped; `class` says what is faint, strong or a warning.

    Args:
        sections: in their order.
    """
    return "".join(map(_section, sections))


def as_markdown(sections: Iterable[Section]) -> str:
    """The same as Markdown, in which nothing that anyone wrote is markup.

    Args:
        sections: in their order.
    """
    return "\n".join(line for section in sections for line in _lines(section))


def _lines(section: Section) -> Iterator[str]:
    if section.title:
        yield f"## {_plain(section.title)}\n"
    # in its heading's line it begins with what parts the two
    for each in (Sentence(section.subtitle.lstrip(" ,.:")), *section.sentences):
        if each.text:
            yield f"{_plain(each.text)}\n"
    for table in (each for each in section.tables if each.rows):
        yield _markdown_row([column.name for column in table.columns])
        yield f"|{'|'.join(' --- ' if column.is_words else ' ---: ' for column in table.columns)}|"
        for row in table.rows:
            mark = "**" if row.tone == "strong" else ""
            yield _markdown_row(row.cells, mark)
        yield ""
    for each in section.remarks:
        yield f"{_plain(each.text)}\n"


def _markdown_row(cells: Sequence[str], mark: str = "") -> str:
    told = (f"{mark}{_plain(cell)}{mark}" if cell else "" for cell in cells)
    return f"| {' | '.join(told)} |"


def _plain(text: str) -> str:
    """One line in which Markdown and HTML find nothing to act on."""
    return _MARKUP.sub(r"\\\g<0>", escape(one_line(text), quote=False))


def _section(section: Section) -> str:
    heading = f"<h3>{_escaped(section.title)}<small>{_escaped(section.subtitle)}</small></h3>" if section.title else ""
    sentences, remarks = ("".join(map(_sentence, each)) for each in (section.sentences, section.remarks))
    tables = "".join(_table(table, section.title) for table in section.tables if table.rows)
    return f"<section>{heading}{sentences}{tables}{remarks}</section>"


def _sentence(sentence: Sentence) -> str:
    return f"<p class='{sentence.tone}'>{_escaped(sentence.text)}</p>"


def _table(table: Table, title: str) -> str:
    kinds = [_classes(column) for column in table.columns]
    head = "".join(
        f"<th scope='col' class='{kind}'>{_escaped(column.name)}</th>"
        for kind, column in zip(kinds, table.columns, strict=True)
    )
    body = "".join(
        f"<tr class='{row.tone}'>{''.join(map(_html_cell, kinds, table.columns, row.cells))}</tr>" for row in table.rows
    )
    # what scrolls must be reached by keys, and have a name
    place = f"class='wide' tabindex='0' role='region' aria-label='{_escaped(title or 'Table')}'"
    return f"<div {place}><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _html_cell(kind: str, column: Column, text: str) -> str:
    lines = [_escaped(line) for line in text.split("\n")]
    lines[PLAIN_LINES:] = [f"<span class='faint'>{line}</span>" for line in lines[PLAIN_LINES:]]
    tag = "th scope='row'" if column.is_words and text else "td"  # a header without a name would be one of nothing
    return f"<{tag} class='{kind}'>{'<br>'.join(lines)}</{tag.split()[0]}>"


def _classes(column: Column) -> str:
    given = {"words": column.is_words, "faint": column.is_faint, "whole": column.is_whole}
    return " ".join(name for name, is_given in given.items() if is_given)


def _escaped(text: str) -> str:
    return escape(one_line(text))
