"""`seesay people`: what people say of a run's explanations, and blind studies of them."""

import csv
import shlex
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.counts import OptionalCount, OptionalNumber
from seesay.commands.names import listed, resolve_methods
from seesay.commands.options import Options
from seesay.commands.output import Output, check_writable
from seesay.errors import InvalidSetting
from seesay.files import unwritable
from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.store.run import Run
    from seesay.store.studies import Rater, Study


@final
@dataclass(frozen=True)
class People:
    """Tell what people say of a run's explanations, or begin a blind study of them.

    In seesay serve anyone says of words whether they are right, partly right or wrong; there they see whose words they
    are. In a study they see pictures and words alone, in an order of their own, and now and then the words of another
    feature, by which one sees whether they look. seesay compare takes both as the score people, blind ratings first.

    Examples:
      seesay people runs/x
      seesay people runs/x --begin first --n-features 20 --raters ann,bob
      seesay people runs/x --study first --csv ratings.csv
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    begin: Annotated[str | None, arg(metavar="NAME")] = None
    """Begin a blind study of this name."""

    n_features: OptionalCount = None
    """Test features of the study, drawn by chance: 30."""

    n_images: OptionalCount = None
    """Images of each, none of which any explainer was shown: 6, or as many as there are, at least 3."""

    decoys: OptionalNumber = None
    """Words of another feature beside each feature's own: 1."""

    raters: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Let these people judge in the study that is begun, or in that of --study; their own addresses are printed."""

    methods: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Only the words of these methods."""

    study: Annotated[str | None, arg(metavar="NAME")] = None
    """Tell of this study alone."""

    csv: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write a table: one line for each verdict and rating."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Begin a study, or read what was said.

        Raises:
            SeesayError: whatever is wrong with the run, or with what is asked for.
        """
        output = Output(self.common)
        self._check()
        if self.csv is not None:
            check_writable(self.csv)  # now, not after the work
        if self.begin is not None:
            self._begin(output)
        elif self.raters is not None:
            self._invite(output)
        else:
            self._tell(output)
        return 0

    def _check(self) -> None:
        """Refuse what does not go together."""
        if self.begin is None:
            given = {"--n-features": self.n_features, "--n-images": self.n_images, "--decoys": self.decoys}
            for name in (name for name, value in given.items() if value is not None):
                raise InvalidSetting(f"{name} without a study to begin", expected="--begin NAME beside it")
        if self.begin is not None and (self.study is not None or self.csv is not None):
            other = "--study" if self.study is not None else "--csv"
            raise InvalidSetting(f"--begin and {other}", expected="one of the two")
        if self.raters is not None and self.begin is None and self.study is None:
            raise InvalidSetting("--raters of no study", expected="--begin NAME or --study NAME beside it")

    def _begin(self, output: Output) -> None:
        from seesay.comparison.blind import StudyConfig, begin
        from seesay.store.run import Run
        from seesay.store.studies import study_items

        assert self.begin is not None, "a study to begin"
        methods = resolve_methods(self.methods)
        given = {"n_features": self.n_features, "n_images": self.n_images, "n_decoys": self.decoys}
        config = StudyConfig(
            self.begin,
            methods=None if methods is None else tuple(methods),
            seed=self.common.seed,
            **{name: value for name, value in given.items() if value is not None},
        )
        names = _names(self.raters)
        with Run.noting(self.path) as run:
            study = begin(run, config)
            items = study_items(run, study.study_id)
            invited = _invited(run, study, names)
        n_decoys = sum(each.is_decoy for each in items)
        by = ", ".join(dict.fromkeys(each["method"] for each in study.facts["settings"]))
        told = f"{len(items)} items of {config.n_features} features, {n_decoys} of them decoys, by {by}"
        output.console.print(Text(one_line(f"Study {study.name}: {told}.")), soft_wrap=True)
        n_twice = study.facts["n_decoys_in_words_shown_twice"]
        if n_twice:
            few = "too few test features outside the study have words"
            line = f"{n_twice} decoys are in words that are shown twice, by which they may be known: {few}."
            output.console.print(Text(line), soft_wrap=True)
        self._finish_with(output, study, invited)

    def _invite(self, output: Output) -> None:
        from seesay.comparison.judgements import study_named
        from seesay.store.run import Run

        assert self.study is not None, "a study to judge in"
        with Run.noting(self.path) as run:
            study = study_named(run, self.study)
            invited = _invited(run, study, _names(self.raters))
        self._finish_with(output, study, invited)

    def _finish_with(self, output: Output, study: "Study", invited: "list[Rater]") -> None:
        paths = {each.name: f"/rate/{each.key}" for each in invited}
        named = f"--study {shlex.quote(one_line(study.name))}"
        steps = [f"seesay serve {self.path}   then whoever judges opens, below the address that is printed:"]
        steps += [one_line(f"{path}   {name}") for name, path in paths.items()]
        if not paths:
            steps = [
                f"seesay people {self.path} {named} --raters NAME,NAME   who judges",
                f"seesay serve {self.path}   where they do",
            ]
        steps.append(f"seesay people {self.path} {named}   what they say")
        result = {"name": study.name, "begun_at": study.begun_at, "facts": study.facts, "raters": paths}
        output.finish({"run": str(self.path), "study": result}, next_steps=steps)

    def _tell(self, output: Output) -> None:
        from seesay.commands.printing import print_sections
        from seesay.comparison.judgements import judgements, lines, study_named
        from seesay.comparison.opinions import opinions, study_records
        from seesay.comparison.reading import read
        from seesay.comparison.results import plain
        from seesay.report.people_sections import people_sections
        from seesay.store.explanations import settings
        from seesay.store.run import Run

        seed = self.common.seed
        with Run.open(self.path) as run:
            study = None if self.study is None else study_named(run, self.study)
            said = judgements(run, study)
            contest = read([run], {"people"}, part="all", methods=resolve_methods(self.methods), said=[said])
            found = opinions(contest, said, seed=seed)
            records = study_records(run, study, seed=seed)
            table = list(lines(said, settings(run)))
        print_sections(output.console, people_sections(found, records))
        if not said:
            output.console.print(Text(f"Nobody has judged anything {'in it' if study else 'of this run'} yet."))
        if self.csv is not None:
            _write(self.csv, table)
            output.console.print(Text(f"Written: {self.csv}"), soft_wrap=True)
        result = {"n_judgements": len(said), "methods": plain(found), "studies": plain(records)}
        output.finish({"run": str(self.path), **result}, next_steps=self._next_steps(bool(said), bool(records)))

    def _next_steps(self, is_judged: bool, is_begun: bool) -> list[str]:
        if is_judged:
            return [f"seesay compare {self.path} --scores people   the same beside other scores"]
        steps = [f"seesay serve {self.path}   where people judge"]
        return steps if is_begun else [f"seesay people {self.path} --begin NAME   a blind study", *steps]


def _names(text: str | None) -> list[str]:
    """Who is to judge, refused before anything is written if they cannot."""
    from seesay.store.verdicts import checked_name

    return [] if text is None else list(dict.fromkeys(map(checked_name, listed(text))))


def _invited(run: "Run", study: "Study", names: "list[str]") -> "list[Rater]":
    from seesay.store.studies import add_rater

    return [add_rater(run, study.study_id, name) for name in names]


def _write(path: Path, table: "list[tuple[Any, ...]]") -> None:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    try:
        path.write_text(text.getvalue(), "utf-8")
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
