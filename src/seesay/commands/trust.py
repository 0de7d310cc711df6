"""`seesay trust`: how sure one can be of a run's explanations."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import InvalidSetting, UnusablePath

if TYPE_CHECKING:
    from seesay.pipeline.trusting import Key
    from seesay.store.run import Run

_MOST_ROWS = 1_000_000
_YES_OR_NO = {"1": True, "0": False, "yes": True, "no": False, "true": True, "false": False}


@final
@dataclass(frozen=True)
class Trust:
    """Learn how probable it is that an explanation is right, and keep the probability of each in the run.

    What speaks for an explanation without the truth (that other methods say the same, that random directions make the
    model say less probable things, and all scores that are in the run) is held against what is right on validation
    features. How good the probabilities are is told on test features: of those that are 90 % sure, nine in ten should
    be right. seesay show and seesay compare then tell how sure they are.

    In the embedded world what is right is known from the scenes (seesay score --scores ground_truth). For other models
    a person says it: a table of some explanations with a column feature_id and one called right, which holds 1 or 0.

    Examples:
      seesay trust runs/x
      seesay trust runs/x --right verdicts.csv
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    right: Annotated[Path | None, arg(metavar="FILE.csv")] = None
    """Who says what is right: a table with columns feature_id, right (1 or 0) and, where there are several methods,
    method; by default the score ground_truth."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Read, learn, print.

        Raises:
            SeesayError: whatever is wrong with the run, or with what is asked for.
        """
        from seesay.pipeline.trusting import trust
        from seesay.store.run import Run

        output = Output(self.common)
        with Run.writing(self.path) as run:
            is_right = _by_truth(run) if self.right is None else _by_people(run, self.right)
            facts = trust(run, is_right, "ground_truth" if self.right is None else self.right.name)
        output.console.print(_signals(facts))
        if facts["test"] is not None:
            output.console.print(_coverage(facts["test"]))
            output.console.print(
                Text(f"Expected calibration error on {facts['test']['n']} explanations of test features: ")
                + Text(f"{facts['test']['calibration_error']:.3f}")
            )
        output.finish(
            {"run": str(self.path), **facts},
            next_steps=[f"seesay compare {self.path}   how many explanations are how sure"],
        )
        return 0


def _by_truth(run: "Run") -> "dict[Key, bool]":
    """What the scenes' records say; a feature that no word of the world fits has no right words."""
    from seesay.store.scores import scores, scorings

    found: dict[Key, bool] = {}
    for scoring in scorings(run):
        if scoring.score == "ground_truth" and scoring.aid is None and scoring.setting_id is not None:
            for samples in scores(run, scoring).values():
                for each in samples:
                    key = (scoring.setting_id, each.item.feature_id, each.item.sample)
                    found[key] = each.measured.value == 1
    if not found:
        raise UnusablePath(
            f"{run.folder} does not say which explanations are right",
            expected="the score ground_truth, or --right FILE.csv",
            remedy=f"seesay score {run.folder} --scores ground_truth, in the embedded world",
        )
    return found


def _by_people(run: "Run", path: Path) -> "dict[Key, bool]":
    """What a table says, of the methods that it names, or of the only one that there is."""
    from seesay.store.explanations import explanations, settings

    own = [each for each in settings(run) if each.control is None]
    found: dict[Key, bool] = {}
    rows = _rows(path)
    methods = {each.method for each in own}
    if len(methods) > 1 and not all(row.get("method") for row in rows):
        raise InvalidSetting(
            f"{path} does not say of which method each explanation is",
            expected=f"a column method, with one of {', '.join(sorted(methods))}",
        )
    said = {each.setting_id: explanations(run, each) for each in own}
    for number, row in enumerate(rows, start=2):
        right = _YES_OR_NO.get((row.get("right") or "").strip().lower())
        name = (row.get("feature_id") or "").strip()
        if right is None or not name.isascii() or not name.isdigit():
            raise InvalidSetting(
                f"line {number} of {path}: feature_id {name!r}, right {row.get('right')!r}",
                expected="a feature's number, and 1 or 0",
            )
        for setting in own:
            if row.get("method") in (None, "", setting.method):
                for each in said[setting.setting_id].get(int(name), ()):
                    found[setting.setting_id, each.feature_id, each.sample] = right
    return found


def _rows(path: Path) -> list[dict[str, str | None]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"feature_id", "right"} <= set(reader.fieldnames or ()):
                raise InvalidSetting(f"{path} has columns {reader.fieldnames}", expected="feature_id and right")
            return [dict(row) for row, _ in zip(reader, range(_MOST_ROWS), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusablePath(f"cannot read {path}: {error}", expected="a table, comma-separated, in UTF-8") from error


def _signals(facts: Mapping[str, Any]) -> Table:
    title = f"What speaks for an explanation, learnt on {facts['n_learnt_on']} of validation features"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("signal")
    table.add_column("weight", justify="right")
    by_weight = sorted(facts["signals"].items(), key=lambda each: -abs(each[1]["weight"]))
    for name, numbers in by_weight:
        table.add_row(name, f"{numbers['weight']:+.2f}")
    table.caption = "log-odds for one standard deviation"
    table.caption_justify = "left"
    return table


def _coverage(quality: Mapping[str, Any]) -> Table:
    title = f"Kept if surer than that, of {quality['n']} explanations of test features"
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in ("at least", "explanations", "of them right"):
        table.add_column(name, justify="right")
    for threshold, kept in quality["kept"].items():
        table.add_row(
            f"{float(threshold):.0%}",
            f"{kept['n']} ({kept['n'] / quality['n']:.0%})",
            "-" if kept["right"] is None else f"{kept['right']:.1%}",
        )
    table.add_row("all", str(quality["n"]), f"{quality['share_right']:.1%}")
    return table
