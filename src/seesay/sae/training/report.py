"""A training's report: its curves and how often each feature is active, as one self-contained page."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

_CURVES = {
    "loss": "loss",
    "variance_explained": "variance explained",
    "l0": "L0",
    "dead_share": "dead share",
}
_COLOUR = "#0f766e"


def write_report(path: Path, title: str, log: Path, log_frequency: Sequence[float]) -> None:
    """Write the page.

    Args:
        path: the file to write.
        title: what was trained on what.
        log: the training's log, one JSON object a line; a run that went on from a checkpoint repeats steps.
        log_frequency: base-10 logarithm of the share of patches on which each feature is active.
    """
    # Comes with sae-lens; a second, so only when it is needed.
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    entries = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    figure: Any = make_subplots(
        rows=3, cols=2, subplot_titles=[*_CURVES.values(), "log10 of the share of patches a feature is active on"]
    )
    for place, name in enumerate(_CURVES):
        # The last entry of a step counts: what was lost by a kill was learnt again.
        by_step = {entry["step"]: entry[name] for entry in entries if name in entry and "step" in entry}
        curve = go.Scatter(x=sorted(by_step), y=[by_step[step] for step in sorted(by_step)], line={"color": _COLOUR})
        figure.add_trace(curve, row=place // 2 + 1, col=place % 2 + 1)
    figure.add_trace(go.Histogram(x=list(log_frequency), nbinsx=60, marker={"color": _COLOUR}), row=3, col=1)
    figure.update_layout(title=escape(title), showlegend=False, height=900, template="plotly_white")
    figure.write_html(path, include_plotlyjs=True)
