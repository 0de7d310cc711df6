"""`seesay teach`: a lens for steering+ by a run's images, or an adapter by its explanations."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.choices import one_of
from seesay.commands.counts import Count
from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.names import given_strength, resolve_run_strength
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.commands.speaking import alone, speaking
from seesay.errors import InvalidSetting
from seesay.records import Decoding, Method, Strength, StrengthUnit
from seesay.selection import parse_features
from seesay.split import split_of
from seesay.teaching.config import Teaching
from seesay.texts import one_line, shown

if TYPE_CHECKING:
    from seesay.explainers.adapter import Adapter
    from seesay.explainers.lens import Lens
    from seesay.pipeline.speakers import Speaker
    from seesay.store.run import Run

_N_TOLD = 12
_MAX_TOKENS = 24
_THERE = "It is taught already: --anew teaches it once more."
_OPTIONS = {
    "n_pupils": "pupils",
    "n_looked_at": "images",
    "n_phrases": "phrases",
    "n_references": "references",
    "seed": "seed",
}
"""What numbers of a lens's facts are called on the command line."""


@final
@dataclass(frozen=True)
class Teach:
    """Teach a lens, by which explain --method steering+ finds words without images, and keep it in the run.

    The model looks at patches of the run's images that are alike, and tells how probable it finds each of many phrases:
    those that it says of such patches, and of features that are steered. What residuals look like for each phrase is
    the lens; features are then read through it by what their encoder looks for. Only images of the explaining half and,
    by default, validation features take part, so that all that is scored later is new to it. A lens that is there
    already is not taught again.

    Examples:
      seesay teach runs/x
      seesay teach runs/x --explainer world:L --pupils 1000
      seesay teach runs/x --adapter
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    pupils: Count = Teaching().n_pupils
    """Patches, each with its likes from other images, that the model is asked about."""

    images: Count = Teaching().n_looked_at
    """Images that they are found in, at most."""

    phrases: Count = Teaching().n_phrases
    """Phrases that the lens knows, at most: those that are said most often."""

    references: Count = Teaching().n_references
    """Features, of those that take part, that phrases are taken from and the lens is held against, at most."""

    features: Annotated[str | None, arg(metavar="IDS")] = None
    """Features that take part, by ids and ranges, none of which is to be judged; by default all validation features
    that an image activates."""

    strength: Annotated[float | None, arg(metavar="X")] = None
    """How hard features are pushed; by default what seesay calibrate chose for steering, or what the world's SAEs come
    with."""

    strength_unit: Annotated[StrengthUnit | None, one_of(StrengthUnit)] = None
    """What a strength of 1 means, as for explain."""

    adapter: bool = False
    """Teach an adapter for explain --method steering --adapter instead: a scale and a bias by which the model hears in
    a direction what it says of the feature's images, by hybrid."""

    teacher_strength: Annotated[float | None, arg(metavar="X")] = None
    """With --adapter, how hard hybrid pushes, in the feature's own largest activation; by default what seesay calibrate
    chose for it, or what the world's SAEs come with."""

    anew: bool = False
    """Teach once more, in the place of what is there. Words that were found through that one stay."""

    who: Annotated[ExplainerOptions, OmitArgPrefixes] = field(default_factory=ExplainerOptions)
    finding: Annotated[SAEOptions, OmitArgPrefixes] = field(default_factory=SAEOptions)
    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Load, teach, tell.

        Raises:
            SeesayError: whatever is wrong with the run, the models or what is asked for.
        """
        output = Output(self.common)
        self.who.check_alone("teach")
        given = given_strength(self.strength, self.strength_unit)
        teaching = Teaching(
            n_pupils=self.pupils,
            n_looked_at=self.images,
            n_phrases=self.phrases,
            n_references=self.references,
            seed=self.common.seed,
        )
        selected = None if self.features is None else parse_features(self.features)
        self._check_used()
        with speaking(
            self.path,
            steers=True,
            finding=self.finding,
            who=self.who,
            common=self.common,
            check=lambda run: run.check_finished("collect"),
            begin=partial(alone, output=output),
            feature_ids=selected or (),
        ) as (run, speaker, named, _):
            lesson = Lesson(run, speaker, named.sae, given, selected, output)
            return self._adapter(lesson) if self.adapter else self._lens(lesson, teaching)

    def _check_used(self) -> None:
        """Refuse what has no use: whoever gives it expects something of it."""
        of_lens, of_adapter = ("pupils", "images", "phrases", "references"), ("teacher_strength",)
        for name in of_lens if self.adapter else of_adapter:
            if getattr(self, name) != getattr(Teach, name):
                option = f"--{name.replace('_', '-')}"
                what = "beside --adapter" if self.adapter else "without --adapter"
                raise InvalidSetting(f"{option} {what}, where it changes nothing", expected="none")

    def _lens(self, by: "Lesson", teaching: Teaching) -> int:
        from seesay.explainers.lens import Lens
        from seesay.pipeline.teaching import teach_lens
        from seesay.store.taught import find_taught, taught_path

        key, output = by.speaker.voice.lens_key, by.output
        lens = None if self.anew else find_taught(by.run, key, Lens)
        if lens is None:
            by.warn()
            strength = by.strength("steering")
            lens = teach_lens(
                by.run, by.speaker, strength, teaching=teaching, feature_ids=by.selected, progress=output.progress
            )
        else:
            output.console.print(Text(self._as_it_was(lens, teaching, by)))
        told = ", ".join(map(one_line, lens.phrases[:_N_TOLD])) + (", ..." if len(lens.phrases) > _N_TOLD else "")
        output.console.print(Text(f"{len(lens.phrases)} phrases: {told}"))
        self._tell(output, lens, taught_path(by.run, key, Lens), "--method steering+", {"phrases": list(lens.phrases)})
        return 0

    def _as_it_was(self, lens: "Lens", asked: Teaching, by: "Lesson") -> str:
        """That a lens is there already, and in what it differs from what was asked for and is not usual."""
        others = [
            f"{option} {shown(lens.facts.get(name))}, not {value}"
            for name, option in _OPTIONS.items()
            if (value := getattr(asked, name)) not in (getattr(Teaching, name), lens.facts.get(name))
        ]
        if by.given not in (None, lens.strength):
            others.append(f"strength {_pushed(lens.strength)}, not {_pushed(by.given)}")
        took_part = lens.facts.get("references")
        if by.selected is not None and isinstance(took_part, list) and any(x not in by.selected for x in took_part):
            others.append("other features")
        return f"It is taught already, by {'; '.join(others)}: --anew teaches it as asked." if others else _THERE

    def _adapter(self, by: "Lesson") -> int:
        from seesay.explainers.adapter import Adapter
        from seesay.explainers.config import Setting
        from seesay.pipeline.teaching import teach_adapter
        from seesay.store.taught import find_taught, taught_path
        from seesay.teaching.config import Adapting

        key, output = by.speaker.voice.lens_key, by.output
        adapter = None if self.anew else find_taught(by.run, key, Adapter)
        if adapter is None:
            by.warn()
            adapter = teach_adapter(
                by.run,
                by.speaker,
                by.strength("steering"),
                Setting("hybrid", self._of_teacher(by), decoding=Decoding(_MAX_TOKENS)),
                adapting=Adapting(seed=self.common.seed),
                feature_ids=by.selected,
                progress=output.progress,
            )
        else:
            output.console.print(_THERE)
        norm = adapter.bias.norm().item()
        output.console.print(f"A scale of {adapter.scale.item():.3g}, and a bias of norm {norm:.3g}.")
        came = {"scale": adapter.scale.item(), "norm_of_bias": norm}
        self._tell(output, adapter, taught_path(by.run, key, Adapter), "--method steering --adapter", came)
        return 0

    def _of_teacher(self, by: "Lesson") -> Strength:
        if self.teacher_strength is None:
            return by.strength("hybrid")
        return Strength(self.teacher_strength, "max_activation")

    def _tell(self, output: Output, taught: "Lens | Adapter", path: Path, asked: str, came: Mapping[str, Any]) -> None:
        output.console.print(Text(f"Taught at strength {_pushed(taught.strength)}: {path}"), soft_wrap=True)
        again = f"{shlex.quote(str(self.path))} {asked}{self.who.again}"
        again += "" if self.common.dtype == Options.dtype else f" --dtype {self.common.dtype}"
        output.finish(
            {
                "run": str(self.path),
                "path": str(path),
                "identity": taught.identity,
                **came,
                "strength": {"value": taught.strength.value, "unit": taught.strength.unit},
                "facts": dict(taught.facts),
            },
            next_steps=[f"seesay explain {again}   words for features, without images"],
        )


def _pushed(strength: Strength) -> str:
    """How hard, in words."""
    return f"{strength.value:g} ({strength.unit})"


@final
@dataclass(frozen=True, eq=False)
class Lesson:
    """What a lens or an adapter is taught by.

    Args:
        run: collected.
        speaker: who explains.
        sae_name: of its SAE.
        given: the strength that was given for steering; None for none.
        selected: features that take part; None for all validation features.
        output: of the command.
    """

    run: "Run"
    speaker: "Speaker"
    sae_name: str
    given: Strength | None
    selected: Sequence[int] | None
    output: Output

    def strength(self, method: Method) -> Strength:
        """How hard a method pushes.

        Args:
            method: which.
        """
        from seesay.explainers.config import Setting

        if method == "steering" and self.given is not None:
            return self.given
        return resolve_run_strength(self.run, self.speaker.voice, Setting(method), self.sae_name)[0]

    def warn(self) -> None:
        """Tell of features that are to teach and should be judged."""
        if any(split_of(each) == "test" for each in self.selected or ()):
            self.output.console.print("Test features are among those that take part: no figure may come from these.")
