"""`seesay demo`: features of the embedded world's encoder, in words, beside the truth."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, final

from tyro.conf import OmitArgPrefixes, arg

from seesay.commands.counts import OptionalCount
from seesay.commands.options import Options
from seesay.commands.output import Output


@final
@dataclass(frozen=True)
class Demo:
    """Explain the features of a small vision model, and check each against the known truth.

    Works offline with what is shipped: a small world of pictures, models of three sizes that see and speak, and sparse
    autoencoders of three of their blocks. Features are explained by steering, by the images that activate them most,
    and by both at once. Controls show what words are worth: random directions and images, and those of other features.

    Examples:
      seesay demo
      seesay demo --subject world:S --sae world:early
      seesay demo --max-features 40 --out runs/small
    """

    subject: Annotated[str, arg(metavar="world:S|M|L")] = "world"
    """Which of the world's models: world:S, world:M or world:L; world alone means world:L."""

    sae: Annotated[str, arg(metavar="world:BLOCK")] = "world:late"
    """Whose features: those of world:early, world:middle or world:late."""

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/demo")
    """Where summary.json, report.html and the run go."""

    max_features: OptionalCount = None
    """Explain the first so many; by default all test features (on which nothing was chosen) that stand for something
    there is a word for."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Explain, check, print.

        Raises:
            UnusablePath: if the folder cannot be written.
            UnreadableModel: if the world has no such model.
            UnreadableSAE: if it has no such SAE.
        """
        from seesay.commands.loading import hush
        from seesay.commands.report import Report
        from seesay.demo import RUN, demo

        output = Output(self.common)
        hush(self.common)
        summary = demo(
            subject=self.subject,
            sae_name=self.sae,
            out=self.out,
            max_features=self.max_features,
            device=self.common.device,
            dtype=self.common.dtype,
            seed=self.common.seed,
            console=output.console,
            progress=output.progress,
        )
        page = self.out / "report.html"
        Report((self.out / RUN,), out=page, common=self.common).write(output)
        output.finish(
            summary,
            next_steps=[
                f"python3 -m webbrowser {page.resolve().as_uri()}   the report, with figures and pictures",
                f"seesay serve {self.out / RUN} --with-model   all features in a browser, and the model asked",
                f"seesay show {self.out / RUN} 10   all that is known of one feature, with pictures",
                f"seesay explain {self.out / RUN} --method one-word   another way, for all features of the run",
                f"seesay steer --features 50,61 --subject {self.subject} --sae {self.sae}   features of your choice",
                "seesay world show   new pictures of its world, and what it says of them",
            ],
        )
        return 0
