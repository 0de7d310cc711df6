"""A comparison as one self-contained page: its figures, and its tables below them."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay.plots import write_plots
from seesay.report.comparison_sections import SHARED, UNINFORMATIVE, Told
from seesay.report.sections import as_html
from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.comparison.contender import AidName
    from seesay.comparison.reading import Contest
    from seesay.comparison.results import Comparison, Curve, Row, Standing

# Okabe and Ito, "Color universal design", 2008: told apart by all kinds of sight.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SYMBOLS = ("circle", "square", "triangle-up", "pentagon", "star", "hexagon", "cross")
_GREY = "#8a8a8a"
_AIDS: "dict[AidName, str]" = {"random": "x", "permuted": "diamond-open", "constant": "square-open"}
_UNITS = {
    "mean_activation": "activation of the feature",
    "mad": "deviations of controls",
    "coefficient": "units of the residual stream",
    "named": "concepts",
}
_ROW_PX, _ROOM_PX, _CURVE_PX = 46, 190, 320
"""Heights: of a contender, of a row of figures around it, and of a curve."""


def write_page(path: Path, told: Told, title: str) -> None:
    """Write the page: for each number the intervals, and feature by feature the differences; curves over strength.

    Args:
        path: the file to write.
        told: the comparison.
        title: of the page.

    Raises:
        UnusablePath: it cannot be written.
    """
    contest, comparison = told.contest, told.comparison
    part = "" if contest.part == "all" else f"{contest.part} "
    lead = [
        f"Dots are means over the {part}features that all methods have, whiskers 95 % intervals by bootstrap, in which "
        "near-duplicate features count as one. Grey: the same score of the words of a random direction, of another "
        "feature's words (permuted), of the same words for all (constant). Dotted: what words that say nothing get.",
        *(f"{each.title}: {SHARED}" for each in comparison.standings if each.is_shared),
        *(f"{each.title}: {UNINFORMATIVE}" for each in comparison.standings if each.is_informative is False),
    ]
    figure, tables = figure_of(contest, comparison), as_html(told.sections())
    write_plots(path, one_line(title), figure, lead=one_line(" ".join(lead)), below=tables)


def figure_of(contest: "Contest", comparison: "Comparison") -> Any:
    """All figures as one of plotly's.

    Args:
        contest: who was compared.
        comparison: what came of it.
    """
    from plotly.subplots import make_subplots

    part = "" if contest.part == "all" else f"{contest.part} "
    curved = [each for each in comparison.standings if each.curves]
    titles: list[str] = []
    for each in comparison.standings:
        titles.append(f"{each.title}, {len(each.keys)} {part}features")
        titles.append(f"{_best(each).contender} minus each other method, by feature" if each.pairs else "")
    titles += [f"{each.title} against strength, {len(each.keys)} {part}features" for each in curved]
    heights = [_ROOM_PX + _ROW_PX * len(each.rows) for each in comparison.standings] + [_CURVE_PX] * len(curved)
    figure: Any = make_subplots(
        rows=len(heights),
        cols=2,
        specs=[[{}, {} if each.pairs else None] for each in comparison.standings]
        + [[{"colspan": 2}, None]] * len(curved),
        subplot_titles=[_text(title) for title in titles if title],
        row_heights=heights,
        vertical_spacing=min(90 / sum(heights), 0.9 / max(len(heights) - 1, 1)),
        horizontal_spacing=0.14,
    )
    drawn = _Drawn(figure, contest)
    for row, standing in enumerate(comparison.standings, start=1):
        drawn.intervals(standing, row)
        if standing.pairs:
            drawn.differences(standing, row)
    for row, standing in enumerate(curved, start=len(comparison.standings) + 1):
        drawn.curves(standing, row)
    figure.update_layout(
        height=sum(heights) + 120, template="plotly_white", margin={"t": 60}, legend={"groupclick": "togglegroup"}
    )
    return figure


class _Drawn:
    """Draws into one figure, each contender in its own colour, and in the legend once."""

    def __init__(self, figure: Any, contest: "Contest") -> None:
        self._figure = figure
        self._places = {contender.name: place for place, contender in enumerate(contest.contenders)}
        self._in_legend: set[str] = set()

    def intervals(self, standing: "Standing", row: int) -> None:
        """A dot with whiskers for each contender, and grey ones for what stands beside it."""
        names = [each.contender for each in standing.rows]
        for place, each in enumerate(standing.rows):
            self._dot(each.contender, each.estimate, place, self._look(each.contender), 9, row)
            for number, (aid, symbol) in enumerate(_AIDS.items(), start=1):
                if aid in each.aids:
                    height = place + 0.18 * number
                    self._dot(aid, each.aids[aid], height, {"color": _GREY, "symbol": symbol}, 7, row)
        if standing.chance is not None:
            self._figure.add_vline(x=standing.chance, line_dash="dot", line_color=_GREY, row=row, col=1)
        self._figure.update_yaxes(
            tickvals=list(range(len(names))),
            ticktext=["<br>".join(map(_text, name.split(", "))) for name in names],
            range=[len(names) - 0.2, -0.4],
            automargin=True,
            row=row,
            col=1,
        )
        self._figure.update_xaxes(title=f"mean of {_axis(standing)}, with 95 % interval", row=row, col=1)

    def differences(self, standing: "Standing", row: int) -> None:
        """The best contender minus each other one, for each feature, sorted."""
        best = _best(standing)
        for each in standing.rows:
            if each.contender == best.contender:
                continue
            found = best.values - each.values
            order = (-found).argsort(kind="stable").tolist()
            self._line(
                each.contender,
                x=[100 * (place + 0.5) / len(order) for place in range(len(order))],
                y=found[order].tolist(),
                customdata=[standing.keys[place].feature_id for place in order],
                hovertemplate="feature %{customdata}: %{y:.3f}<extra></extra>",
                row=row,
                col=2,
            )
        self._figure.add_hline(y=0, line_color=_GREY, row=row, col=2)
        share = "share of features, the largest difference first, %"
        self._figure.update_xaxes(title=share, range=[0, 100], row=row, col=2)
        self._figure.update_yaxes(title=f"difference in {_axis(standing)}", automargin=True, row=row, col=2)

    def curves(self, standing: "Standing", row: int) -> None:
        """Score against strength."""
        for curve in standing.curves:
            self._curve(standing, curve, row)
        units = " or ".join(dict.fromkeys(curve.unit.replace("_", " ") for curve in standing.curves))
        is_positive = all(point.strength > 0 for curve in standing.curves for point in curve.points)
        kind = "log" if is_positive else "linear"
        strengths = sorted({point.strength for curve in standing.curves for point in curve.points})
        ticks = {"tickvals": strengths, "ticktext": [f"{strength:g}" for strength in strengths]}
        self._figure.update_xaxes(title=f"strength, in {units}", type=kind, **ticks, row=row, col=1)
        self._figure.update_yaxes(title=_axis(standing), automargin=True, row=row, col=1)

    def _curve(self, standing: "Standing", curve: "Curve", row: int) -> None:
        import plotly.graph_objects as go

        number = standing.curves.index(curve)
        self._figure.add_trace(
            go.Scatter(
                x=[point.strength for point in curve.points],
                y=[point.estimate.mean for point in curve.points],
                error_y={
                    "array": [point.estimate.high - point.estimate.mean for point in curve.points],
                    "arrayminus": [point.estimate.mean - point.estimate.low for point in curve.points],
                },
                mode="lines+markers",
                name=_text(f"{curve.name}, by strength"),
                line={"color": _COLOURS[number % len(_COLOURS)]},
                marker={"symbol": _SYMBOLS[number % len(_SYMBOLS)]},
                **self._legend(f"{curve.name}, by strength"),
            ),
            row=row,
            col=1,
        )

    def _dot(self, name: str, found: Any, height: float, look: dict[str, Any], size: int, row: int) -> None:
        import plotly.graph_objects as go

        self._figure.add_trace(
            go.Scatter(
                x=[found.mean],
                y=[height],
                error_x={
                    "array": [found.high - found.mean],
                    "arrayminus": [found.mean - found.low],
                    "color": look["color"],
                },
                mode="markers",
                marker={**look, "size": size},
                name=_text(name),
                hovertemplate=f"%{{x:.3f}} [{found.low:.3f}, {found.high:.3f}], {found.n} features",
                **self._legend(name),
            ),
            row=row,
            col=1,
        )

    def _line(self, name: str, *, row: int, col: int, **what: Any) -> None:
        import plotly.graph_objects as go

        line = {"color": self._look(name)["color"], "dash": "solid" if self._place(name) < len(_COLOURS) else "dash"}
        trace = go.Scatter(mode="lines", name=_text(name), line=line, **{**what, **self._legend(name)})
        self._figure.add_trace(trace, row=row, col=col)

    def _legend(self, name: str) -> dict[str, Any]:
        from seesay.comparison.comparing import FEATURES

        is_new = name not in self._in_legend
        self._in_legend.add(name)
        rank = 1 + self._place(name) if name in self._places else 1000 + len(self._in_legend)
        return {"legendgroup": _text(name), "legendrank": rank, "showlegend": is_new and name != FEATURES}

    def _place(self, name: str) -> int:
        return self._places.get(name, len(self._places))

    def _look(self, name: str) -> dict[str, Any]:
        place = self._place(name)
        return {
            "color": _COLOURS[place % len(_COLOURS)],
            "symbol": _SYMBOLS[(place + place // len(_COLOURS)) % len(_SYMBOLS)],
        }


def _best(standing: "Standing") -> "Row":
    return max(standing.rows, key=lambda row: row.estimate.mean)


def _axis(standing: "Standing") -> str:
    unit = _UNITS.get(standing.quantity.name)
    return _text(standing.title + (f", {unit}" if unit else ""))


def _text(text: str) -> str:
    """A text that plotly takes for no markup, whoever wrote it."""
    return escape(one_line(text))
