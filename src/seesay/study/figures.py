"""A study's report as a page: how far our way lies from each other one, drawn, and all tables below."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay.plots import write_plots
from seesay.report.sections import as_html
from seesay.reproduction.figures import whiskers
from seesay.study.protocol import JUDGED_BY, OURS, RIVALS
from seesay.study.reading import ALL

if TYPE_CHECKING:
    from seesay.study.report import Report

# Okabe and Ito, "Color universal design", 2008: told apart by all kinds of sight.
_COLOURS = ("#56B4E9", "#0072B2", "#000000")
_SYMBOLS = ("circle", "square", "triangle-up")
_GREY = "#8a8a8a"
_PANEL_PX, _APART = 420, 0.16


def write_page(path: Path, title: str, report: "Report") -> None:
    """Write the page.

    Args:
        path: the file to write.
        title: of the page.
        report: what is told.

    Raises:
        UnusablePath: it cannot be written.
    """
    lead = (
        f"How much more {OURS} gets than each other method, on the same test features of all blocks: dots are mean"
        " differences, whiskers 95 % intervals by bootstrap, in which near-duplicate features count as one. To the"
        f" right of the line {OURS} is better."
    )
    write_plots(path, title, figure_of(report), lead=lead, below=as_html(report.sections()))


def figure_of(report: "Report") -> Any:
    """The differences from every other method, by score and explainer, as one of plotly's figures.

    Args:
        report: what is told.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure: Any = make_subplots(rows=len(JUDGED_BY), cols=1, subplot_titles=JUDGED_BY, vertical_spacing=_APART)
    sizes = [each.size for each in report.study.explainers]
    for row, score in enumerate(JUDGED_BY, start=1):
        for place, (size, colour, symbol) in enumerate(zip(sizes, _COLOURS, _SYMBOLS, strict=False)):
            found = [
                each
                for each in report.leads
                if (each.score, each.size, each.block, each.group) == (score, size, ALL, "test")
            ]
            differences = [each.found.difference for each in found]
            figure.add_trace(
                go.Scatter(
                    x=[each.mean for each in differences],
                    # side by side, so that none hides another
                    y=[RIVALS.index(each.rival) + 0.2 * (place - (len(sizes) - 1) / 2) for each in found],
                    error_x=whiskers(differences),
                    mode="markers",
                    name=f"explainer {size}",
                    showlegend=row == 1,
                    marker={"color": colour, "symbol": symbol, "size": 9},
                ),
                row=row,
                col=1,
            )
        figure.add_vline(x=0, line_color=_GREY, row=row, col=1)
        figure.update_yaxes(
            tickvals=list(range(len(RIVALS))),
            ticktext=[f"minus {rival}" for rival in RIVALS],
            range=[len(RIVALS) - 0.5, -0.5],
            automargin=True,
            row=row,
            col=1,
        )
    figure.update_xaxes(title=f"what {OURS} gets more", row=len(JUDGED_BY), col=1)
    figure.update_layout(
        height=_PANEL_PX * len(JUDGED_BY),
        template="plotly_white",
        margin={"t": 60, "l": 10, "r": 10},
        legend={"orientation": "h", "yanchor": "top", "y": -0.12},
    )
    return figure
