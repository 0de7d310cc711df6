"""`seesay steer`: features into words, without a run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

from rich.table import Table
from tyro.conf import OmitArgPrefixes, arg

from seesay.commands.card import words_of
from seesay.commands.choices import one_of
from seesay.commands.counts import Count
from seesay.commands.explaining_options import (
    DecodingOptions,
    ExplainerOptions,
    ShowingOptions,
    SteeringOptions,
    setting_of,
)
from seesay.commands.names import given_strength, resolve_strength
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.planning import Planned, PlanOptions, tell_plan
from seesay.commands.sae_options import SAEOptions
from seesay.commands.speaking import Named, load_together
from seesay.errors import InvalidSetting
from seesay.records import Explanation, StrengthUnit
from seesay.selection import parse_along, parse_features

if TYPE_CHECKING:
    from seesay.explainers.config import Setting
    from seesay.explainers.sights import Ground

_Control = Literal["random", "permuted", "none"]


@final
@dataclass(frozen=True)
class Steer:
    """Steer features on an empty image, or on your own, and print what the model says it sees.

    Nothing is stored, and no pictures are needed.

    Examples:
      seesay steer --features 42
      seesay steer --features 0-31,77 --control random
      seesay steer --features 42 --along 17:-1.5 --image photo.jpg
      seesay steer --subject google/gemma-3-4b-it --sae DIR --features 42 --strength 200
    """

    features: Annotated[str, arg(metavar="IDS")]
    """Ids and inclusive ranges with commas between: 42 or 0-499,777."""

    subject: Annotated[str, arg(metavar="MODEL")] = "world"
    """The model whose vision encoder the features belong to: a folder, a hub id, or world:S, world:M or world:L (world
    alone means world:L)."""

    sae: Annotated[str, arg(metavar="SAE")] = "world:late"
    """The sparse autoencoder of one of its vision blocks: world:early, world:middle or world:late, or a folder, file or
    hub id in any of the formats of SAELens, dictionary_learning, sparsify, overcomplete, saev and Prisma, or plain
    directions."""

    layer: Annotated[int | None, arg(metavar="L")] = None
    """The vision block to steer, counted from 0; by default the one that the SAE was made for."""

    strength: Annotated[float | None, arg(metavar="X")] = None
    """How hard to push; negative suppresses. By default the calibrated one, which the world's SAEs come with."""

    strength_unit: Annotated[StrengthUnit | None, one_of(StrengthUnit)] = None
    """What a strength of 1 means: a coefficient (the default), the mean residual norm of the empty image, or a nat by
    which the answer's first word is moved."""

    method: Literal["steering", "one-word", "vocabulary", "token-change"] = "steering"
    """How words are found: ask what is seen; clamp the feature and ask for a word; or take the tokens that the steered
    image comes nearest to, or that steering makes more probable, without any answer."""

    image: Annotated[Path | None, arg(metavar="FILE")] = None
    """A picture of your own to steer on, instead of an empty image."""

    along: Annotated[str | None, arg(metavar="ID:X,...")] = None
    """Features that are pushed along with each of the others, and how hard, in the unit of --strength: 17:-1.5,99:2."""

    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """What to ask instead of the method's own question."""

    control: Annotated[_Control | None, one_of(_Control)] = None
    """Steer something else instead, to see what words are worth: a random direction, another feature's, or nothing."""

    batch_size: Count = 64
    """Features at a time; halved as often as memory asks for it. It does not change the words."""

    who: Annotated[ExplainerOptions, OmitArgPrefixes] = field(default_factory=ExplainerOptions)
    steering: Annotated[SteeringOptions, OmitArgPrefixes] = field(default_factory=SteeringOptions)
    words: Annotated[DecodingOptions, OmitArgPrefixes] = field(default_factory=DecodingOptions)
    finding: Annotated[SAEOptions, OmitArgPrefixes] = field(default_factory=SAEOptions)

    dry: Annotated[PlanOptions, OmitArgPrefixes] = field(default_factory=PlanOptions)
    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Load, steer, print.

        Raises:
            SeesayError: whatever is wrong with the model, the SAE, the features or the strength.
        """
        from seesay.vlm.parallel import leaving_together

        output = Output(self.common, is_silent=self.who.is_silent)
        feature_ids = parse_features(self.features)
        self.steering.check_no_adapter("steer")
        self.dry.check()
        if self.dry.plan:
            return self._plan(output, len(feature_ids))
        strength = resolve_strength(
            self.strength, self.strength_unit, self.sae, self.who.explainer or self.subject, self.method
        )
        setting = setting_of(
            self.method, strength, self.control, self.steering, ShowingOptions(), self.words, self.common.seed
        )
        ground = self._ground()
        with leaving_together():
            explanations = self._explain(output, feature_ids, setting, ground)
        output.console.print(explanation_table(explanations))
        output.finish(
            {
                "subject": self.subject,
                "explainer": self.who.explainer or self.subject,
                "quantize": self.who.quantize,
                "device": self.common.device,
                "dtype": self.common.dtype,
                "sae": self.sae,
                "layer": self.layer,
                "prompts": None if self.who.prompts is None else str(self.who.prompts),
                "prompt": self.prompt,
                "image": None if self.image is None else str(self.image),
                "along": dict(ground.along),
                **setting.facts,
                "explanations": [asdict(explanation) for explanation in explanations],
            },
            next_steps=self._next_steps(),
        )
        return 0

    def _plan(self, output: Output, n_features: int) -> int:
        """Tell what it would take."""
        strength = given_strength(self.strength, self.strength_unit)
        setting = setting_of(
            self.method, strength, self.control, self.steering, ShowingOptions(), self.words, self.common.seed
        )
        named = Named(self.subject, self.sae, self.finding, self.layer)
        planned = Planned(named, self.who, setting, n_features, self.batch_size)
        return tell_plan(planned, self.dry, self.common, output)

    def _ground(self) -> "Ground":
        from seesay.explainers.sights import Ground
        from seesay.images.decoding import decode

        if self.image is not None and self.steering.empty != SteeringOptions().empty:
            raise InvalidSetting(f"--empty {self.steering.empty} beside --image", expected="one of them")
        along = parse_along(self.along)
        return Ground(None if self.image is None else decode(self.image), tuple(along.items()))

    def _explain(
        self, output: Output, feature_ids: Sequence[int], setting: "Setting", ground: "Ground"
    ) -> list[Explanation]:
        from seesay.explainers.steering import image_free

        named = Named(self.subject, self.sae, self.finding, self.layer)
        loaded = load_together(named, self.who, self.common, output, feature_ids=feature_ids)
        explainer = image_free(
            loaded.vlm,
            loaded.sae,
            feature_ids,
            setting,
            layer=loaded.layer,
            encoder_differs_in=loaded.encoder_differs_in,
            ground=ground,
            prompt=self.prompt,
        )
        explanations: list[Explanation] = []
        with output.progress(self.method, total=len(feature_ids)) as advance:
            for batch in explainer.explain(feature_ids, self.batch_size):
                explanations += batch
                advance(len({each.feature_id for each in batch}))
        return explanations

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
    coarse = {each.coarse for each in explanations} - {1}
    title = f"an approximation: coarse {', '.join(map(str, sorted(coarse)))}" if coarse else None
    table = Table(header_style="bold", title=title)
    table.add_column("feature", justify="right")
    table.add_column("strength", justify="right")
    table.add_column("words", overflow="fold", ratio=1)
    table.add_column("log-prob", justify="right")
    for explanation in explanations:
        log_probability = explanation.mean_log_probability
        table.add_row(
            str(explanation.feature_id),
            "" if explanation.coefficient is None else f"{explanation.coefficient:.4g}",
            words_of(explanation),
            "" if log_probability is None else f"{log_probability:.2f}",
        )
    return table
