"""`seesay compare`: methods side by side, by every score that runs hold."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.choices import one_of
from seesay.commands.compare_next import next_steps
from seesay.commands.names import listed, resolve_methods
from seesay.commands.options import Options
from seesay.commands.output import Output, check_writable
from seesay.errors import UnusablePath
from seesay.scorers.config import Holding
from seesay.texts import each_once, one_line

if TYPE_CHECKING:
    from seesay.comparison.quantities import Quantity
    from seesay.comparison.reading import Contest
    from seesay.report.comparison_sections import Told
    from seesay.scorers.config import Score
    from seesay.store.run import Run

_PAGE = "compare.html"
_Levels = Literal["truth", "records", "model"]


@final
@dataclass(frozen=True)
class Compare:
    """Compare methods by the scores that runs hold: means with intervals, paired tests, and what each score is worth.

    All methods are compared on the same features: those that have the score for every one of them. Beside each method
    stands what the same score gives to the words of a random direction, to another feature's words (permuted) and to
    the same words for all (constant). A score that does not tell a method from these is called uninformative.

    Several runs are compared together: their features are put into one, and divided by block.

    Examples:
      seesay compare runs/x
      seesay compare runs/x --scores auroc,mad,ground_truth --csv scores.csv
      seesay compare runs/early runs/late --methods steering,topk
      seesay compare runs/x --split validation --methods steering
    """

    path: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")]]
    """The runs' folders."""

    scores: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Only these scores, or the numbers that come with them, such as mad or f1; by default all that there are."""

    all: bool = False
    """Also the numbers that come with scores."""

    methods: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Only these methods; more of them may leave fewer features that all have."""

    explainer: Annotated[str | None, arg(metavar="MODEL")] = None
    """Only this explainer's words."""

    split: Literal["test", "validation", "all"] = "test"
    """Which features: figures come from test features, as strengths are chosen on validation features."""

    images: Annotated[Holding | None, one_of(Holding)] = None
    """Scores that were computed on images that no explainer was shown, or on those that the paper shares with its
    explainers (seesay score --split shared, or --paper); by default the former where there are any."""

    levels: Annotated[_Levels | None, one_of(_Levels)] = None
    """Who says of what level a feature is: the truth, where the score ground_truth knows it; or whoever labelled words,
    the scenes' records or a language model: what most words that are said of it are. By default the first of these
    that is there."""

    csv: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write every feature's numbers to this table: one line for each number, method and aid."""

    page: Annotated[Path | None, arg(metavar="FILE")] = None
    """Where the figures go; by default compare.html in the first run's folder."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Read, compare, print, draw.

        Raises:
            SeesayError: whatever is wrong with the runs or what is asked for.
        """
        from seesay.commands.comparison_csv import write_csv
        from seesay.commands.printing import print_sections
        from seesay.comparison.results import plain
        from seesay.report.evidence import read_evidence
        from seesay.store.run import Run

        output = Output(self.common)
        if not self.path:
            raise UnusablePath("no run", expected="one or more: seesay compare RUN")
        for path in filter(None, (self.csv, self.page)):
            check_writable(path)  # now, not after the work
        methods = resolve_methods(self.methods)
        with ExitStack() as stack:
            runs = [stack.enter_context(Run.open(path)) for path in each_once(self.path)]
            asked = self._asked(runs)
            scores: set[Score] | None = None if asked is None else {each.score for each in asked}
            evidence = read_evidence(
                runs,
                scores,
                part=self.split,
                methods=methods,
                explainer=self.explainer,
                holding=self.images,
                by=self.levels,
            )
        contest = evidence.contest
        wanted = self._wanted(contest) if asked is None else asked
        with output.progress("comparing", total=len(wanted)) as advance:
            told = evidence.compared(wanted, seed=self.common.seed, on_number=advance)
        print_sections(output.console, told.sections())
        page = self._draw(output, told)
        if self.csv is not None:
            write_csv(self.csv, contest, told.comparison, told.sure)
            output.console.print(Text(f"Written: {self.csv}"), soft_wrap=True)
        output.finish(
            {
                "runs": told.subjects,
                "split": self.split,
                "page": page,
                "labeller": told.labeller,
                "contenders": _contenders_as_json(contest),
                "trust": plain(told.sure),
                **told.comparison.as_json(),
            },
            next_steps=next_steps(each_once(self.path), contest, told.comparison),
        )
        return 0

    def _asked(self, runs: "Sequence[Run]") -> "list[Quantity] | None":
        """The numbers that are asked for by name; None for whatever there is."""
        from seesay.comparison.quantities import named, quantities
        from seesay.store.measures import measures

        if self.scores is None:
            return None
        known = measures(*runs)
        found = named(listed(self.scores), known)
        whole = {each.score: known[each.score] for each in found if each.is_primary}
        with_others = quantities(whole, everything=self.all)
        return found + [each for each in with_others if each not in found]

    def _wanted(self, contest: "Contest") -> "list[Quantity]":
        from seesay.comparison.quantities import quantities

        if not contest.scored:
            raise UnusablePath(
                contest.notes[0] if contest.notes else f"no scores of {self.split} features in {self._folders}",
                expected="explanations that are scored, all in one way",
                remedy=shlex.join(
                    ["seesay", "score", str(self.path[0]), *(["--methods", self.methods] if self.methods else [])]
                ),
            )
        return quantities(contest.measures, everything=self.all)

    def _draw(self, output: Output, told: "Told") -> str | None:
        """Write the figures; a run that cannot be written to goes without, unless a place for them is named."""
        from seesay.report.comparison_figures import write_page

        page = self.page or self.path[0] / _PAGE
        try:
            write_page(page, told, f"Methods side by side: {self._folders}")
        except UnusablePath as error:
            if self.page is not None:
                raise
            output.console.print(Text(one_line(f"No figures, {error.what}: --page says where they may go.")))
            return None
        output.console.print(Text(f"Figures: {page}"), soft_wrap=True)
        return str(page)

    @property
    def _folders(self) -> str:
        return ", ".join(map(str, self.path))


def _contenders_as_json(contest: "Contest") -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "method": each.method,
            "explainer": each.explainer,
            "strengths": [asdict(strength) for strength in each.strengths],
            "settings": list(dict.fromkeys(setting.identity for setting in each.settings.values())),
            "n_explained": each.n_explained,
            "n_failed": each.n_failed,
        }
        for each in contest.contenders
    ]
