"""`seesay world`: train and look at the embedded world."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, final

from tyro.conf import OmitArgPrefixes, arg, subcommand

from seesay.commands.counts import Count
from seesay.commands.options import Options
from seesay.commands.output import Output


@final
@dataclass(frozen=True)
class Train:
    """Train the embedded world's models from nothing: one to two hours on two cores, resumable.

    The shipped weights come from this command. It needs the extra `train`.

    Examples:
      seesay world train --out runs/world
      seesay world train --out runs/world --stage sae
    """

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/world")
    """Where the checkpoints and the log go; started again with the same folder, it goes on where it stopped."""

    stage: Literal["all", "encoder", "language", "sae", "strength"] = "all"
    """Which stage: the vision encoder, the language model on the frozen encoder, the SAE of its middle block, or the
    strength to steer that SAE's features with."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Train what is not trained yet.

        Raises:
            MissingExtra: if the packages of the extra `train` are not installed.
            UnusablePath: if the folder cannot be written.
        """
        from seesay.world.training import BLOCK, LANGUAGE_MODEL, train
        from seesay.world.training.config import STAGES, EncoderConfig, LanguageConfig, SAEConfig, TrainingConfig

        output = Output(self.common)
        seed = self.common.seed
        config = TrainingConfig(
            out=self.out,
            stages=STAGES if self.stage == "all" else (self.stage,),
            encoder=EncoderConfig(seed=seed),
            language=LanguageConfig(seed=seed + 1),
            sae=SAEConfig(seed=seed + 2),
        )
        result = train(config)
        made = f"--subject {self.out}/vlm/{LANGUAGE_MODEL} --sae {self.out}/sae/{BLOCK}"
        how = "--features 0-31 --strength 1.5 --strength-unit residual_norm"
        output.finish(result, next_steps=[f"seesay steer {made} {how}   once all stages are done"])
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
class World:
    """The embedded world: small pictures with known truth, and a small model that sees them and speaks."""

    action: Annotated[Train, subcommand("train")] | Annotated[Show, subcommand("show")]

    def run(self) -> int:
        """Run the action chosen."""
        return self.action.run()
