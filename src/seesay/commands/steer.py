"""`seesay steer`: features into words, without a run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal, final

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, arg

from seesay.commands.counts import Count
from seesay.commands.loading import load_encoder, load_explainer
from seesay.commands.names import resolve_strength
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.records import Explanation, Strength, StrengthUnit
from seesay.selection import parse_features


@final
@dataclass(frozen=True)
class Steer:
    """Steer features on an empty image and print what the model says it sees.

    Nothing is stored, and no pictures are needed.

    Examples:
      seesay steer --features 42
      seesay steer --features 0-31,77 --control random
      seesay steer --subject google/gemma-3-4b-it --sae DIR --features 42 --strength 200
    """

    features: Annotated[str, arg(metavar="IDS")]
    """Ids and inclusive ranges with commas between: 42 or 0-499,777."""

    subject: Annotated[str, arg(metavar="MODEL")] = "world"
    """The model whose vision encoder the features belong to: a folder, a hub id, or world:S, world:M or world:L (world
    alone means world:L)."""

    explainer: Annotated[str | None, arg(metavar="MODEL")] = None
    """The vision-language model that says what it sees, if it is not the subject. Its vision encoder must be the
    subject's."""

    allow_different_encoder: bool = False
    """Steer even if the explainer's vision encoder is not the subject's; every explanation then names the first tensor
    that differs."""

    quantize: Annotated[Literal["4bit", "8bit"] | None, arg(metavar="4bit|8bit")] = None
    """Keep the explainer's language model in few bits (bitsandbytes); its vision encoder stays as it is."""

    spread: bool = False
    """Spread the explainer over all accelerators, and main memory if they do not suffice (accelerate)."""

    sae: Annotated[str, arg(metavar="SAE")] = "world:late"
    """The sparse autoencoder of one of its vision blocks: world:early, world:middle or world:late, or a folder, file or
    hub id in any of the formats of SAELens, dictionary_learning, sparsify, overcomplete, saev and Prisma, or plain
    directions."""

    layer: Annotated[int | None, arg(metavar="L")] = None
    """The vision block to steer, counted from 0; by default the one that the SAE was made for."""

    strength: Annotated[float | None, arg(metavar="X")] = None
    """How hard to push; negative suppresses. By default the calibrated one, which the world's SAEs come with."""

    strength_unit: Annotated[StrengthUnit | None, arg(metavar="coefficient|residual_norm|max_activation")] = None
    """What a strength of 1 means: a coefficient (the default), the mean residual norm of the empty image, or the
    feature's own largest activation."""

    empty: Literal["white", "black", "grey", "noise"] = "white"
    """The empty image that is steered."""

    control: Annotated[Literal["random", "permuted"] | None, arg(metavar="random|permuted")] = None
    """Steer something else instead, to see what words are worth: a random direction, or another feature's."""

    prompts: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder with a steering.txt to ask instead, and an opening.txt if it names {opening}."""

    max_new_tokens: Count = 64
    """At most so many tokens an explanation."""

    batch_size: Count = 64
    """Features at a time; halved as often as memory asks for it. It does not change the words."""

    finding: Annotated[SAEOptions, OmitArgPrefixes] = field(default_factory=SAEOptions)

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Load, steer, print.

        Raises:
            SeesayError: whatever is wrong with the model, the SAE, the features or the strength.
        """
        output = Output(self.common)
        feature_ids = parse_features(self.features)
        strength = resolve_strength(self.strength, self.strength_unit, self.sae, self.explainer or self.subject)
        explanations = self._explain(output, feature_ids, strength)
        output.console.print(explanation_table(explanations))
        output.finish(
            {
                "subject": self.subject,
                "explainer": self.explainer or self.subject,
                "quantize": self.quantize,
                "device": self.common.device,
                "dtype": self.common.dtype,
                "sae": self.sae,
                "layer": self.layer,
                "prompts": None if self.prompts is None else str(self.prompts),
                "empty": self.empty,
                "max_new_tokens": self.max_new_tokens,
                "seed": self.common.seed,
                "explanations": [asdict(explanation) for explanation in explanations],
            },
            next_steps=self._next_steps(),
        )
        return 0

    def _explain(self, output: Output, feature_ids: Sequence[int], strength: Strength) -> list[Explanation]:
        from seesay.explainers.steering import explain
        from seesay.vlm.identity import encoder_difference

        sae = self.finding.load(self.sae)
        sae.directions(feature_ids)  # refuses unknown features before a large model is loaded
        layer = self.finding.layer(self.sae, sae, self.layer)
        # The subject first: it is the smaller one, and what is wrong with it is known sooner.
        subject = (
            None if self.explainer in (None, self.subject) else load_encoder(self.subject, self.common, compared=True)
        )
        vlm = load_explainer(
            self.explainer or self.subject,
            self.common,
            prompts=self.prompts,
            quantize=self.quantize,
            spread=self.spread,
        )
        differs_in = (
            "" if subject is None else encoder_difference(subject, vlm.encoder, allowed=self.allow_different_encoder)
        )
        if differs_in:
            output.console.print(f"The explainer's vision encoder is not the subject's: {differs_in} differs.")
        vlm.encoder.check_layer(layer, steered=True)
        self.finding.remark(output, self.sae, sae, layer)
        with output.progress("steering", total=len(feature_ids)) as advance:
            return explain(
                vlm,
                sae,
                feature_ids,
                layer=layer,
                strength=strength,
                control=self.control,
                empty=self.empty,
                seed=self.common.seed,
                batch_size=self.batch_size,
                max_new_tokens=self.max_new_tokens,
                encoder_differs_in=differs_in,
                on_batch=lambda explanations: advance(len(explanations)),
            )

    def _next_steps(self) -> list[str]:
        steps = ["try another --strength: too weak repeats the empty image, too strong says the same for all"]
        if self.control is None:
            steps.append("add --control random to see what words a direction without a meaning gets")
        return steps


def explanation_table(explanations: Sequence[Explanation]) -> Table:
    """Explanations as a table for the terminal.

    Args:
        explanations: of one method and one strength.
    """
    table = Table(header_style="bold")
    table.add_column("feature", justify="right")
    table.add_column("strength", justify="right")
    table.add_column("words", overflow="fold", ratio=1)
    table.add_column("log-prob", justify="right")
    for explanation in explanations:
        log_probability = explanation.mean_log_probability
        table.add_row(
            str(explanation.feature_id),
            Text(f"{explanation.coefficient:.4g}"),
            _words(explanation),
            "" if log_probability is None else f"{log_probability:.2f}",
        )
    return table


def _words(explanation: Explanation) -> Text:
    # Text, because the model's words are no markup, whatever brackets it says
    match explanation.status:
        case "ok":
            return Text(explanation.text)
        case "empty":
            return Text("no words", style="dim")
        case "failed":
            return Text("failed", style="red")
