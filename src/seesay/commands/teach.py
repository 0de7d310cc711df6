"""`seesay teach`: a lens for steering+, by a run's images."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

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
from seesay.records import StrengthUnit
from seesay.selection import parse_features
from seesay.teaching.config import Teaching

if TYPE_CHECKING:
    from seesay.explainers.lens import Lens

_N_TOLD = 12


@final
@dataclass(frozen=True)
class Teach:
    """Teach a lens, by which explain --method steering+ finds words without images, and keep it in the run.

    The model looks at patches of the run's images that are alike, and tells how probable it finds each of many phrases:
    those that it says of features that are steered. What residuals look like for each phrase is the lens; features are
    then read through it by what their encoder looks for. Only images of the explaining half and validation features
    take part, so that all that is scored later is new to it. A lens that is there already is not taught again.

    Examples:
      seesay teach runs/x
      seesay teach runs/x --explainer world:L --pupils 1000
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
    """Of these, features that phrases are taken from and the lens is held against, at most."""

    features: Annotated[str | None, arg(metavar="IDS")] = None
    """Features that take part, by ids and ranges, none of which is to be judged; by default all validation features
    that an image activates."""

    strength: Annotated[float | None, arg(metavar="X")] = None
    """How hard features are pushed; by default what seesay calibrate chose for steering, or what the world's SAEs come
    with."""

    strength_unit: Annotated[StrengthUnit | None, one_of(StrengthUnit)] = None
    """What a strength of 1 means, as for explain."""

    anew: bool = False
    """Teach once more, in the place of the lens that is there. Words that were found through that one stay."""

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
        from seesay.explainers.config import Setting
        from seesay.pipeline.teaching import teach_lens
        from seesay.store.lenses import find_lens, lens_path

        with speaking(
            self.path,
            steers=True,
            finding=self.finding,
            who=self.who,
            common=self.common,
            check=lambda run: run.check_finished("collect"),
            begin=partial(alone, output=output),
        ) as (run, speaker, named, _):
            found = None if self.anew else find_lens(run, speaker.voice.lens_key)
            if found is None:
                setting = Setting(method="steering")
                strength = given or resolve_run_strength(run, speaker.voice, setting, named.sae)[0]
                lens = teach_lens(
                    run, speaker, strength, teaching=teaching, feature_ids=selected, progress=output.progress
                )
            else:
                lens = found
                output.console.print("It is taught already: --anew teaches it once more.")
            path = lens_path(run, speaker.voice.lens_key)
        self._report(output, lens, path)
        return 0

    def _report(self, output: Output, lens: "Lens", path: Path) -> None:
        told = ", ".join(lens.phrases[:_N_TOLD]) + (", ..." if len(lens.phrases) > _N_TOLD else "")
        output.console.print(Text(f"{len(lens.phrases)} phrases: {told}"))
        output.console.print(Text(str(path)), soft_wrap=True)
        output.finish(
            {
                "run": str(self.path),
                "path": str(path),
                "identity": lens.identity,
                "phrases": list(lens.phrases),
                "strength": {"value": lens.strength.value, "unit": lens.strength.unit},
                "facts": dict(lens.facts),
            },
            next_steps=[f"seesay explain {self.path} --method steering+   words for features, without images"],
        )
