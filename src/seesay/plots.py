"""Plots as one self-contained page, which needs no network and no server."""

from html import escape
from pathlib import Path
from typing import Any

from seesay.files import write_text

_LOOK = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 90rem; margin: 1rem auto; padding: 0 1rem }
h3 { margin: 2rem 0 .25rem } h3 small { font-weight: normal; color: #5c5c5c } p { margin: .25rem 0; max-width: 60rem }
.wide { overflow-x: auto } table { border-collapse: collapse; margin: .5rem 0 } th.words { text-align: left }
th, td { padding: .2rem .6rem; text-align: right; vertical-align: top; font-weight: normal }
thead th { border-bottom: 1px solid #8a8a8a; font-weight: 600 } tbody tr:hover { background: #f2f2f2 }
.faint, tr.faint * { color: #5c5c5c } .strong * { font-weight: 600 } .warning { color: #8a4b00 }
.whole { white-space: nowrap } td { font-variant-numeric: tabular-nums }
"""


def write_plots(path: Path, title: str, figure: Any, *, lead: str = "", below: str = "") -> None:
    """Write a page.

    Args:
        path: the file to write.
        title: of the page, in words.
        figure: of plotly.
        lead: what is to be said before the plots, in words.
        below: what follows them, as HTML in which all is escaped.

    Raises:
        UnusablePath: it cannot be written.
    """
    heading = escape(title)
    plots = figure.to_html(include_plotlyjs=True, full_html=False)
    page = (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{heading}</title><style>{_LOOK}</style></head>"
        f"<body><h2>{heading}</h2><p>{escape(lead)}</p>{plots}{below}</body></html>"
    )
    write_text(path, [page])
