"""Templates of pages, in which all text is escaped; what pages share lies beside this module."""

from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from seesay.texts import exact, one_line

STATIC = files("seesay.report") / "static"
"""What browsers are given as it is: the look of all pages."""


def templates_of(*packages: str) -> Environment:
    """Templates of some packages and of this one.

    Args:
        packages: that have a folder `templates`.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "seesay.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "share": share, "sure": sure, "line": one_line, "exact": exact}
    return environment


def number(value: Any) -> str:
    """A number as a text; a dash for none."""
    if value is None:
        return "–"
    told = f"{value:.3g}" if abs(value) >= 1 else f"{value:.2f}"
    return "0" if float(told) == 0 else told


def sure(value: Any) -> str:
    """A probability in whole per cents, as it is not known better; a dash for none."""
    if value is None:
        return "–"
    return "<1%" if value < 0.01 else ">99%" if value > 0.99 else f"{value:.0%}"


def share(value: Any) -> str:
    """A share in per cent; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.0%}" if value == 0 or value >= 0.1 else f"{value:.2%}" if value >= 1e-4 else f"{100 * value:.1g}%"
