"""`seesay collect`: one pass over images, for what they tell of every feature."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from tyro.conf import OmitArgPrefixes, arg

from seesay.commands.counts import Count, OptionalCount
from seesay.commands.images import ImageOptions
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.commands.sharing import SharingOptions
from seesay.errors import UnusablePath
from seesay.exemplars.config import CollectionConfig

if TYPE_CHECKING:
    from seesay.pipeline.looking import Subject


@final
@dataclass(frozen=True)
class Looks:
    """Loads what looks at the images, wherever it is called.

    Args:
        subject: the model, as given, as are the others.
        sae: of its features.
        finding: of the SAE.
        layer: the block.
        common: options of every command.
    """

    subject: str
    sae: str
    finding: SAEOptions
    layer: int | None
    common: Options

    def __call__(self) -> "Subject":
        """Load it.

        Raises:
            SeesayError: whatever is wrong with the model and the SAE.
        """
        from seesay.commands.loading import load_encoder
        from seesay.pipeline.looking import Subject

        sae = self.finding.load(self.sae)
        layer = self.finding.layer(self.sae, sae, self.layer)
        encoder = load_encoder(self.subject, self.common)
        sae.check_fits(encoder.d_model)
        encoder.check_layer(layer)
        output = Output(replace(self.common, json=None))
        with output.console.capture() as said:
            self.finding.remark(output, self.sae, sae, layer)
        names = {"subject": self.subject, "sae": self.sae, "sae_options": vars(self.finding)}
        return Subject(encoder, sae.to(encoder.device), layer, names, said.get())


@final
@dataclass(frozen=True)
class Collect:
    """Find the images that activate each feature, where on them, how often and how much: a run's beginning.

    Images go once through the vision encoder and the SAE. Kept are, for every feature, the most activating images, some
    from every quantile of those that activate it, some that do not, all with heatmaps and as thumbnails, so that the
    images are not needed again. Half of the images, by a hash of their pixels, are for explaining features, the other
    half for scoring the explanations.

    A run that was stopped goes on by the same command.

    Examples:
      seesay collect --images world:2000 --out runs/world-late
      seesay collect --subject google/gemma-3-4b-it --sae DIR --images DIR --out runs/gemma-16
    """

    images: Annotated[str, arg(metavar="SRC")]
    """The images: a folder, shards (shards-{000..099}.tar), a dataset on the hub, or world:N."""

    out: Annotated[Path, arg(metavar="RUN")]
    """The run: a folder, which is made."""

    subject: Annotated[str, arg(metavar="MODEL")] = "world"
    """The model whose vision encoder looks at them: a folder, a hub id, or world:S, world:M or world:L."""

    sae: Annotated[str, arg(metavar="SAE")] = "world:late"
    """The SAE: a folder, a file, a hub id, or world:early, world:middle or world:late."""

    layer: Annotated[int | None, arg(metavar="L")] = None
    """The vision block, counted from 0; by default the one that the SAE was made for."""

    by: Literal["mean", "max"] = "mean"
    """What makes one activation of an image's patches: their mean, or the largest."""

    top: Count = 10
    """The most activating images of each feature that are kept, in each half."""

    quantiles: Count = 4
    """Into how many parts, from the least to the most active, the activating images are divided."""

    per_quantile: Count = 5
    """Images that are kept from each part, in each half."""

    inactive: Count = 10
    """Images that do not activate a feature, in each half."""

    n_images: OptionalCount = None
    """At most so many images, the first ones; by default all."""

    batch_size: Count = 32
    """Images at a time."""

    finding: Annotated[SAEOptions, OmitArgPrefixes] = field(default_factory=SAEOptions)
    sharing: Annotated[SharingOptions, OmitArgPrefixes] = field(default_factory=SharingOptions)

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)
    reading: Annotated[ImageOptions, OmitArgPrefixes] = field(default_factory=ImageOptions)

    @property
    def config(self) -> CollectionConfig:
        """What is kept."""
        return CollectionConfig(
            reduction=self.by,
            n_top=self.top,
            n_quantiles=self.quantiles,
            n_per_quantile=self.per_quantile,
            # Twice as many as are shown, so that the borders of the quantiles are sound.
            n_sampled=2 * self.quantiles * self.per_quantile,
            n_inactive=self.inactive,
        )

    def run(self) -> int:
        """Collect.

        Raises:
            SeesayError: whatever is wrong with the model, the SAE, the images or the folder.
        """
        from seesay.pipeline.checkpoint import n_collected
        from seesay.pipeline.collecting import STAGE, collect
        from seesay.pipeline.looking import Looking
        from seesay.store.run import Run

        output = Output(self.common)
        self._check_out()
        self.sharing.check(self.common)
        source = self.reading.open(self.images)
        if self.n_images is not None:
            from seesay.images.sources import First

            source = First(source, self.n_images)
        with self.sharing.crew(
            Looks(self.subject, self.sae, self.finding, self.layer, self.common), self.common
        ) as crew:
            known = crew.facts(Looking(self.batch_size))
            output.remark(known["remarks"])
            try:
                with (
                    Run.writing(self.out, known["subject"]) as run,
                    output.progress("collecting", total=source.n_images) as advance,
                ):
                    if run.finished(STAGE):
                        output.console.print("It is collected already.")
                    elif before := n_collected(self.out):
                        output.console.print(f"Going on after {before} images.")
                    summary = collect(run, crew, source, self.config, images_at_once=self.batch_size, on_batch=advance)
            except KeyboardInterrupt:
                output.console.print(_stopped(n_collected(self.out)))
                raise
        output.console.print(_in_words(summary))
        layer = known["subject"]["layer"]
        output.finish(
            {"run": str(self.out), "subject": self.subject, "sae": self.sae, "layer": layer, **summary},
            next_steps=[
                f"seesay features {self.out} --sort frequency   which features there are",
                f"seesay explain {self.out} --method topk   put them into words",
            ],
        )
        return 0

    def _check_out(self) -> None:
        """Refuse a run among the images, which would be images of the next collection."""
        images, out = Path(self.images).resolve(), self.out.resolve()
        if images.is_dir() and out.is_relative_to(images):
            raise UnusablePath(f"the run {self.out} within the images {self.images}", expected="a folder elsewhere")


def _stopped(n: int) -> str:
    if not n:
        return "Stopped before the first checkpoint: the same command begins anew."
    return f"Stopped: the same command goes on after the first {n} images."


def _in_words(summary: dict[str, Any]) -> str:
    repeated = summary["n_images"] - summary["n_distinct_images"]
    return (
        f"images: {summary['n_images']}"
        + (f" ({repeated} repeated)" if repeated else "")
        + f"; of these kept, for any feature: {summary['n_kept_images']}; "
        f"features active: {summary['n_live_features']} of {summary['n_features']}"
    )
