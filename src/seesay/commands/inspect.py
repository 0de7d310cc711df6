"""`seesay inspect`: what an SAE is, and how well it does on images."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.counts import Count
from seesay.commands.images import ImageOptions
from seesay.commands.loading import load_encoder
from seesay.commands.names import is_world
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions

if TYPE_CHECKING:
    from seesay.sae import SAE
    from seesay.sae.quality import Quality

_DECADES = range(-6, 0)


@final
@dataclass(frozen=True)
class Inspect:
    """Tell what an SAE is: format, sizes, activation, norms. With images, also how well it stands for them.

    Examples:
      seesay inspect world:middle
      seesay inspect world:middle --images world:500@50000
      seesay inspect DIR --subject google/gemma-3-4b-it --images DIR --n-images 1000
    """

    sae: Positional[Annotated[str, arg(metavar="SAE")]]
    """The SAE: a folder, a file, a hub id, or world:early, world:middle or world:late."""

    images: Annotated[str | None, arg(metavar="SRC")] = None
    """Images to measure it on: a folder, shards (shards-{000..099}.tar), a dataset on the hub, or world:N."""

    subject: Annotated[str, arg(metavar="MODEL")] = "world"
    """With images: the model whose vision encoder looks at them."""

    layer: Annotated[int | None, arg(metavar="L")] = None
    """With images: the block; by default the one that the SAE was made for."""

    n_images: Count = 500
    """At most so many images, the first ones."""

    finding: Annotated[SAEOptions, OmitArgPrefixes] = field(default_factory=SAEOptions)

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)
    reading: Annotated[ImageOptions, OmitArgPrefixes] = field(default_factory=ImageOptions)

    def run(self) -> int:
        """Load, measure, print.

        Raises:
            SeesayError: whatever is wrong with the SAE, the model or the images.
        """
        output = Output(self.common)
        sae = self.finding.load(self.sae)
        facts = sae_facts(sae)
        output.console.print(facts_table(facts))
        measured: dict[str, Any] = {}
        if self.images is not None:
            quality = self._measure(output, sae, self.images)
            measured = quality_facts(quality)
            output.console.print(quality_table(quality))
        output.finish({"sae": self.sae, **facts, **measured}, next_steps=self._next_steps(sae))
        return 0

    def _measure(self, output: Output, sae: "SAE", images: str) -> "Quality":
        from seesay.sae.quality import measure

        layer = self.finding.layer(self.sae, sae, self.layer)
        source = self.reading.open(images)
        encoder = load_encoder(self.subject, self.common)
        encoder.check_layer(layer)
        self.finding.remark(output, self.sae, sae, layer)
        total = self.n_images if source.n_images is None else min(self.n_images, source.n_images)
        with output.progress("measuring", total=total) as advance:
            return measure(sae.to(encoder.device), encoder, layer, source, n_images=self.n_images, on_batch=advance)

    def _next_steps(self, sae: "SAE") -> list[str]:
        can_be_measured = sae.W_enc is not None and not self.images
        steps = ["add --images SRC to see how well it stands for what an encoder sees"] if can_be_measured else []
        is_calibrated = is_world(self.sae) and is_world(self.subject)
        strength = "" if is_calibrated else " --strength 1 --strength-unit residual_norm"
        steer = f"seesay steer --subject {self.subject} --sae {self.sae} --features 0-9{strength}"
        return [*steps, f"{steer}   some of its features, in words"]


def sae_facts(sae: "SAE") -> dict[str, Any]:
    """What an SAE is, as plain data."""
    norms = sae.W_dec.norm(dim=-1) if sae.gain is None else sae.gain
    return {
        "format": sae.provenance.format,
        "features": sae.n_features,
        "d_model": sae.d_model,
        "activation": sae.activation,
        "k": sae.k,
        "normalization": sae.normalization,
        "subtracts_b_dec": sae.subtract_b_dec,
        "smallest_decoder_norm": norms.min().item(),
        "median_decoder_norm": norms.median().item(),
        "largest_decoder_norm": norms.max().item(),
        "b_dec_norm": sae.b_dec.norm().item(),
        "subject": sae.provenance.subject,
        "layer": sae.provenance.layer,
        "hook": sae.provenance.hook,
        "dataset": sae.provenance.dataset,
    }


def facts_table(facts: dict[str, Any]) -> Table:
    """What an SAE is, for the terminal.

    Args:
        facts: as `sae_facts` gives them.
    """
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        shown = f"{value:.4g}" if isinstance(value, float) else "not recorded" if value is None else str(value)
        # Text without its control characters: names come from files, and are no markup
        table.add_row(name.replace("_", " "), Text("".join(each for each in shown if each.isprintable())))
    return table


def quality_facts(quality: "Quality") -> dict[str, Any]:
    """What was measured, as plain data."""
    return {
        "n_images": quality.n_images,
        "n_patches": quality.n_patches,
        "variance_explained": quality.variance_explained,
        "l0": quality.l0,
        "dead_share": quality.dead_share,
        "frequency": quality.frequency.tolist(),
    }


def quality_table(quality: "Quality") -> Table:
    """What was measured, for the terminal, with how many features are active how often."""
    table = Table(show_header=False, box=None)
    table.add_row("images", f"{quality.n_images}, {quality.n_patches} patches")
    table.add_row("variance explained", f"{quality.variance_explained:.4f}")
    table.add_row("L0", f"{quality.l0:.2f} features a patch")
    table.add_row("never active here", f"{quality.dead_share:.2%} of the features")
    decades = quality.frequency.clamp_min(1e-12).log10().floor().clamp(_DECADES[0], _DECADES[-1])
    counts = [int(((decades == decade) & (quality.frequency > 0)).sum()) for decade in _DECADES]
    for decade, count in zip(_DECADES, counts, strict=True):
        bar = "█" * round(40 * count / max(1, *counts))
        table.add_row(f"active on 1e{decade} to 1e{decade + 1} of the patches", f"{count:6d} {bar}")
    return table
