"""A result as words and tables, for the terminal and for pages."""

from io import StringIO

from rich.console import Console

from seesay.commands.printing import print_sections
from seesay.report.sections import Column, Row, Section, Sentence, Table, as_html

HOSTILE = "[red]a[/red] <b>b</b>\x1b[31m & 'c'"
TABLE = Table(
    (Column("what", is_words=True), Column("mean"), Column("beside", is_faint=True)),
    (Row(("first", "0.5\n.4 .6\n(.1)", "-"), "strong"), Row((HOSTILE, "0.7", "0.1"))),
)
EMPTY = Table((Column("nothing of this is shown"),), ())
SECTIONS = (
    Section("", sentences=(Sentence("Before all."),)),
    Section("Title", ", more", (Sentence(HOSTILE, "warning"),), (TABLE, EMPTY), (Sentence("After.", "faint"),)),
)


def printed() -> str:
    file = StringIO()
    print_sections(Console(file=file, width=100, force_terminal=False), SECTIONS)
    return file.getvalue()


def test_the_terminal_shows_all_in_order_and_no_empty_table() -> None:
    out = printed()
    places = [out.index(each) for each in ("Before all.", "Title, more", "what", "first", ".4 .6", "(.1)", "After.")]
    assert places == sorted(places)
    assert "nothing of this" not in out + as_html(SECTIONS)


def test_words_are_no_markup_wherever_they_stand() -> None:
    assert "[red]a[/red] <b>b</b>[31m & 'c'" in printed()
    page = as_html(SECTIONS)
    assert "<b>" not in page
    assert page.count("[red]a[/red] &lt;b&gt;b&lt;/b&gt;[31m &amp; &#x27;c&#x27;") == 2
    assert "\x1b" not in page + printed()


def test_a_page_says_what_is_faint_strong_or_a_warning() -> None:
    page = as_html(SECTIONS)
    assert "<h3>Title<small>, more</small></h3>" in page
    assert "<p class='warning'>" in page
    assert "<tr class='strong'><th scope='row' class='words'>first</th>" in page
    assert "<td class=''>0.5<br>.4 .6<br><span class='faint'>(.1)</span></td><td class='faint'>-</td>" in page
