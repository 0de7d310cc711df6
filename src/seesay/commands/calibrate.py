"""`seesay calibrate`: choose how hard to push, on validation features."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.choices import one_of
from seesay.commands.counts import Count
from seesay.commands.explaining_options import (
    DecodingOptions,
    ExplainerOptions,
    ShowingOptions,
    SteeringOptions,
    setting_of,
)
from seesay.commands.instruments import InstrumentOptions
from seesay.commands.measuring import Bench
from seesay.commands.names import is_world
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.commands.speaking import alone, speaking, stopping
from seesay.errors import InvalidSetting, InvalidStrength
from seesay.explainers.config import METHODS
from seesay.records import StrengthUnit
from seesay.scorers.config import Scoring

if TYPE_CHECKING:
    from seesay.calibration import Score
    from seesay.pipeline.calibrating import Judge
    from seesay.pipeline.explaining import Speaker
    from seesay.store.calibrations import Calibration
    from seesay.store.run import Run

Calibrated = Literal["steering", "hybrid", "one-word", "vocabulary", "token-change"]
By = Literal["agreement", "kl", "iou", "clip", "auroc", "detection", "fuzzing", "ground_truth"]
_BAR = 20
_FEW = 50
"""Validation features below which intervals are so wide that the weakest strength is as good as any."""


@final
@dataclass(frozen=True)
class Calibrate:
    """Choose how hard to push features, on a run's validation features, and keep the choice in the run.

    A grid of strengths is tried, and what speaks for one of them needs neither images nor the truth, unless --by asks
    for it. explain then takes the choice by itself. The words of every strength stay in the run, and calibrating goes
    on after a stop.

    Examples:
      seesay calibrate runs/x --method steering
      seesay calibrate runs/x --method hybrid --strength-unit max_activation --grid 0.5,1,2,4
      seesay calibrate runs/x --method steering --per-feature
      seesay calibrate runs/x --method hybrid --by iou
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    method: Calibrated = "steering"
    """What the strength is for."""

    grid: Annotated[str | None, arg(metavar="X,X,...")] = None
    """The strengths to try, the weakest first."""

    strength_unit: Annotated[StrengthUnit | None, one_of(StrengthUnit)] = None
    """What they count in; by default the mean residual norm of the empty image, for hybrid the feature's own largest
    activation."""

    per_feature: bool = False
    """Choose how far the answer's first word shall be moved, in nats (--strength-unit kl): each feature is then pushed
    as hard as that takes, a strength of its own."""

    by: Annotated[By | None, one_of(By)] = None
    """What speaks for a strength: that words hold at the strengths beside it and are the feature's own (agreement);
    that it is the weakest by which the answer's first word is moved for half of the features (kl, the default for
    hybrid, where a stronger push drowns the images); a score of the words on held-out images (iou in the paper), see
    seesay score; or, in the embedded world, the truth."""

    max_features: Count = 500
    """At most so many validation features."""

    batch_size: Count = 64
    """Features at a time; halved as often as memory asks for it. It does not change the words."""

    instruments: Annotated[InstrumentOptions, OmitArgPrefixes] = field(default_factory=InstrumentOptions)
    who: Annotated[ExplainerOptions, OmitArgPrefixes] = field(default_factory=ExplainerOptions)
    steering: Annotated[SteeringOptions, OmitArgPrefixes] = field(default_factory=SteeringOptions)
    showing: Annotated[ShowingOptions, OmitArgPrefixes] = field(default_factory=ShowingOptions)
    words: Annotated[DecodingOptions, OmitArgPrefixes] = field(default_factory=DecodingOptions)
    finding: Annotated[SAEOptions, OmitArgPrefixes] = field(default_factory=SAEOptions)
    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Load, try, choose, print.

        Raises:
            SeesayError: whatever is wrong with the run, the models or what is asked for.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        output = Output(self.common)
        self.who.check_alone("calibrate")
        unit = self._unit()
        strengths = self._strengths(unit)
        # All this takes seconds to be read, and so comes after what can be wrong without it.
        from seesay.commands.calibration_page import write_page
        from seesay.pipeline.calibrating import calibrate
        from seesay.store.calibrations import calibrations
        from seesay.store.gallery import explainable

        self.steering.check_no_adapter("calibrate")
        if self.steering.coarse != 1:
            raise InvalidSetting(f"--coarse {self.steering.coarse} for calibrating", expected="1: strengths are exact")
        setting = setting_of(self.method, None, None, self.steering, self.showing, self.words, self.common.seed)
        with (
            stopping(output),
            speaking(
                self.path,
                steers=True,
                finding=self.finding,
                who=self.who,
                common=self.common,
                check=lambda run: run.check_finished("collect") if self._looks_at_images else None,
                begin=partial(alone, output=output),
            ) as (run, speaker, named, _),
        ):
            # A run without images knows of no feature which one is ever active.
            feature_ids = explainable(run, "validation") or _validation(speaker)
            feature_ids, by = self._by(run, speaker, named.sae, feature_ids, output)
            before = calibrations(run, speaker.calibration_key(setting))
            calibration = calibrate(
                run,
                speaker,
                setting,
                strengths,
                unit,
                feature_ids=feature_ids[: self.max_features],
                by=by,
                batch_size=self.batch_size,
                progress=output.progress,
            )
            page = run.folder / f"calibration-{self.method}-{calibration.key[:8]}.html"
            write_page(page, calibration, f"{self.method} by {speaker.name}: {self.path.name}")
        output.console.print(_table(calibration))
        output.console.print(Text(_in_words(calibration, before)))
        output.console.print(Text(str(page)), soft_wrap=True)
        output.finish(
            {"run": str(self.path), "page": str(page), **asdict(calibration)},
            next_steps=[f"seesay explain {self.path} --method {self.method}   at the strength that was chosen"],
        )
        return 0

    @property
    def _looks_at_images(self) -> bool:
        return METHODS[self.method].shows or self.by not in (None, "agreement", "kl", "ground_truth")

    def _by(
        self, run: "Run", speaker: "Speaker", sae_name: str, feature_ids: Sequence[int], output: Output
    ) -> "tuple[Sequence[int], Score | tuple[str, Judge] | None]":
        """The features to choose on, and what speaks for a strength."""
        match self.by:
            case None | "agreement" | "kl":
                return feature_ids, self.by
            case "ground_truth":
                return self._by_truth(speaker, sae_name, feature_ids, output)
            case "iou" | "clip" | "auroc" | "detection" | "fuzzing":
                bench = Bench.of(run, Scoring(seed=self.common.seed), self.instruments, self.common, output)
                bench.check(self.by)  # now, not after all strengths were tried
                return feature_ids, (self.by, bench.judge_by(self.by, self.batch_size))

    def _unit(self) -> StrengthUnit:
        if self.per_feature:
            if self.strength_unit not in (None, "kl"):
                raise InvalidStrength(
                    f"--per-feature with --strength-unit {self.strength_unit}", expected="one of the two"
                )
            return "kl"
        return self.strength_unit or ("max_activation" if self.method == "hybrid" else "residual_norm")

    def _strengths(self, unit: StrengthUnit) -> Sequence[float]:
        from seesay.explainers.config import DEFAULT_GRIDS

        if self.grid is None:
            return DEFAULT_GRIDS[unit]
        try:
            return [float(word) for word in self.grid.split(",")]
        except ValueError as error:
            raise InvalidStrength(f"--grid {self.grid}", expected="numbers with commas between: 0.5,1,2") from error

    def _by_truth(
        self, speaker: "Speaker", sae_name: str, feature_ids: Sequence[int], output: Output
    ) -> tuple[list[int], tuple[str, "Judge"]]:
        """The features that a word of the world fits, and a judge who knows it."""
        if not is_world(sae_name):
            raise InvalidSetting(f"--by ground_truth for {sae_name}", expected="an SAE of the embedded world")
        from seesay.world.judging import judge_of

        assert speaker.sae is not None
        assert speaker.layer is not None
        with output.progress("truth", total=None) as advance:
            chosen_on, judge = judge_of(
                speaker.vlm, speaker.sae, speaker.layer, self.method, feature_ids, on_batch=advance
            )
        return chosen_on, ("ground_truth", judge)


