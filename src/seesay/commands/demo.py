"""`seesay demo`: features of the embedded world's encoder, in words, beside the truth."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, final

from tyro.conf import OmitArgPrefixes, arg

from seesay.commands.counts import Count
from seesay.commands.options import Options
from seesay.commands.output import Output


@final
@dataclass(frozen=True)
class Demo:
    """Explain the features of a small vision model by steering, and check each against the known truth.

    Works offline with what is shipped: a small world of pictures, a model that sees and speaks, and a sparse
    autoencoder of its middle block. Two controls show what words are worth: random directions, permuted features.

    Examples:
      seesay demo
      seesay demo --max-features 40 --out runs/small
    """

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/demo")
    """Where summary.json goes."""

    max_features: Annotated[Count | None, arg(metavar="N")] = None
    """Explain at most so many features; by default every live one that chose nothing (the test features)."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Explain, check, print.

        Raises:
            UnusablePath: if the folder cannot be written.
        """
        from seesay.commands.loading import hush
        from seesay.demo import demo

        output = Output(self.common)
        hush(self.common)
        summary = demo(
            out=self.out,
            max_features=self.max_features,
            device=self.common.device,
            dtype=self.common.dtype,
            seed=self.common.seed,
            console=output.console,
            progress=output.progress,
        )
        output.finish(
            summary,
            next_steps=[
                "seesay steer --features 6,45      one feature, at a strength of your own",
                "seesay world show                 new pictures of its world, and what it says of them",
            ],
        )
        return 0
