"""`seesay import`: words that were made elsewhere into a run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.choices import one_of
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import InvalidSetting, UnreadableWords
from seesay.explainers.config import MAY_HAVE_SEEN
from seesay.importing.config import Format, Reading
from seesay.records import Control
from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.importing.keeping import Kept

_REMOVING = "seesay import RUN --remove NAME"
_IN_WORDS = {"new": "new", "same": "were there already", "replaced": "replaced what was there"}


@final
@dataclass(frozen=True)
class Import:
    """Bring explanations that were made elsewhere into a run, to be scored, compared and looked at like any other.

    A table in CSV (UTF-8) or Parquet has a row for each explanation, with the columns feature_id and text; columns
    sample, control, and name (or method and explainer) are read if they are there. The folders that the authors' code
    writes, latent_42/explanations/explanation.json, are read as they are.

    All rows are taken or none. What is said under one name lives beside the words of other names; the same file once
    more changes nothing, and another one under the same name is refused unless --replace is given. --remove takes words
    out of the run again.

    Examples:
      seesay import runs/x words.csv
      seesay import runs/x words.parquet --name mine --text-column description
      seesay import runs/x random.csv --name mine --control random
      seesay import runs/x outputs/validation/SAE/WAY outputs/SAE/WAY --name theirs
      seesay import runs/x --remove mine
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    files: Positional[
        Annotated[tuple[Path, ...], arg(metavar="FILE_OR_FOLDER [FILE_OR_FOLDER ...]", help_behavior_hint="(required)")]
    ]
    """Tables or folders; several are read as one."""

    name: Annotated[str | None, arg(metavar="NAME")] = None
    """Who says these words, as tables call them; by default what rows say of it, or else the file's own name."""

    format: Annotated[Format | None, one_of(Format)] = None
    """What they are; by default told by the ending of the name."""

    control: Annotated[Control | None, one_of(Control)] = None
    """These words were found with something else in the features' place: a random direction and images drawn at random,
    or another feature's. They then stand beside those of the same name."""

    id_column: Annotated[str, arg(metavar="COLUMN")] = "feature_id"
    """The column of features' numbers: rows of the SAE's decoder."""

    text_column: Annotated[str, arg(metavar="COLUMN")] = "text"
    """The column of words."""

    placeholder: Annotated[str | None, arg(metavar="TEXT")] = None
    """A text that stands for no explanation; in the authors' folders by default theirs, "generic object"."""

    replace: bool = False
    """Let these words take the place of all that was imported under the same name and control before."""

    remove: Annotated[str | None, arg(metavar="NAME")] = None
    """Take back instead of bringing: remove all that was imported under this name, or with --control that control's
    alone, with its scores, verdicts and labels. What methods of seesay said cannot be removed."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Read, check, write, print; or remove.

        Raises:
            SeesayError: whatever is wrong with the run or the files; the run is then as it was.
            KeyboardInterrupt: after Ctrl-C; the run is then as it was.
        """
        from seesay.importing.keeping import bring
        from seesay.importing.reading import format_of, placeholder_of, rows_of
        from seesay.store.run import Run

        output = Output(self.common)
        if self.remove is not None:
            return self._remove(output, self.remove)
        if not self.files:
            raise UnreadableWords("no file", expected=f"one or more: seesay import {self.path} FILE")
        formats: list[Format] = [format_of(path, self.format) for path in self.files]
        reading = Reading(self.name, self.control, self.id_column, self.text_column, self.placeholder)
        with Run.writing(self.path) as run:
            layer = run.subject.get("layer")
            rows = rows_of(self.files, formats, reading, layer if isinstance(layer, int) else None)
            with output.progress("importing", total=None) as advance:
                kept = bring(
                    run,
                    rows,
                    placeholder=placeholder_of(formats, reading),
                    replace=self.replace,
                    on_rows=advance,
                )
        output.console.print(_table(kept))
        output.console.print(Text(MAY_HAVE_SEEN), soft_wrap=True)
        output.finish(
            {
                "run": str(self.path),
                "files": [str(path) for path in self.files],
                "imported": [_as_json(each) for each in kept],
            },
            next_steps=self._next_steps(kept),
        )
        return 0

    def _remove(self, output: Output, name: str) -> int:
        """Take words out of the run again."""
        from seesay.importing.removing import remove
        from seesay.store.run import Run

        bringing = {
            f"the files {', '.join(map(str, self.files))}": self.files,
            "--name": self.name is not None,
            "--replace": self.replace,
        }
        for what in (what for what, is_given in bringing.items() if is_given):
            raise InvalidSetting(f"{what} beside --remove", expected=f"one of the two: {_REMOVING} alone removes")
        with Run.writing(self.path) as run:
            removed = remove(run, name, self.control)
        output.console.print(
            Text(
                f"Removed what was imported by {one_line(name)}: explanations: {removed.n_explanations}, scores: "
                f"{removed.n_scores}, verdicts: {removed.n_verdicts}, labels: {removed.n_labels}"
            ),
            soft_wrap=True,
        )
        output.finish(
            {"run": str(self.path), "name": name, "control": self.control, "removed": asdict(removed)},
            next_steps=[f"seesay import {self.path} FILE   bring them again, or others"],
        )
        return 0

    def _next_steps(self, kept: "Sequence[Kept]") -> list[str]:
        steps = [f"seesay score {self.path}   how good the words are, on images of the run"]
        if all(each.setting.control is None for each in kept):
            steps.append("import the words of random directions, too, if there are any: --name NAME --control random")
        return [*steps, f"seesay compare {self.path}   beside what other methods say"]


def _table(kept: "Sequence[Kept]") -> Table:
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("name", overflow="fold")
    table.add_column("control")
    for name in ("words", "nothing said"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in kept:
        table.add_row(
            Text(one_line(each.setting.explainer)),
            each.setting.control or "",
            str(each.counts["ok"]),
            str(each.counts["empty"]),
            _IN_WORDS[each.change],
        )
    return table


def _as_json(kept: "Kept") -> dict[str, Any]:
    return {**kept.setting.as_json(), "counts": dict(kept.counts), "change": kept.change}