def _validation(speaker: "Speaker") -> list[int]:
    from seesay.split import split_of

    assert speaker.sae is not None
    return [feature_id for feature_id in range(speaker.sae.n_features) if split_of(feature_id) == "validation"]


def _in_words(calibration: "Calibration", before: "Sequence[Calibration]") -> str:
    chosen, tried = calibration.strength, [point["strength"] for point in calibration.curve]
    does = "moves half of them" if calibration.score == "kl" else "is as good as the best"
    n = calibration.curve[0]["n"]
    told = f"Chosen: {chosen.value:g} ({chosen.unit}), by {calibration.score.replace('_', ' ')} of {n} features."
    told += f" It is the weakest that {does}."
    others = [each.strength for each in before if each.strength != chosen]
    told += "".join(f" It takes the place of {each.value:g} ({each.unit})." for each in others)
    if n < _FEW:
        told += " So few features tell little: more of them may choose otherwise."
    if len(tried) > 1 and chosen.value == tried[-1]:
        told += " It is the strongest that was tried: stronger ones may do better."
    return told


def _table(calibration: "Calibration") -> Table:
    table = Table(header_style="bold")
    table.add_column(calibration.strength.unit, justify="right")
    table.add_column(calibration.score.replace("_", " "), justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("")
    table.add_column("nats", justify="right")
    largest = max(max(point["score"] for point in calibration.curve), 1e-9)
    for point in calibration.curve:
        low, high = point["interval"]
        is_chosen = point["strength"] == calibration.strength.value
        table.add_row(
            f"{point['strength']:g}",
            f"{point['score']:.3f}",
            f"{low:.3f} to {high:.3f}",
            Text("█" * round(_BAR * max(point["score"], 0.0) / largest), style="green" if is_chosen else "dim"),
            f"{point['kl']:.2f}",
            style="bold" if is_chosen else "",
        )
    return table
