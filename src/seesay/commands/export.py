"""`seesay export`: runs in forms that other programs read."""

import shlex
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.choices import one_of
from seesay.commands.names import resolve_methods
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import InvalidSetting, UnusablePath
from seesay.export.config import Format, Selection
from seesay.records import Split
from seesay.selection import parse_features
from seesay.texts import each_once, short_names

if TYPE_CHECKING:
    from seesay.export.source import Source
    from seesay.store.pages import Table as Stored


@final
@dataclass(frozen=True)
class Export:
    """Write runs in a form that other programs read.

    parquet: tables of features, explanations, scores and exemplars with their heatmaps, for pandas, polars and DuckDB.
    neuronpedia: gzipped JSON lines as Neuronpedia exports and imports them, a token for each patch of an image. hub:
    the Parquet tables with a card, as a dataset of the Hugging Face Hub; it is uploaded if --repo names one, and
    private unless --public is given. Where models, SAEs and images lie on this machine is left out of all of them.

    An earlier export of the same form in the same folder is replaced; a folder that holds anything else is refused.

    Examples:
      seesay export runs/x --out tables
      seesay export runs/early runs/late --out tables --images
      seesay export runs/x --out lines --format neuronpedia --methods hybrid
      seesay export runs/x --out dataset --format hub --license cc-by-4.0 --repo me/features --dry-run
    """

    path: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")]]
    """The runs' folders."""

    out: Annotated[Path, arg(metavar="DIR")]
    """The folder that it goes to."""

    format: Format = "parquet"
    """In which form."""

    features: Annotated[str | None, arg(metavar="IDS")] = None
    """Only these features: 42, or 0-499,777."""

    methods: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Only what was said by these methods, and its scores; each must have said something in one of the runs."""

    split: Annotated[Split | None, one_of(Split)] = None
    """Only features of this part: strengths are chosen on validation features, figures come from test features."""

    images: bool = False
    """Also the images, as thumbnails in images.parquet. They may not be yours to share."""

    license: Annotated[str | None, arg(metavar="NAME")] = None
    """What the card of a dataset says: a name that the Hub has for a licence, such as cc-by-4.0."""

    repo: Annotated[str | None, arg(metavar="OWNER/NAME")] = None
    """Upload it to this dataset of the Hub, which is made if it is not there."""

    public: bool = False
    """Everyone may read it: the dataset on the Hub, or what Neuronpedia imports. Otherwise it is private."""

    dry_run: bool = False
    """Write the folder and say what would be uploaded, and upload nothing; no network is needed."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Read, write, upload.

        Raises:
            SeesayError: whatever is wrong with the runs, the folder, or the Hub.
        """
        from seesay.export.folder import check_place, exported, sizes

        output = Output(self.common)
        self._check()
        check_place(self.out, self.format)  # now, not after the work
        with self._sources(output) as sources, exported(self.out, self.format) as folder:
            rows = self._write(folder, sources)
        files = sizes(self.out)
        output.console.print(_counted(rows))
        output.console.print(Text(f"Written: {self.out} ({_weight(sum(files.values()))})"), soft_wrap=True)
        told = {"out": str(self.out), "format": self.format, "rows": rows, "files": files}
        if self.format == "hub":
            told["upload"] = self._upload(output, files)
        output.finish(told, next_steps=self._next_steps())
        return 0

    def _check(self) -> None:
        """Refuse what does not go together, before anything is read."""
        if not self.path:
            raise UnusablePath("no run", expected="one or more: seesay export RUN --out DIR")
        of_hub = {"--repo": self.repo, "--license": self.license, "--dry-run": self.dry_run}
        given = [flag for flag, value in of_hub.items() if value]
        if given and self.format != "hub":
            raise InvalidSetting(f"{given[0]} with --format {self.format}", expected="--format hub beside it")
        if self.public and self.format == "parquet":
            raise InvalidSetting("--public with --format parquet", expected="--format hub or neuronpedia beside it")
        if self.images and self.format == "neuronpedia":
            raise InvalidSetting(
                "--images with --format neuronpedia, which has no place for them", expected="parquet or hub"
            )
        if self.format == "hub":
            from seesay.export.hub import HuggingFaceHub, check_names, check_visibility

            check_names(self.repo, self.license)
            if self.repo is not None and not self.dry_run:
                check_visibility(HuggingFaceHub(), self.repo, is_public=self.public)

    @contextmanager
    def _sources(self, output: Output) -> "Generator[list[Source]]":
        """The runs, open, with a bar that tells how far they are read."""
        from seesay.export.source import Source, check_features, check_methods
        from seesay.images.sources.contents import printable
        from seesay.store.run import Run

        ids = None if self.features is None else parse_features(self.features)
        selection = Selection(None if ids is None else frozenset(ids), resolve_methods(self.methods), self.split)
        folders = each_once(self.path)
        with ExitStack() as stack:
            runs = [stack.enter_context(Run.open(folder)) for folder in folders]
            check_features(runs, ids or ())
            check_methods(runs, selection.methods or ())
            total = sum(Source(run, "").n_features(*_WALKED[self.format]) for run in runs)
            advance = stack.enter_context(output.progress("features of tables", total=total))
            named = zip(runs, short_names(folders), strict=True)
            yield [Source(run, printable(name), selection, advance) for run, name in named]

    def _write(self, folder: Path, sources: "list[Source]") -> dict[str, int]:
        if self.format == "neuronpedia":
            from seesay.export.neuronpedia import write_lines

            return write_lines(folder, sources, is_public=self.public)
        if self.format == "hub":
            from seesay.export.hub import write_dataset

            return write_dataset(folder, sources, images=self.images, licence=self.license)
        from seesay.export.parquet import write_tables

        return write_tables(folder, sources, images=self.images)

    def _upload(self, output: Output, files: Mapping[str, int]) -> dict[str, Any]:
        """Upload it, or say what would be."""
        from seesay.export.folder import MARK
        from seesay.export.hub import HuggingFaceHub, upload

        sent = {name: n_bytes for name, n_bytes in files.items() if name != MARK}
        told: dict[str, Any] = {"repo": self.repo, "private": not self.public, "bytes": sum(sent.values()), "url": None}
        if self.dry_run:
            output.console.print(_listed(sent))
            done = f"Would be uploaded to {self.repo or 'no dataset (--repo names one)'}"
        elif self.repo is not None:
            told["url"], told["private"] = upload(HuggingFaceHub(), self.out, self.repo, is_public=self.public)
            done = f"Uploaded to {told['url']}"
        else:
            return told
        whose = "private" if told["private"] else "public: everyone can read it"
        line = f"{done}, {whose}: {len(sent)} files, {_weight(told['bytes'])}"
        output.console.print(Text(line), soft_wrap=True)
        return told

    def _next_steps(self) -> list[str]:
        runs = shlex.join(map(str, each_once(self.path)))
        match self.format:
            case "parquet":
                code = f"import pandas; print(pandas.read_parquet({str(self.out / 'explanations.parquet')!r}))"
                quoted = shlex.quote(code) if set(code) & set('"$`\\!') else f'"{code}"'  # the latter is easier to read
                return [f"python -c {quoted}   the words, in pandas", f"seesay report {runs}   one page for people"]
            case "neuronpedia":
                return ["see docs/export.md for how Neuronpedia imports the folder", f"seesay serve {runs}   here"]
            case "hub" if self.repo is None or self.dry_run:
                whose = "for everyone to read" if self.public else "private"
                return [f"{self._uploading()}   upload it, {whose}"]
            case "hub":
                return [f"python -c \"import datasets; print(datasets.load_dataset('{self.repo}', 'explanations'))\""]

    def _uploading(self) -> str:
        """The command that uploads this very export: what was left out stays out."""
        given = {
            "--out": str(self.out),
            "--format": "hub",
            "--features": self.features,
            "--methods": self.methods,
            "--split": self.split,
            "--license": self.license,
            "--repo": self.repo or "OWNER/NAME",
        }
        valued = [word for flag, value in given.items() if value is not None for word in (flag, value)]
        flags = [flag for flag, is_given in {"--images": self.images, "--public": self.public}.items() if is_given]
        return shlex.join(["seesay", "export", *map(str, each_once(self.path)), *valued, *flags])


_WALKED: "Mapping[Format, Sequence[Stored]]" = {
    "parquet": ("features", "explanations", "scores", "exemplars"),
    "neuronpedia": ("features", "exemplars", "explanations"),
    "hub": ("features", "explanations", "scores", "exemplars"),
}
"""The tables of a run that are gone through."""


def _counted(rows: Mapping[str, int]) -> Table:
    table = Table("what", "rows", box=None)
    table.columns[1].justify = "right"
    for name, n in rows.items():
        table.add_row(name, str(n))
    return table


def _listed(files: Mapping[str, int]) -> Table:
    table = Table("file", "bytes", box=None)
    table.columns[1].justify = "right"
    for name, n_bytes in files.items():
        table.add_row(Text(name), str(n_bytes))
    return table


def _weight(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes > 1e5 else f"{n_bytes / 1e3:.1f} kB"
