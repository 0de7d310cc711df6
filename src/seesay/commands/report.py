"""`seesay report`: runs as one file to be read, kept or sent."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.counts import Count
from seesay.commands.options import Options
from seesay.commands.output import Output, check_writable
from seesay.errors import InvalidSetting, UnusablePath
from seesay.selection import parse_features
from seesay.texts import each_once, one_line, short_names, without_folders

if TYPE_CHECKING:
    from seesay.report.comparison_sections import Told
    from seesay.store.run import Run

_PAGE = "report.html"


@final
@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML file: methods side by side with figures and tests, and cards of features with their
    pictures, words, scores and how sure they are.

    It needs no network, no server and no run: send it by mail, or keep it beside a paper. Features are drawn by chance
    among test features that have words, always the same ones, so that what is shown is no choice of the best.

    Examples:
      seesay report runs/x
      seesay report runs/x --features 42,50-61 --out few.html
      seesay report runs/early runs/late --max-features 200 --pixels 96
    """

    path: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")]]
    """The runs' folders."""

    out: Annotated[Path | None, arg(metavar="FILE")] = None
    """Where it goes; by default report.html in the first run's folder."""

    features: Annotated[str | None, arg(metavar="IDS")] = None
    """Cards of these features of each run: 42, or 0-499,777."""

    max_features: Count = 60
    """Cards of so many features of each run, where none are named."""

    exemplars: Count = 4
    """Pictures of each feature: those that activate it most."""

    pixels: Count = 192
    """The longest side of a picture; with it the file's size is bounded."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Read, compare, write.

        Raises:
            SeesayError: whatever is wrong with the runs, or with where the file goes.
        """
        output = Output(self.common)
        told = self.write(output)
        folders = " ".join(map(str, each_once(self.path)))
        steps = [f"seesay serve {folders}   all features in a browser, searched and sorted"]
        if not any(told["runs"].values()):
            steps.insert(0, f"seesay explain {self.path[0]} --method steering   words, which a report is about")
        output.finish(told, next_steps=steps)
        return 0

    def write(self, output: Output) -> dict[str, Any]:
        """Write it; the demo does so, too.

        Args:
            output: of the command.

        Returns:
            What scripts are told.

        Raises:
            SeesayError: as for `run`.
        """
        from seesay.report.page import Cards, drawn, write_report
        from seesay.store.run import Run

        if not self.path:
            raise UnusablePath("no run", expected="one or more: seesay report RUN")
        asked = None if self.features is None else parse_features(self.features)
        folders = each_once(self.path)
        page = self.out or folders[0] / _PAGE
        check_writable(page)  # now, not after the work
        with ExitStack() as stack:
            runs = [stack.enter_context(Run.open(folder)) for folder in folders]
            names = short_names(folders)
            cards = [
                Cards(run, name, *(drawn(run, self.max_features) if asked is None else (asked, None)))
                for run, name in zip(runs, names, strict=True)
            ]
            told, problem = _compared(output, runs, names, self.common.seed)
            with output.progress("cards", total=sum(len(each.feature_ids) for each in cards)) as advance:
                write_report(
                    page, cards, told, problem, n_exemplars=self.exemplars, side=self.pixels, on_feature=advance
                )
        if problem:
            output.console.print(Text(one_line(f"No comparison: {problem}")))
        size = page.stat().st_size
        weight = f"{size / 1e6:.1f} MB" if size > 1e5 else f"{size / 1e3:.0f} kB"
        output.console.print(Text(f"Report: {page} ({weight})"), soft_wrap=True)
        return {
            "page": str(page),
            "bytes": size,
            "runs": {each.name: list(each.feature_ids) for each in cards},
            "scores": [each.title for each in told.comparison.standings] if told else [],
        }


def _compared(output: Output, runs: "Sequence[Run]", names: Sequence[str], seed: int) -> "tuple[Told | None, str]":
    """The comparison; a run without explanations or scores has a report of its features alone."""
    from seesay.comparison.quantities import quantities
    from seesay.report.evidence import read_evidence

    try:
        evidence = read_evidence(runs, names=names)
    except (InvalidSetting, UnusablePath) as error:
        return None, without_folders(error.what, [run.folder for run in runs], names)
    if not evidence.contest.scored:
        return None, "no scores, which seesay score computes"
    wanted = quantities(evidence.contest.measures)
    with output.progress("comparing", total=len(wanted)) as advance:
        return evidence.compared(wanted, seed=seed, on_number=advance), ""
