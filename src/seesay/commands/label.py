"""`seesay label`: what a run's explanations speak of, colours and edges or things and scenes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final, get_args

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.counts import Count
from seesay.commands.loading import load_explainer
from seesay.commands.names import is_world
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.speaking import stopping
from seesay.errors import InvalidSetting, UnreadableModel, UnusablePath
from seesay.records import Level

if TYPE_CHECKING:
    from seesay.pipeline.labelling import Labeller
    from seesay.store.run import Run

Counts = Mapping[str, Mapping[Level, int]]
"""How many explanations of each level there are, by method and control."""

_LEVELS: tuple[Level, ...] = get_args(Level)
_RECORDS = "records:1"
"""Whose labels those by the world's records are; another number if they come to be told otherwise."""


@final
@dataclass(frozen=True)
class Label:
    """Tell of each explanation whether it speaks of what is low-level (colours, textures, edges), high-level (things,
    scenes), or other.

    A language model reads the words, without any image; in the embedded world its records can tell instead: the level
    of the first thing that is named. Equal words are read once, and only those that are missing: the same command goes
    on after a stop or a kill. seesay compare then tells methods apart by level.

    Examples:
      seesay label runs/x
      seesay label runs/x --labeller google/gemma-3-4b-it
      seesay label runs/x --by records
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    by: Literal["model", "records"] = "model"
    """Who tells: a language model, or the embedded world's records."""

    labeller: Annotated[str | None, arg(metavar="MODEL")] = None
    """The vision-language model that reads the words; by default the run's subject."""

    batch_size: Count = 64
    """Explanations at a time; halved as often as memory asks for it."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Load, label, print.

        Raises:
            SeesayError: whatever is wrong with the run or the model.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        from seesay.store.labels import labels, unlabelled
        from seesay.store.run import Run

        output = Output(self.common)
        with Run.writing(self.path) as run:
            subject = self._checked(run)
            from seesay.pipeline.labelling import label  # takes seconds: not before the run is checked

            labeller, name = self._labeller(subject)
            n_left = len(unlabelled(run, labeller.identity))
            with stopping(output), output.progress("labels", total=n_left) as advance:
                n_new = label(run, labeller, batch_size=self.batch_size, on_batch=advance)
            found = labels(run, labeller.identity)
            counts = _counted(run, {text: each.level for text, each in found.items()})
        output.console.print(_table(counts))
        told = f"{n_new} different explanations labelled, {len(found)} in all, by {name}."
        output.console.print(Text(told))
        output.finish(
            {
                "run": str(self.path),
                "by": self.by,
                "name": name,
                "labeller": labeller.identity,
                "n_new": n_new,
                "counts": counts,
                "labels": [asdict(each) for each in found.values()],
            },
            next_steps=[f"seesay compare {self.path} --levels {self.by}   methods side by side, also by these levels"],
        )
        return 0

    def _checked(self, run: "Run") -> str:
        """The run's subject; what cannot be done is said before a model is loaded."""
        subject = run.subject.get("subject")
        if not isinstance(subject, str):
            raise UnusablePath(f"{self.path} does not say what it is of", expected="a run of a subject")
        if self.by == "records" and self.labeller is not None:
            raise InvalidSetting(f"--labeller {self.labeller} --by records", expected="one of the two")
        if self.by == "records" and not is_world(subject):
            raise InvalidSetting(
                f"--by records for a run of {subject}",
                expected="a run of the embedded world",
                remedy="let a model tell: --labeller MODEL",
            )
        if not run.rows("SELECT 1 FROM explanations WHERE status = 'ok' LIMIT 1"):
            raise UnusablePath(
                f"{self.path} has no explanations yet",
                expected="a run whose features are in words",
                remedy=f"seesay explain {self.path}",
            )
        return subject

    def _labeller(self, subject: str) -> "tuple[Labeller, str]":
        from seesay.pipeline.labelling import Labeller, by_model

        if self.by == "records":
            return Labeller(_RECORDS, by_records), "the world's records"
        name = self.labeller or subject
        try:
            return by_model(load_explainer(name, self.common)), name
        except UnreadableModel as error:
            if self.labeller is not None:
                raise
            raise UnreadableModel(
                error.what, expected=error.expected, remedy="name a model that reads the words: --labeller MODEL"
            ) from error


def by_records(texts: Sequence[str]) -> list[tuple[Level, str]]:
    """The level of the first concept that each text names, by the embedded world's lists, with the concept.

    Args:
        texts: of any words; `other` for those that name nothing of the world.
    """
    from seesay.world.concepts import level
    from seesay.world.grammar import parse

    named = [parse(text)[:1] for text in texts]
    return [(level(first[0]), str(first[0])) if first else ("other", "") for first in named]


def _counted(run: "Run", levels: Mapping[str, Level]) -> Counts:
    from seesay.store.explanations import explanations, settings

    counted: dict[str, Counter[Level]] = {}
    for setting in settings(run):
        said = [each for samples in explanations(run, setting).values() for each in samples if each.status == "ok"]
        if said:
            counted.setdefault(setting.title, Counter()).update(levels[each.text] for each in said)
    return {title: {level: of[level] for level in _LEVELS} for title, of in counted.items()}


def _table(counts: Counts) -> Table:
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", overflow="fold")
    for name in ("explanations", *_LEVELS):
        table.add_column(name, justify="right", no_wrap=True)
    for title, of in counts.items():
        n = sum(of.values())
        table.add_row(Text(title), str(n), *(f"{of[level]} ({of[level] / n:.0%})" for level in _LEVELS))
    return table
