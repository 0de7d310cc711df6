"""`seesay explain`: a run's features into words."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.choices import one_of
from seesay.commands.counts import Count, OptionalCount
from seesay.commands.explaining_options import (
    ControlOption,
    DecodingOptions,
    ExplainerOptions,
    ShowingOptions,
    SteeringOptions,
    setting_of,
)
from seesay.commands.names import given_strength, resolve_run_strength
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.planning import Planned, PlanOptions, left_in, tell_plan
from seesay.commands.sae_options import SAEOptions
from seesay.commands.sharing import SharingOptions
from seesay.commands.speaking import Named, check_names, speaking, stopping, taught_for, together
from seesay.errors import FeatureNotFound, InvalidSetting, UnusablePath
from seesay.explainers.config import IMAGES_AT_ONCE, METHODS
from seesay.records import Method, Split, StrengthUnit
from seesay.selection import parse_features

if TYPE_CHECKING:
    from seesay.explainers.adapter import Adapter
    from seesay.explainers.config import Setting
    from seesay.explainers.lens import Lens
    from seesay.pipeline.speakers import Voice
    from seesay.records import Explanation, Status
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Run

_N_SHOWN = 12
_METHODS = "|".join(method for method, way in METHODS.items() if way.finds)


@final
@dataclass(frozen=True)
class Explain:
    """Put a run's features into words and keep the words in the run.

    Methods: steering pushes a feature on an empty image and asks what is seen; topk shows the images that activate it
    most; hybrid shows the same and pushes it there, where it is active. With a lens (seesay teach), which tells what
    phrases fit what a feature reads, steering+ needs no images; topk+ and hybrid+ hold these against them. Baselines:
    one-word clamps it on an empty image and asks for a word; vocabulary and token-change need no answer at all, dissect
    (CLIP-Dissect) no language model.

    Only what is missing is asked; the same command goes on after a stop or a kill, and tries again what failed. Several
    methods, explainers, strengths and controls live side by side in one run.

    Examples:
      seesay explain runs/x --method hybrid
      seesay explain runs/x --method steering --strength 2 --strength-unit residual_norm --features 0-499
      seesay explain runs/x --method topk --control random
      seesay explain runs/x --method hybrid --plan
      seesay explain runs/new --subject google/gemma-3-4b-it --sae DIR --method steering --features 0-9 --strength 200
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder. One that is not there is begun without images, if --sae says whose features it is of and
    nothing has to be taught in it."""

    method: Annotated[Method, arg(metavar=_METHODS)] = "steering"
    """How words are found."""

    features: Annotated[str | None, arg(metavar="IDS")] = None
    """Ids and inclusive ranges with commas between: 42 or 0-499,777; by default all that an exemplar activates."""

    split: Annotated[Split | None, one_of(Split)] = None
    """Only features of this part: strengths are chosen on validation features, figures come from test features."""

    limit: OptionalCount = None
    """Only the first so many of them, those that are done already among them."""

    strength: Annotated[float | None, arg(metavar="X")] = None
    """How hard to push; by default what seesay calibrate chose for this run, or what the world's SAEs come with."""

    strength_unit: Annotated[StrengthUnit | None, one_of(StrengthUnit)] = None
    """What a strength of 1 means: a coefficient (the default), the mean residual norm of the empty image, the feature's
    own largest activation, or a nat by which the answer's first word is moved."""

    control: ControlOption = None
    """Put something else in the feature's place: random (a random direction, images drawn at random), or permuted
    (another feature's). Or take a part away: none (no push), random-direction, permuted-direction; and of the hybrid's
    images: random-images, permuted-images."""

    batch_size: Count = 64
    """Features that are explained and written together; halved as often as memory asks for it. Like the next two, it
    does not change the words."""

    images_at_once: Count = IMAGES_AT_ONCE
    """Images that the vision encoder takes in one pass; halved as often as memory asks for it."""

    questions_at_once: OptionalCount = None
    """Questions that the language model answers at a time: whoever is done makes room for the next of the batch. By
    default all of a batch."""

    vocabulary: Annotated[Path | None, arg(metavar="FILE")] = None
    """What dissect can say: a text file, one phrase a line; in the embedded world by default all that it has words
    for."""

    embedder: Annotated[str | None, arg(metavar="MODEL")] = None
    """What dissect looks with: CLIP (by default ViT-L/14), SigLIP or SigLIP 2; in the embedded world its own."""

    subject: Annotated[str | None, arg(metavar="MODEL")] = None
    """The model whose vision encoder the features belong to; by default what the run says."""

    sae: Annotated[str | None, arg(metavar="SAE")] = None
    """The SAE; by default what the run says."""

    layer: Annotated[int | None, arg(metavar="L")] = None
    """The vision block; by default what the run says, or the one that the SAE was made for."""

    who: Annotated[ExplainerOptions, OmitArgPrefixes] = field(default_factory=ExplainerOptions)
    steering: Annotated[SteeringOptions, OmitArgPrefixes] = field(default_factory=SteeringOptions)
    showing: Annotated[ShowingOptions, OmitArgPrefixes] = field(default_factory=ShowingOptions)
    words: Annotated[DecodingOptions, OmitArgPrefixes] = field(default_factory=DecodingOptions)
    finding: Annotated[SAEOptions, OmitArgPrefixes] = field(default_factory=SAEOptions)
    dry: Annotated[PlanOptions, OmitArgPrefixes] = field(default_factory=PlanOptions)
    sharing: Annotated[SharingOptions, OmitArgPrefixes] = field(default_factory=SharingOptions)
    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Load, explain, print.

        Raises:
            SeesayError: whatever is wrong with the run, the models or what is asked for.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        output = Output(self.common, is_silent=self.who.is_silent)
        setting = self._setting()
        self.sharing.check(self.common, spread=self.who.spread, tensor_parallel=self.who.tensor_parallel)
        selected = None if self.features is None else parse_features(self.features)
        self.dry.check()
        if self.dry.plan and self.steering.adapter:
            raise InvalidSetting("--plan with --adapter", expected="one of the two: steering without it takes the same")
        if self.dry.plan and not self.sharing.is_local:
            raise InvalidSetting("--plan with --backend ray", expected="one of the two: plan for one worker's share")
        self._check_teachable(setting)
        if self.dry.plan:
            return self._plan(output, setting, selected)
        if self.method == "dissect":
            return self._dissect(output, selected)
        with (
            ExitStack() as stack,
            speaking(
                self.path,
                steers=setting.way.steers or setting.way.reads,
                subject=self.subject,
                sae=self.sae,
                layer=self.layer,
                finding=self.finding,
                who=self.who,
                common=self.common,
                check=lambda run: self._features(run, setting, selected),
                begin=lambda loading: together(loading, self.sharing, stack, output),
                feature_ids=selected or (),
            ) as (run, speaker, named, feature_ids),
        ):
            from seesay.pipeline.explaining import explain
            from seesay.store.explanations import explanations, n_explained

            setting, lens, adapter = self._with_taught(run, speaker.voice, setting)
            taught = adapter or (lens if not setting.way.shows else None)
            if setting.way.steers and setting.strength is None and setting.control != "none":
                strength, source = resolve_run_strength(run, speaker.voice, setting, named.sae)
                setting = replace(setting, strength=strength)
            else:
                strength = setting.strength
                is_as_taught = taught is not None and taught.strength == strength and self.strength is None
                source = "as when it was taught" if is_as_taught else "as given"
            if strength is not None:
                output.console.print(Text(f"Strength: {strength.value:g} ({strength.unit}), {source}."))
            with stopping(output), output.progress(setting.method, total=len(feature_ids)) as advance:
                stored = explain(
                    run,
                    speaker,
                    setting,
                    feature_ids,
                    batch_size=self.batch_size,
                    images_at_once=self.images_at_once,
                    questions_at_once=self.questions_at_once,
                    lens=lens,
                    adapter=adapter,
                    on_batch=advance,
                )
            said = explanations(run, stored, feature_ids)
            counts = n_explained(run, stored)
        self._report(output, stored, said, counts)
        return 0

    def _check_teachable(self, setting: "Setting") -> None:
        """Refuse what needs something taught where there is no run to have it, before one is begun."""
        from seesay.store.run import exists

        if (setting.way.reads or self.steering.adapter) and not exists(self.path):
            raise UnusablePath(
                f"no run {self.path} for {self.method}, by what was taught in it",
                expected="one that is collected",
                remedy="seesay collect first, then seesay teach" + (" --adapter" if self.steering.adapter else ""),
            )

    def _with_taught(
        self, run: "Run", voice: "Voice", setting: "Setting"
    ) -> "tuple[Setting, Lens | None, Adapter | None]":
        """The setting by what was taught in the run for it, and that itself."""
        from seesay.explainers.adapter import Adapter
        from seesay.explainers.lens import Lens

        lens = adapter = None
        if self.steering.adapter:
            adapter = taught_for(run, voice, Adapter)
            setting = replace(setting, adapter=adapter.identity, strength=setting.strength or adapter.strength)
        if setting.way.reads:
            lens = taught_for(run, voice, Lens)
            setting = replace(setting, lens=lens.identity)
            if not setting.way.shows and setting.control != "none":
                setting = replace(setting, strength=setting.strength or lens.strength)
        return setting, lens, adapter

    def _plan(self, output: Output, setting: "Setting", selected: Sequence[int] | None) -> int:
        """Tell what it would take."""
        from seesay.store.run import Run, exists

        if exists(self.path):
            with Run.open(self.path) as run:
                named = Named.of(self.path, run.subject, self.subject, self.sae, self.finding, self.layer)
                name = self.who.explainer or named.subject
                n_features = len(left_in(run, setting, name, self._features(run, setting, selected)))
        elif METHODS[self.method].shows:
            raise UnusablePath(
                f"no run {self.path} for {self.method}, which shows its images",
                expected="one that is collected",
                remedy="seesay collect first",
            )
        else:
            named = Named.of(self.path, {}, self.subject or "world", self.sae, self.finding, self.layer)
            n_features = len(self._chosen(selected or []))
        if not n_features:
            output.console.print("All of them are in the run already: there is nothing to plan.")
            output.finish({"n_features": 0}, next_steps=[f"seesay show {self.path} ID   what was said"])
            return 0
        planned = Planned(
            named, self.who, setting, n_features, self.questions_at_once or self.batch_size, self.images_at_once
        )
        return tell_plan(planned, self.dry, self.common, output)

    def _dissect(self, output: Output, selected: Sequence[int] | None) -> int:
        """Explain without a language model."""
        from seesay.commands.dissecting import explain_by_dissecting
        from seesay.pipeline.dissecting import dissecting
        from seesay.store.explanations import explanations, n_explained
        from seesay.store.run import Run

        setting = dissecting(self.control, self.common.seed)
        with Run.writing(self.path) as run, stopping(output):
            check_names(self.path, run.subject, self.subject, self.sae, self.layer)
            feature_ids = self._features(run, setting, selected)
            stored = explain_by_dissecting(
                run,
                setting,
                feature_ids,
                vocabulary=self.vocabulary,
                embedder=self.embedder,
                common=self.common,
                output=output,
            )
            said, counts = explanations(run, stored, feature_ids), n_explained(run, stored)
        self._report(output, stored, said, counts)
        return 0

    def _check_used(self) -> None:
        """Refuse what a method has no use for: whoever gives it expects something of it."""
        if not METHODS[self.method].finds:
            return  # refused whatever is given
        if self.method == "dissect":
            unused = [name for name, value in vars(self.who).items() if value]
            unused += [] if self.sharing.is_local else ["backend"]
            why = "which asks no language model"
        else:
            unused = [name for name in ("vocabulary", "embedder") if getattr(self, name) is not None]
            why = "which finds its words by itself"
        for name in unused:
            raise InvalidSetting(f"--{name.replace('_', '-')} for {self.method}, {why}", expected="none")

    def _setting(self) -> "Setting":
        self._check_used()
        strength = given_strength(self.strength, self.strength_unit)
        return setting_of(
            self.method, strength, self.control, self.steering, self.showing, self.words, self.common.seed
        )

    def _features(self, run: "Run", setting: "Setting", selected: Sequence[int] | None) -> list[int]:
        from seesay.store.gallery import explainable

        # Without a choice of features, those that a collection finds are explained, once it has found them.
        if METHODS[setting.method].shows or (selected is None and run.unfinished("collect")):
            run.check_finished("collect")
        return self._chosen(explainable(run) if selected is None else selected)

    def _chosen(self, feature_ids: Sequence[int]) -> list[int]:
        from seesay.split import split_of

        if not feature_ids:
            raise FeatureNotFound(
                f"no features to explain in {self.path}",
                expected="a run that is collected, or --features",
                remedy="give --features 0-99 for the first hundred of the SAE",
            )
        found = [each for each in feature_ids if self.split is None or split_of(each) == self.split]
        if not found:
            raise FeatureNotFound(f"no {self.split} feature among those of --features", expected="at least one")
        return found[: self.limit]

    def _report(
        self,
        output: Output,
        stored: "StoredSetting",
        said: "Mapping[int, Sequence[Explanation]]",
        counts: "Mapping[Status, int]",
    ) -> None:
        from seesay.commands.steer import explanation_table

        rows = [explanation for samples in said.values() for explanation in samples]
        output.console.print(explanation_table(rows[:_N_SHOWN]))
        if len(rows) > _N_SHOWN:
            output.console.print(f"{_N_SHOWN} of {len(rows)}: seesay show tells the others")
        told = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        output.console.print(Text(f"{stored.title} by {stored.explainer}; in the run, asked this way: {told}"))
        output.finish(
            {"run": str(self.path), **stored.as_json(), "explanations": [asdict(each) for each in rows]},
            next_steps=self._next_steps(stored, rows[0].feature_id) if rows else [],
        )

    def _next_steps(self, stored: "StoredSetting", feature_id: int) -> list[str]:
        steps = [f"seesay show {self.path} {feature_id}   all that is known of one feature"]
        if stored.control is None:
            steps.append("add --control random to the same command, to see what the words are worth")
        return [*steps, f"seesay score {self.path}   how good the words are, on images that nobody was shown"]
