"""`seesay study`: what is held to be true of seesay's own methods, measured."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.counts import Count, OptionalCount
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.printing import print_sections
from seesay.commands.reproduce import commit_of_sources
from seesay.commands.run_models import remembering_truth
from seesay.commands.speaking import stopping
from seesay.study.protocol import STEERING_PLUS
from seesay.teaching.config import Teaching

if TYPE_CHECKING:
    from seesay.study.report import Report

_REPORT, _TABLES, _JSON = "study.html", "study.md", "study.json"


@final
@dataclass(frozen=True)
class StudyCommand:
    """Hold steering+, which sees no images when it explains, against the methods that do.

    In the embedded world: features are parted so that none that teaches or chooses is like any that is judged;
    strengths and candidates are chosen on validation features; lenses are taught, several for each block and explainer;
    and then test features are looked at, once. The protocol stands in the code. Everything is kept in runs: the same
    command goes on after a stop or a kill. It takes less than two hours on two cores.

    Examples:
      seesay study steering-plus
      seesay study steering-plus --seeds 1 --max-features 100
    """

    name: Positional[Literal["steering-plus"]]
    """Which study."""

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/steering-plus")
    """Where the runs and the report go: study.html, study.md and study.json."""

    seeds: Annotated[Count, arg(metavar="N")] = STEERING_PLUS.n_seeds
    """Lenses that are taught for each block and explainer, each from other patches."""

    pupils: OptionalCount = None
    """Patches that each lens is taught by, if not as many as seesay teach takes."""

    images: OptionalCount = None
    """Pictures of the world that runs are collected from, if not as many as the protocol says."""

    max_features: OptionalCount = None
    """Features of each part of each block, at most; by default all."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Do what is left to be done, print, write.

        Raises:
            SeesayError: whatever is wrong with the folder.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        from seesay.commands.studying import Studying

        output = Output(self.common)
        study = replace(STEERING_PLUS, n_seeds=self.seeds)
        if self.images is not None:
            study = replace(
                study,
                images=f"world:{self.images}",
                n_images=self.images,
                n_linked_by=min(study.n_linked_by, self.images // 2),
            )
        steps = Studying(
            self.out, study, self.common, commit_of_sources(), output, pupils=self.pupils, at_most=self.max_features
        )
        with stopping(output), remembering_truth():
            steps.choose()
            steps.test()
            report = steps.report(self._cut())
        self._write(report)
        print_sections(output.console, report.in_short())
        output.console.print(Text(f"\nReport: {self.out / _REPORT}, {_TABLES} and {_JSON}"), soft_wrap=True)
        output.finish(
            {"out": str(self.out), **report.as_json()},
            next_steps=[
                f"python3 -m webbrowser {(self.out / _REPORT).resolve().as_uri()}   the report, with a figure",
                f"seesay compare {self.out / study.blocks[0].name}   one block's methods side by side",
            ],
        )
        return 0

    def _cut(self) -> str:
        """What was asked for that makes less of it than the protocol says, in a sentence; empty for nothing."""
        usual = (
            ("max-features", self.max_features, math.inf),
            ("pupils", self.pupils, Teaching.n_pupils),
            ("images", self.images, STEERING_PLUS.n_images),
            ("seeds", self.seeds, STEERING_PLUS.n_seeds),
        )
        given = " ".join(f"--{name} {value}" for name, value, most in usual if value is not None and value < most)
        return f"Not as the protocol says, but with {given}: it speaks neither for nor against." if given else ""

    def _write(self, report: "Report") -> None:
        from seesay.files import write_json, write_text
        from seesay.report.sections import as_markdown
        from seesay.study.figures import write_page

        title = "Steering without images, against methods that look"
        write_page(self.out / _REPORT, title, report)
        write_text(self.out / _TABLES, [f"# {title}\n\n", as_markdown(report.sections())])
        write_json(self.out / _JSON, report.as_json())
