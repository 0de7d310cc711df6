"""Plots as one self-contained page, which needs no network and no server."""

from html import escape
from pathlib import Path
from typing import Any

from seesay.files import unwritable


def write_plots(path: Path, title: str, figure: Any, *, lead: str = "") -> None:
    """Write a page.

    Args:
        path: the file to write.
        title: of the page, in words.
        figure: of plotly.
        lead: what is to be said before the plots, in words.

    Raises:
        UnusablePath: it cannot be written.
    """
    heading = escape(title)
    plots = figure.to_html(include_plotlyjs=True, full_html=False)
    page = (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{heading}</title></head>"
        f"<body style='font-family: sans-serif'><h2>{heading}</h2><p>{escape(lead)}</p>{plots}</body></html>"
    )
    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
