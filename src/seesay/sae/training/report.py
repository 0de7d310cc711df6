"""A training's report: its curves and how often each feature is active, as one self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from seesay.plots import write_plots
from seesay.sae.training.config import SAETrainingConfig
from seesay.training_log import logged

_CURVES = {
    "loss": "loss",
    "variance_explained": "variance explained",
    "l0": "L0",
    "dead_share": "dead share",
}
_COLOUR = "#0f766e"
_NEVER = -9.0  # sae-lens writes 1e-10 for none


def write_report(
    path: Path,
    title: str,
    config: SAETrainingConfig,
    figures: Mapping[str, float],
    log: Path,
    log_frequency: Sequence[float],
) -> None:
    """Write the page.

    Args:
        path: the file to write.
        title: what was trained on what.
        config: how.
        figures: what was reached.
        log: the training's log, one JSON object a line; a run that went on from a checkpoint repeats steps.
        log_frequency: base-10 logarithm of the share of patches on which each feature is active.

    Raises:
        UnusablePath: it cannot be written.
    """
    # Comes with sae-lens; a second, so only when it is needed.
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    entries = logged(log)
    figure: Any = make_subplots(
        rows=3,
        cols=2,
        subplot_titles=[*_CURVES.values(), "log10 of the share of patches a feature is active on", ""],
        specs=[[{}, {}], [{}, {}], [{}, {"type": "table"}]],
    )
    for place, name in enumerate(_CURVES):
        # The last entry of a step counts: what was lost by a kill was learnt again.
        by_step = {entry["step"]: entry[name] for entry in entries if name in entry and "step" in entry}
        curve = go.Scatter(x=sorted(by_step), y=[by_step[step] for step in sorted(by_step)], line={"color": _COLOUR})
        figure.add_trace(curve, row=place // 2 + 1, col=place % 2 + 1)
        figure.update_xaxes(title="step", row=place // 2 + 1, col=place % 2 + 1)
    live = [each for each in log_frequency if each > _NEVER]
    figure.add_trace(go.Histogram(x=live, nbinsx=60, marker={"color": _COLOUR}), row=3, col=1)
    figure.update_yaxes(title="features", row=3, col=1)
    figure.add_trace(_table(config, figures, len(log_frequency) - len(live)), row=3, col=2)
    figure.update_layout(showlegend=False, height=1000, template="plotly_white", margin={"t": 60})
    write_plots(path, title, figure)


def _table(config: SAETrainingConfig, figures: Mapping[str, float], n_never: int) -> Any:
    import plotly.graph_objects as go

    reached = {name: f"{value:.4g}" for name, value in figures.items()}
    rows = {**reached, "never active lately": n_never, **asdict(config)}
    names = [name.replace("_", " ") for name in rows]
    values = [escape(str(value)) for value in rows.values()]
    return go.Table(header={"values": ["", ""], "height": 0}, cells={"values": [names, values], "align": "left"})
