"""`seesay doctor`: whether seesay can work here, and what to do if not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, final

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes

from seesay.commands.checks import Check, all_checks
from seesay.commands.options import Options
from seesay.commands.output import Output

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@final
@dataclass(frozen=True)
class Doctor:
    """Look at versions, devices, shipped weights, caches and extras, and say what is amiss.

    Exits with 0 if seesay can work here, with 1 if it cannot.

    Examples:
      seesay doctor
      seesay doctor --deep --json doctor.json
    """

    deep: bool = False
    """Also load the embedded world's model and SAE."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Check everything and print the report."""
        output = Output(self.common)
        checks = list(all_checks(deep=self.deep))
        usable = all(check.verdict != "problem" for check in checks)
        output.console.print(check_table(checks))
        next_steps = ["seesay demo"] if usable else ["mend what is marked as a problem, then run seesay doctor again"]
        output.finish({"usable": usable, "checks": [asdict(check) for check in checks]}, next_steps=next_steps)
        return 0 if usable else 1


def check_table(checks: Sequence[Check]) -> Table:
    """The report as a table for the terminal."""
    table = Table(header_style="bold")
    table.add_column("what")
    table.add_column("verdict")
    table.add_column("found", overflow="fold")
    table.add_column("remedy", overflow="fold")
    for check in checks:
        table.add_row(
            check.name, Text(check.verdict, style=_STYLES[check.verdict]), Text(check.found), Text(check.remedy)
        )
    return table
