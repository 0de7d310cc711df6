"""A calibration's curve as one self-contained page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay.plots import write_plots

if TYPE_CHECKING:
    from seesay.store.calibrations import Calibration

_COLOURS = {"score": "#0f766e", "kl": "#b45309"}


def write_page(path: Path, calibration: "Calibration", title: str) -> None:
    """Write the page.

    Args:
        path: the file to write.
        calibration: with its curve.
        title: what was calibrated.

    Raises:
        UnusablePath: it cannot be written.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    curve, strength = calibration.curve, calibration.strength
    names = {"score": calibration.score.replace("_", " "), "kl": "divergence of the first word, nats"}
    figure: Any = make_subplots(rows=2, cols=1, shared_xaxes=True, subplot_titles=list(names.values()))
    strengths = [point["strength"] for point in curve]
    for row, name in enumerate(names, start=1):
        lows, highs = zip(*(point["interval" if name == "score" else "kl_interval"] for point in curve), strict=True)
        values = [point[name] for point in curve]
        error = {
            "array": [high - value for high, value in zip(highs, values, strict=True)],
            "arrayminus": [value - low for low, value in zip(lows, values, strict=True)],
        }
        figure.add_trace(
            go.Scatter(
                x=strengths, y=values, error_y=error, mode="lines+markers", line={"color": _COLOURS[name]}, name=name
            ),
            row=row,
            col=1,
        )
        figure.add_vline(x=strength.value, line_dash="dot", line_color="#64748b", row=row, col=1)
    ticks = {"tickvals": strengths, "ticktext": [f"{value:g}" for value in strengths]}
    figure.update_xaxes(type="log", title=strength.unit.replace("_", " "), **ticks, row=2, col=1)
    figure.update_xaxes(type="log", row=1, col=1)
    figure.update_layout(showlegend=False, height=700, template="plotly_white", margin={"t": 60})
    lead = (
        f"Chosen: {strength.value:g} ({strength.unit}), dotted. Bars are 95 % intervals of the mean over "
        f"{curve[0]['n']} validation features, by bootstrap."
    )
    write_plots(path, title, figure, lead=lead)
