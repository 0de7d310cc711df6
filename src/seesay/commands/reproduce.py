"""`seesay reproduce`: the paper's claims, tested."""

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, arg

from seesay.commands.counts import Count, OptionalCount
from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.names import is_of_world, is_world, listed
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.planning import PlanOptions
from seesay.commands.printing import print_sections
from seesay.commands.run_models import remembering_truth
from seesay.commands.sharing import SharingOptions
from seesay.commands.speaking import stopping
from seesay.errors import InvalidSetting, UnreadableModel, UnusablePath, check_choice
from seesay.reproduction.protocol import METHODS, PRESETS, Preset, Protocol, placed, trained

if TYPE_CHECKING:
    from seesay.commands.reproducing import Steps
    from seesay.records import Method
    from seesay.reproduction.ablations import Variation
    from seesay.reproduction.changes import Change
    from seesay.reproduction.report import Made, Report

_REPORT, _TABLES, _JSON = "reproduce.html", "reproduce.md", "reproduce.json"


@final
@dataclass(frozen=True)
class Reproduce:
    """Test the paper's claims: does steering complement explanations from inputs, do explanations get better with the
    language model, and is the hybrid the best of all at no extra cost?

    Features of three blocks are explained by three methods and all explainers, beside random directions, at strengths
    that are chosen on validation features; the words are scored, and each claim is said to be supported, not supported
    or undecided, by rules that stand in the code. Everything is kept in runs: the same command goes on after a stop or
    a kill.

    The embedded world takes half an hour on two cores; the published models take a machine that has them: see --plan.

    Examples:
      seesay reproduce
      seesay reproduce --ablations
      seesay reproduce --preset gemma-3 --plan
      seesay reproduce --preset gemma-3 --out runs/gemma --images DIR --backend ray
    """

    preset: Preset = "world"
    """Which models, SAEs and images: the embedded world's, or the published ones of Gemma 3 or InternVL 3."""

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/reproduce")
    """Where the runs and the report go: reproduce.html, reproduce.md and reproduce.json."""

    ablations: bool = False
    """Also change one thing at a time, on the middle block: the empty image, how it is pushed, the strength, which and
    how many images are shown and how, what of the hybrid is swapped, seeds, and the paper's overlapping images."""

    seeds: Annotated[Count, arg(metavar="N")] = 1
    """Language models of each size, with --weights."""

    weights: Annotated[Path | None, arg(metavar="DIR")] = None
    """Of the embedded world: models of a training of your own (seesay world train --seeds N) instead of the shipped."""

    images: Annotated[str | None, arg(metavar="SRC")] = None
    """Other images than the preset's: a folder, shards, a dataset, or world:N."""

    models: Annotated[Path | None, arg(metavar="DIR")] = None
    """A folder where published models and SAEs lie as OWNER/NAME; what is not there comes from the hub."""

    scores: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Only these of the preset's scores; those that claims are judged by are always among them."""

    max_features: OptionalCount = None
    """Test features of each block, at most: fewer than 300 leave every claim undecided. Collecting, choosing strengths
    and, in the world, looking for the truth take as long for a few as for many: some minutes."""

    dry: Annotated[PlanOptions, OmitArgPrefixes] = field(default_factory=PlanOptions)
    who: Annotated[ExplainerOptions, OmitArgPrefixes] = field(default_factory=ExplainerOptions)
    sharing: Annotated[SharingOptions, OmitArgPrefixes] = field(default_factory=SharingOptions)
    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Do what is left to be done, judge, print, write.

        Raises:
            SeesayError: whatever is wrong with the models, the images or the folder.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        from seesay.commands.reproducing import Means, Steps

        output = Output(self.common)
        protocol = self._protocol()
        self.dry.check()
        self.sharing.check(self.common, spread=self.who.spread, tensor_parallel=self.who.tensor_parallel)
        self.who.check_alone("reproduce")
        if self.dry.plan:
            from seesay.commands.reproduction_plan import tell_plan

            return tell_plan(
                protocol, self.max_features, self.who, self.dry, self.common, output, has_ablations=self.ablations
            )
        self.who.check_ready()
        means = Means(self.who, self.sharing, self.common)
        steps = Steps(self.out, protocol, means, self.max_features, commit_of_sources(), output)
        with stopping(output), remembering_truth():
            steps.explain_all()
            steps.score_all()
            report = self._report(protocol, steps)
            self._write(report)
            if self.ablations:
                changes = self._changes(protocol, steps)
                block, explainer = protocol.middle
                ablated = f"block {block.name}, explainer {explainer.size}"
                report = replace(report, changes=changes, ablated=ablated, made=self._made(steps))
                self._write(report)
        self._tell(report, output)
        return 0

    def _protocol(self) -> Protocol:
        """The preset's, as the options change it."""
        protocol = PRESETS[self.preset]
        if self.weights is None and self.seeds > 1:
            raise InvalidSetting(
                f"--seeds {self.seeds} of the models that come with seesay",
                expected="1: there is one of each size",
                remedy=f"seesay world train --out DIR --seeds {self.seeds}, then --weights DIR beside it",
            )
        if self.weights is not None and self.preset != "world":
            raise InvalidSetting(f"--weights for {self.preset}", expected="the preset world, or --models DIR")
        if self.models is not None and self.preset == "world":
            raise InvalidSetting(
                "--models for the embedded world, whose models come with seesay",
                expected="another --preset",
                remedy="of a training of your own: --weights DIR",
            )
        if self.models is not None and not self.models.is_dir():
            raise UnreadableModel(f"no folder {self.models}", expected="--models DIR, with OWNER/NAME in it")
        if self.who.explainer is not None:
            raise InvalidSetting(f"--explainer {self.who.explainer}", expected="none: the preset says who explains")
        if self.weights is not None:
            protocol = trained(protocol, self.weights, self.seeds)
            for name in (*(each.name for each in protocol.explainers), *(each.sae for each in protocol.blocks)):
                if not is_of_world(name):
                    raise UnreadableModel(
                        f"no {name}",
                        expected="a training with a model of each size and seed, and SAEs",
                        remedy=f"seesay world train --out {self.weights} --seeds {self.seeds}",
                    )
        if self.models is not None:
            protocol = placed(protocol, self._place)
        if self.images is not None and self.preset == "world" and not is_world(self.images):
            raise InvalidSetting(
                f"--images {self.images} for the embedded world, whose truth is that of its own pictures",
                expected="world:N",
                remedy="seesay collect, explain and score take any images",
            )
        if self.images is not None:
            protocol = replace(protocol, images=self.images, images_split=None)
            if self.preset == "world":
                from seesay.world.pictures import pictures

                protocol = replace(protocol, n_images=pictures(self.images).n_images)
        if self.scores is not None:
            names = listed(self.scores)
            for name in names:
                check_choice(name, protocol.scores, "score")
            kept = tuple(each for each in protocol.scores if each in names or each in protocol.judged_by)
            protocol = replace(protocol, scores=kept)
        return protocol

    def _place(self, name: str) -> str:
        assert self.models is not None
        return str(self.models / name) if (self.models / name).is_dir() else name

    def _report(self, protocol: Protocol, steps: "Steps") -> "Report":
        """What runs say."""
        from seesay.reproduction.claims import judge
        from seesay.reproduction.reading import Shelves
        from seesay.reproduction.report import Report

        with ExitStack() as stack:
            shelves = Shelves(
                steps.opened(stack),
                protocol,
                steps.settings,
                self.common.seed,
                features=steps.features,
                controls=steps.controls,
            )
            scores = dict.fromkeys((*protocol.judged_by, *protocol.scores))
            found = {score: shelves.measured(score) for score in scores}
            measured = {score: each for score, each in found.items() if each is not None}
            lacking = [score for score in protocol.judged_by if score not in measured]
            if lacking:
                raise UnusablePath(
                    f"no {lacking[0]} in {self.out} for any test feature that all methods explain",
                    expected="some",
                    remedy="give more --images, or more --max-features",
                )
            strengths = shelves.strengths()
        numbers = [measured[score].numbers for score in protocol.judged_by]
        claims = judge(numbers, steps.times, seed=self.common.seed)
        return Report(protocol, claims, tuple(measured.values()), strengths, (), "", self._made(steps))

    def _changes(self, protocol: Protocol, steps: "Steps") -> "list[Change]":
        """One thing changed at a time: done, and told."""
        from seesay.reproduction.ablations import images_of, variations
        from seesay.reproduction.changes import Bases
        from seesay.reproduction.reading import base
        from seesay.store.run import Run

        block, explainer = protocol.middle
        path = steps.run_of(block.name)
        bases = [
            replace(base(protocol, method, seed=self.common.seed), strength=steps.strength(method, explainer, block))
            for method in METHODS
        ]
        # of fewer images others are held out: what they are worth only the truth can tell
        sizes = images_of(steps.n_images(block)) if "ground_truth" in protocol.judged_by else ()
        changed = list(variations(bases, sizes))
        identities = steps.ablate(block, explainer, changed, sizes)
        with ExitStack() as stack:
            run = stack.enter_context(Run.open(path))
            smaller = {n: stack.enter_context(Run.open(steps.smaller(block, n))) for n in sizes}
            done = list(zip(changed, identities, strict=True))
            bases_of = [(each, identity) for each, identity in done if each.factor == "base"]
            by_method: dict[Method, str] = {each.setting.method: identity for each, identity in bases_of}
            told = Bases(run, steps.features[block.name], by_method, self.common.seed)
            found: list[Change | None] = []
            for score in protocol.judged_by:
                for each, identity in done:
                    where = run if each.n_images is None else smaller[each.n_images]
                    is_same = each.n_images is None or score == "ground_truth"
                    found.append(told.change(each, identity, where, score) if is_same else None)
                if score == "iou":
                    found += [
                        told.change(_on_shown(each), identity, run, score, "shared") for each, identity in bases_of
                    ]
        return [each for each in found if each is not None]

    def _made(self, steps: "Steps") -> "Made":
        import torch

        from seesay import __version__
        from seesay.reproduction.report import Made
        from seesay.vlm.loading import resolve_device, resolve_dtype

        device = resolve_device(self.common.device)
        dtype = str(resolve_dtype(self.common.dtype, device)).removeprefix("torch.")
        threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
        machine = f"{device.type}{threads}, {dtype}"
        return Made(__version__, tuple(steps.commits), self.common.seed, machine, steps.seconds)

    def _write(self, report: "Report") -> None:
        from seesay.files import write_json, write_text
        from seesay.report.sections import as_markdown
        from seesay.reproduction.figures import write_page

        title = f"The paper's claims, on {report.protocol.name}"
        write_page(self.out / _REPORT, title, report)
        write_text(self.out / _TABLES, [f"# {title}\n\n", as_markdown(report.sections())])
        write_json(self.out / _JSON, report.as_json())

    def _tell(self, report: "Report", output: Output) -> None:
        print_sections(output.console, report.in_short())
        output.console.print(Text(f"\nReport: {self.out / _REPORT}, {_TABLES} and {_JSON}"), soft_wrap=True)
        block, _ = report.protocol.middle
        output.finish(
            {"out": str(self.out), **report.as_json()},
            next_steps=[
                f"python3 -m webbrowser {(self.out / _REPORT).resolve().as_uri()}   the report, with figures",
                f"seesay compare {self.out / block.name}   one block's methods side by side",
                f"seesay serve {' '.join(str(self.out / each.name) for each in report.protocol.blocks)}   its features",
                *([] if report.changes else ["add --ablations to the same command: one thing changed at a time"]),
            ],
        )


def commit_of_sources() -> str | None:
    """The commit that seesay's own sources are of, with a plus if they were changed since; None if they are none."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        asked = [*git, "status", "--porcelain", "--", str(Path(__file__).parents[1])]
        changed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        tracked = [*git, "ls-files", "--error-unmatch", __file__]
        is_ours = subprocess.run(tracked, capture_output=True, check=False).returncode == 0
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{found}{'+' if changed else ''}" if is_ours else None


def _on_shown(variation: "Variation") -> "Variation":
    return replace(variation, factor="scored on", value="images that topk was shown")
