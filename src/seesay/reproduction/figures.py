"""The report as a page: what is claimed, drawn, and all tables below."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay.plots import write_plots
from seesay.report.sections import as_html
from seesay.reproduction.claims import ALL, Figure
from seesay.reproduction.protocol import called

if TYPE_CHECKING:
    from seesay.reproduction.report import Report
    from seesay.statistics import Estimate

# Okabe and Ito, "Color universal design", 2008: told apart by all kinds of sight.
_COLOURS = {"steering": "#0072B2", "topk": "#D55E00", "hybrid": "#009E73"}
_SYMBOLS = {"steering": "circle", "topk": "square", "hybrid": "triangle-up"}
_GREY = "#8a8a8a"
_ROW_PX, _ROOM_PX, _GAP_PX = 34, 60, 110


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
        "Dots are means over test features, or mean differences, whiskers 95 % intervals by bootstrap, in which"
        " near-duplicate features count as one. Verdicts and rules stand below."
    )
    write_plots(path, title, figure_of(report), lead=lead, below=as_html(report.sections()))


def figure_of(report: "Report") -> Any:
    """All claims as one of plotly's figures: methods by explainer, and the differences that claims are about.

    Args:
        report: what is told.
    """
    from plotly.subplots import make_subplots

    first, _, third = report.claims
    by_level = [each for each in first.figures if each.explainer == ALL and each.level and _can_be_drawn(each)]
    best = [each for each in third.figures if each.explainer == ALL and _can_be_drawn(each)]
    heights = [320.0, *(_ROOM_PX + _ROW_PX * len(rows) for rows in (by_level, best))]
    primary = report.measured[0]
    titles = (
        f"{primary.numbers.score}, {len(primary.numbers.blocks)} features",
        "Claim 1: steering less Top-k",
        "Claim 3: the hybrid less the others",
    )
    figure: Any = make_subplots(
        rows=3,
        cols=1,
        subplot_titles=titles,
        row_heights=heights,
        vertical_spacing=_GAP_PX / (sum(heights) + 2 * _GAP_PX),
    )
    _by_explainer(figure, report)
    for row, found in enumerate((by_level, best), start=2):
        _differences(figure, found, row)
    figure.update_layout(
        height=sum(heights) + 2 * _GAP_PX + 120,
        template="plotly_white",
        margin={"t": 60, "l": 10, "r": 10},
        # below all, as beside the plots it would leave them no room on a telephone
        legend={"orientation": "h", "yanchor": "top", "y": -60 / sum(heights)},
    )
    return figure


def _can_be_drawn(figure: "Figure") -> bool:
    """Whether there are enough features for an interval."""
    return figure.difference is not None and figure.difference.low < figure.difference.high


def _by_explainer(figure: Any, report: "Report") -> None:
    import plotly.graph_objects as go

    for method, colour in _COLOURS.items():
        own = [each for each in report.measured[0].standings if each.way[0] == method]
        names = [called(size, seed) for _, size, seed in (each.way for each in own)]
        figure.add_trace(
            go.Scatter(
                x=names,
                y=[each.mean.mean for each in own],
                error_y=whiskers([each.mean for each in own]),
                mode="lines+markers",
                name=method,
                line={"color": colour},
                marker={"symbol": _SYMBOLS[method], "size": 9},
            ),
            row=1,
            col=1,
        )
        beside = [each.aids["random"].mean for each in own if "random" in each.aids]
        if len(beside) == len(own):
            figure.add_trace(
                go.Scatter(
                    x=names,
                    y=beside,
                    mode="markers",
                    name=f"{method}, random direction",
                    marker={"symbol": "x", "color": _GREY},
                ),
                row=1,
                col=1,
            )
    figure.update_yaxes(title=report.measured[0].numbers.score, rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title="explainer", row=1, col=1)


def _differences(figure: Any, found: "list[Figure]", row: int) -> None:
    import plotly.graph_objects as go

    labels = [f"{each.what}<br>{each.score}, {'all blocks' if each.block == ALL else each.block}" for each in found]
    for decides, colour in ((True, "#000000"), (False, _GREY)):
        heights = [height for height, each in enumerate(found) if each.decides == decides]
        estimates = [each for height in heights if (each := found[height].difference) is not None]
        figure.add_trace(
            go.Scatter(
                x=[each.mean for each in estimates],
                y=heights,
                error_x=whiskers(estimates),
                mode="markers",
                marker={"color": colour, "size": 9},
                showlegend=False,
            ),
            row=row,
            col=1,
        )
    figure.add_vline(x=0, line_color=_GREY, row=row, col=1)
    places = list(range(len(labels)))
    figure.update_yaxes(
        tickvals=places, ticktext=labels, range=[len(labels) - 0.4, -0.6], automargin=True, row=row, col=1
    )
    figure.update_xaxes(title="difference (black: what decides)", row=row, col=1)


def whiskers(found: "Sequence[Estimate]") -> dict[str, Any]:
    """Intervals as plotly draws them about means.

    Args:
        found: the means.
    """
    return {
        "array": [each.high - each.mean for each in found],
        "arrayminus": [each.mean - each.low for each in found],
    }
