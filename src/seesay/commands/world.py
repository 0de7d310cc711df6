"""`seesay world`: train and look at the embedded world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, arg, subcommand

from seesay.commands.counts import Count
from seesay.commands.options import Options
from seesay.commands.output import Output

if TYPE_CHECKING:
    from seesay.world.targets import Target


@final
@dataclass(frozen=True)
class Train:
    """Train the embedded world's models from nothing: about two and a half hours on two cores with bfloat16.

    The shipped weights come from this command. The SAEs need the extra `train`. Stages go on where they were stopped;
    the strengths, which take a minute, are chosen anew.

    Examples:
      seesay world train --out runs/world
      seesay world train --out runs/world --stage sae
      seesay world train --out runs/world --stage language --seeds 3
    """

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/world")
    """Where the checkpoints and the logs go; started again with the same folder, it goes on from there."""

    stage: Literal["all", "encoder", "language", "scorer", "judge", "sae", "strength"] = "all"
    """Which stage: the vision encoder, the three language models on the frozen encoder, the CLIP-like scorer, the
    judge, the SAEs of three blocks, or the strengths to steer their features with."""

    seeds: Annotated[Count, arg(metavar="N")] = 1
    """Language models of each size; those after the first are called S-1, M-1 and so on."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Train.

        Raises:
            MissingExtra: if the packages of the extra `train` are not installed.
            UnusablePath: if the folder cannot be written.
        """
        from seesay.world.training import train
        from seesay.world.training.config import STAGES, TrainingConfig, seeded

        output = Output(self.common)
        stages = STAGES if self.stage == "all" else (self.stage,)
        config = seeded(
            TrainingConfig(out=self.out, stages=stages, n_seeds=self.seeds, device=self.common.device),
            self.common.seed,
        )
        result = train(config)
        output.finish(
            result, next_steps=[f"seesay world evaluate --models {self.out}   what was reached, once all is trained"]
        )
        return 0


@final
@dataclass(frozen=True)
class Show:
    """Write a contact sheet: pictures of the embedded world with their captions.

    Examples:
      seesay world show
      seesay world show --n 48 --seed 7 --out sheet.png
    """

    out: Annotated[Path, arg(metavar="FILE")] = Path("contact-sheet.png")
    """The picture to write."""

    n: Count = 24
    """How many scenes."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Draw the scenes and write the sheet.

        Raises:
            UnusablePath: if the picture cannot be written.
        """
        from seesay.commands.loading import hush
        from seesay.world.show import show

        output = Output(self.common)
        hush(self.common)
        result = show(self.out, n=self.n, seed=self.common.seed, device=self.common.device, dtype=self.common.dtype)
        output.finish(
            result, next_steps=[f"look at {self.out}", "seesay demo   explains what a model of this world sees"]
        )
        return 0


@final
@dataclass(frozen=True)
class Evaluate:
    """Measure what the embedded world's models can do, beside what they must: some minutes on two cores.

    What is asked about pictures is asked about ones that no model was trained on, the same each time, whatever --seed.

    Examples:
      seesay world evaluate
      seesay world evaluate --models runs/world --json targets.json
    """

    models: Annotated[Path | None, arg(metavar="DIR")] = None
    """The folder of a training of your own; by default the models that come with seesay."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Measure and print.

        Raises:
            UnreadableModel: if a model is missing or damaged.
            UnreadableSAE: if an SAE is.
            MismatchedSAE: if an SAE is for another encoder.
        """
        from seesay import world
        from seesay.commands.loading import hush
        from seesay.world.targets import evaluate, load_models

        output = Output(self.common)
        hush(self.common)
        root = world.DATA if self.models is None else self.models
        models = load_models(root, device=self.common.device, dtype=self.common.dtype)
        with output.progress("measurements", total=models.n_measurements) as advance:
            targets, figures = evaluate(models, lambda: advance(1))
        output.console.print(_target_table(targets))
        output.console.print(_figure_table(figures))
        result = {"targets": [target.as_json() for target in targets], "figures": figures}
        output.finish(result, next_steps=["seesay demo   explains features that these models see"])
        return 0


def _target_table(targets: "Sequence[Target]") -> Table:
    table = Table(header_style="bold", title="What the world must reach", title_justify="left")
    table.add_column("quality")
    table.add_column("target", justify="right")
    table.add_column("reached", justify="right")
    table.add_column("met")
    for target in targets:
        bound = f"{'<=' if target.at_most else '>='} {target.target:g}"
        met = Text("yes", style="green") if target.met else Text("no", style="red")
        table.add_row(target.name, bound, f"{target.reached:g}", met)
    return table


def _figure_table(figures: "Mapping[str, float]") -> Table:
    table = Table(header_style="bold", title="Beside them", title_justify="left")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:g}")
    return table


@final
@dataclass(frozen=True)
class World:
    """The embedded world: small pictures with known truth, and small models that see them and speak."""

    action: (
        Annotated[Train, subcommand("train")]
        | Annotated[Show, subcommand("show")]
        | Annotated[Evaluate, subcommand("evaluate")]
    )

    def run(self) -> int:
        """Run the action chosen."""
        return self.action.run()
