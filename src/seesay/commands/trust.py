"""`seesay trust`: how sure one can be of a run's explanations."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import InvalidSetting, UnusablePath

if TYPE_CHECKING:
    from seesay.pipeline.trusting import Key
    from seesay.records import Explanation
    from seesay.store.run import Run

PAGE = "trust.html"
_MOST_ROWS = 1_000_000
_LONGEST_ID, _LONGEST_TOLD = 18, 60
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
    method, or where one says several things of a feature, text; by default the score ground_truth."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Read, learn, print.

        Raises:
            SeesayError: whatever is wrong with the run, or with what is asked for.
        """
        from seesay.commands.trust_page import write_page
        from seesay.pipeline.trusting import trust
        from seesay.store.run import Run

        output = Output(self.common)
        with Run.writing(self.path) as run:
            is_right = _by_truth(run) if self.right is None else _by_people(run, self.right)
            facts = trust(run, is_right, "ground_truth" if self.right is None else self.right.name)
        n_learnt_on = facts["n_learnt_on"]
        output.console.print(
            Text(f"What speaks for an explanation, learnt on {n_learnt_on} of validation features", style="bold")
        )
        output.console.print(_signals(facts))
        if facts["test"] is not None:
            n = facts["test"]["n"]
            output.console.print(Text(f"\nKept if so sure, of {n} explanations of test features", style="bold"))
            output.console.print(_coverage(facts["test"]))
            output.console.print(
                Text(f"Expected calibration error on these explanations: {facts['test']['calibration_error']:.3f}")
            )
            write_page(self.path / PAGE, facts["test"], f"How sure one can be of explanations: {self.path}")
            output.console.print(Text(f"Curves: {self.path / PAGE}"), soft_wrap=True)
        output.finish(
            {"run": str(self.path), **facts},
            next_steps=[f"seesay compare {self.path}   how many explanations are how sure"],
        )
        return 0


def _by_truth(run: "Run") -> "dict[Key, bool]":
    """What the scenes' records say; a feature that no word of the world fits has no right words."""
    from seesay.store.explanations import explanations, settings
    from seesay.store.scores import scores
    from seesay.store.ways import in_one_way

    own = {each.setting_id: each for each in settings(run) if each.control is None}
    found: dict[Key, bool] = {}
    for scoring in in_one_way(run, "ground_truth"):
        if scoring.setting_id in own:
            said = _by_key(explanations(run, own[scoring.setting_id]), scoring.setting_id)
            for each in (score for samples in scores(run, scoring).values() for score in samples):
                key = (scoring.setting_id, each.item.feature_id, each.item.sample)
                is_known = each.measured.value is not None or "live_hit" in each.measured.others
                # A verdict on words that were replaced is none on others; of a feature that hardly fires there is none.
                if is_known and said.get(key) == each.item.text:
                    found[key] = each.measured.value == 1
    if not found:
        raise UnusablePath(
            f"{run.folder} does not say which explanations are right",
            expected="the score ground_truth, or --right FILE.csv",
            remedy=f"seesay score {run.folder} --scores ground_truth, in the embedded world",
        )
    return found


def _by_people(run: "Run", path: Path) -> "dict[Key, bool]":
    """What a table says of explanations that it tells by feature, and where that is not enough by method and words."""
    from seesay.store.explanations import explanations, of_test_features, settings

    rows = _rows(path)
    said: dict[str, dict[Key, str]] = {}
    for each in settings(run):
        words = explanations(run, each)
        # Strengths that were only tried, on validation features, are left out: nothing is learnt from them.
        if each.control is None and of_test_features(words):
            said.setdefault(each.method, {}).update(_by_key(words, each.setting_id))
    found: dict[Key, bool] = {}
    for number, row in rows if said else ():
        try:
            found |= _verdict(row, said)
        except InvalidSetting as error:
            raise InvalidSetting(f"line {number} of {path}: {error.what}", expected=error.expected) from error
    return found


def _verdict(row: Mapping[str, str], said: "Mapping[str, Mapping[Key, str]]") -> "dict[Key, bool]":
    """What a line says of the words that it means."""
    right = _YES_OR_NO.get(row["right"].lower())
    name, method, text = row["feature_id"], row.get("method", ""), row.get("text", "")
    if right is None or not name.isascii() or not name.isdigit() or len(name) > _LONGEST_ID:
        told = {column: shorten(row[column], _LONGEST_TOLD) for column in ("feature_id", "right")}
        raise InvalidSetting(
            ", ".join(f"{column} {value!r}" for column, value in told.items()),
            expected="a feature's number, and 1 or 0",
        )
    if method not in said and (method or len(said) > 1):
        raise InvalidSetting(
            f"method {shorten(method, _LONGEST_TOLD)!r}", expected=f"a column method, with one of {', '.join(said)}"
        )
    of_method = said[method] if method else next(iter(said.values()))
    meant = {key: words for key, words in of_method.items() if key[1] == int(name) and text in ("", words.strip())}
    if not meant:
        raise InvalidSetting(f"feature {name}, of which nothing like this is said", expected="one that is explained")
    if len(set(meant.values())) > 1:
        raise InvalidSetting(
            f"feature {name}, of which {len(set(meant.values()))} different things are said",
            expected="a column text, with the words that are meant",
        )
    return dict.fromkeys(meant, right)


def _by_key(said: "Mapping[int, Sequence[Explanation]]", setting_id: int) -> "dict[Key, str]":
    return {(setting_id, each.feature_id, each.sample): each.text for samples in said.values() for each in samples}


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """A table's lines with their numbers; what stands beside its columns is left out."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in islice(reader, _MOST_ROWS) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusablePath(f"cannot read {path}: {error}", expected="a table, comma-separated, in UTF-8") from error
    if not {"feature_id", "right"} <= set(names):
        told = shorten(", ".join(names), _LONGEST_TOLD) or "none"
        raise InvalidSetting(f"{path} with columns {told}", expected="feature_id and right")
    return [
        (number, {name: cell.strip() for name, cell in zip_longest(names, row[: len(names)], fillvalue="")})
        for number, row in rows
    ]


def _signals(facts: Mapping[str, Any]) -> Table:
    table = Table(header_style="bold")
    table.add_column("signal", overflow="fold")
    table.add_column("log-odds for one standard deviation", justify="right")
    by_weight = sorted(facts["signals"].items(), key=lambda each: -abs(each[1]["weight"]))
    for name, numbers in by_weight:
        table.add_row(name, f"{numbers['weight']:+.2f}")
    return table


def _coverage(quality: Mapping[str, Any]) -> Table:
    table = Table(header_style="bold")
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
