"""How good the probabilities are that explanations are right, as one self-contained page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seesay.plots import write_plots
from seesay.texts import one_line

_COLOUR, _GREY = "#0f766e", "#64748b"


def write_page(path: Path, quality: Mapping[str, Any], title: str) -> None:
    """Write the page: a reliability diagram, and how many explanations remain right if fewer are kept.

    Args:
        path: the file to write.
        quality: of the probabilities of test features, as [seesay.pipeline.trusting.trust][] tells it.
        title: of the page.

    Raises:
        UnusablePath: it cannot be written.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure: Any = make_subplots(
        rows=1, cols=2, subplot_titles=["as right as they are sure?", "how many, if only sure ones are kept?"]
    )
    line = {"mode": "lines", "line": {"color": _GREY, "dash": "dot"}, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=[0, 1], y=[0, 1], **line), row=1, col=1)
    sure, right, counts = zip(*quality["reliability"], strict=True)
    figure.add_trace(
        go.Scatter(
            x=sure,
            y=right,
            customdata=counts,
            mode="lines+markers",
            line={"color": _COLOUR},
            marker={"size": 9},
            hovertemplate="%{x:.0%} sure, %{y:.0%} right, %{customdata} explanations<extra></extra>",
        ),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Scatter(x=quality["coverage"], y=quality["accuracy"], mode="lines", line={"color": _COLOUR}), row=1, col=2
    )
    share = quality["share_right"]
    figure.add_trace(go.Scatter(x=[0, 1], y=[share, share], **line), row=1, col=2)
    figure.update_xaxes(title="mean probability that is told", tickformat=".0%", range=[-0.02, 1.02], row=1, col=1)
    figure.update_yaxes(title="share that is right", tickformat=".0%", range=[-0.02, 1.04], row=1)
    figure.update_xaxes(
        title="share that is kept, the surest first", tickformat=".0%", range=[-0.02, 1.02], row=1, col=2
    )
    figure.update_layout(showlegend=False, height=480, template="plotly_white", margin={"t": 60})
    lead = (
        f"{quality['n']} explanations of test features, none of which was learnt from; {share:.1%} of them are right. "
        f"Expected calibration error: {quality['calibration_error']:.3f}. Left: each dot stands for as many "
        "of them; on the dotted line they would be just as right as they are sure. Right: the dotted line is what one "
        "has if all are kept."
    )
    write_plots(path, one_line(title), figure, lead=lead)
