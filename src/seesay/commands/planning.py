"""`--plan`: what a command would take, instead of doing it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.loading import hush
from seesay.commands.names import resolve_sae, resolve_subject
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import InvalidSetting, LayerNotFound
from seesay.explainers.config import IMAGES_AT_ONCE

if TYPE_CHECKING:
    from seesay.commands.speaking import Named
    from seesay.explainers.config import Setting
    from seesay.planning.machine import Machine
    from seesay.store.run import Run


@dataclass(frozen=True)
class PlanOptions:
    """A plan instead of the work."""

    plan: bool = False
    """Load nothing and write nothing: tell from the model's configuration what memory and time it would take."""

    assume_tflops: Annotated[float | None, arg(metavar="X")] = None
    """With --plan: for another machine, whose matrix products reach so many TFLOP/s; this one is measured."""

    assume_gbps: Annotated[float | None, arg(metavar="X")] = None
    """With --plan: and whose memory moves so many GB/s."""

    assume_gb: Annotated[float | None, arg(metavar="X")] = None
    """With --plan: and holds so many GB; if not given, whether it fits is not told."""

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            InvalidSetting: an assumption without a plan, half of one, or one that cannot be.
        """
        given = {name: value for name, value in vars(self).items() if name != "plan" and value is not None}
        for name, value in given.items():
            flag = f"--{name.replace('_', '-')} {value:g}"
            if not self.plan:
                raise InvalidSetting(f"{flag} without --plan", expected="both, or neither")
            if not (math.isfinite(value) and value > 0):
                raise InvalidSetting(flag, expected="a number above 0")
        if given and not {"assume_tflops", "assume_gbps"} <= given.keys():
            raise InvalidSetting(
                "half of another machine", expected="--assume-tflops and --assume-gbps", remedy="give both"
            )


@dataclass(frozen=True)
class Planned:
    """What is to be planned.

    Args:
        named: the subject, its SAE and the block.
        who: explains.
        setting: the way to explain.
        n_features: that are to be explained.
        questions_at_once: that the language model answers at a time.
        images_at_once: that the vision encoder takes in one pass.
    """

    named: "Named"
    who: ExplainerOptions
    setting: "Setting"
    n_features: int
    questions_at_once: int
    images_at_once: int = IMAGES_AT_ONCE


def left_in(run: "Run", setting: "Setting", explainer: str, feature_ids: Sequence[int]) -> list[int]:
    """The features that have no words yet, as far as that can be told without a model.

    Args:
        run: which.
        setting: the way to explain; a strength that is still to be chosen is taken to be any.
        explainer: name of the model.
        feature_ids: those asked for.
    """
    from seesay.store.explanations import missing, settings

    wanted = {name: value for name, value in setting.facts.items() if name != "strength" or value is not None}

    def is_same(facts: Mapping[str, object]) -> bool:
        return facts.get("coarse", 1) == setting.coarse and all(facts.get(name) == wanted[name] for name in wanted)

    same = [each for each in settings(run) if each.explainer == explainer and is_same(each.facts)]
    return missing(run, same[-1], feature_ids, setting.n_answers) if same else list(feature_ids)


def tell_plan(planned: Planned, options: PlanOptions, common: Options, output: Output) -> int:
    """Make a plan and print it.

    Args:
        planned: what is to be done.
        options: of the plan.
        common: options of every command.
        output: of the command.

    Returns:
        The exit code.

    Raises:
        SeesayError: what is planned cannot be, or the model's configuration cannot be read.
    """
    from seesay.commands.plan_page import plan_page
    from seesay.planning.outline import outline
    from seesay.planning.plan import plan
    from seesay.planning.work import Batches
    from seesay.sae.size import size_of
    from seesay.vlm.loading import resolve_device, resolve_dtype

    named, who, setting = planned.named, planned.who, planned.setting
    if who.tensor_parallel:
        raise InvalidSetting(
            "--plan with --tensor-parallel",
            expected="one of them",
            remedy="plan for one process: of N, each holds the whole encoder and an Nth of the language model",
        )
    name = who.explainer or named.subject
    device = resolve_device("auto" if who.spread else common.device)
    dtype = resolve_dtype(common.dtype, device)
    hush(common)
    model = outline(resolve_subject(name), dtype, prompts=who.prompts, quantize=who.quantize)
    n_questions = max(1, min(planned.questions_at_once, planned.n_features))
    n_images = n_questions * (setting.n_images if setting.way.shows else 1)
    found = plan(
        model,
        _layer(named) if setting.way.steers else 0,
        setting,
        Batches(n_questions, min(planned.images_at_once, n_images)),
        machine_of(options, who, device=str(device), dtype=str(dtype).removeprefix("torch.")),
        sae=size_of(resolve_sae(named.sae), subfolder=named.finding.sae_subfolder) if setting.way.steers else 0,
    )
    of = f"{name} in {str(dtype).removeprefix('torch.')}, {setting.method}"
    for each in plan_page(found, of, planned.n_features, who):
        output.console.print(each)
    result = {
        "explainer": name,
        "dtype": str(dtype).removeprefix("torch."),
        "quantize": who.quantize,
        "method": setting.method,
        **found.as_json(planned.n_features),
    }
    output.finish(result, next_steps=["the same command without --plan does it"])
    return 0


def machine_of(options: PlanOptions, who: ExplainerOptions, *, device: str, dtype: str) -> "Machine":
    """The machine that a plan is for: as assumed, or this one, which is measured.

    Args:
        options: of the plan.
        who: explains, maybe on all devices.
        device: of this machine.
        dtype: number format.
    """
    import torch

    from seesay.planning.machine import Machine, measured

    if options.assume_tflops is None or options.assume_gbps is None:
        return measured(torch.device(device), getattr(torch, dtype), spread=who.spread)
    return Machine(
        flops_per_second=options.assume_tflops * 1e12,
        bytes_per_second=options.assume_gbps * 1e9,
        seconds_per_operation=0.0,
        memory=None if options.assume_gb is None else round(options.assume_gb * 1e9),
        is_measured=False,
    )


def _layer(named: "Named") -> int:
    """The block: as given or noted, or as an SAE that is on this machine says."""
    if named.layer is not None:
        return named.layer
    if not Path(resolve_sae(named.sae)).expanduser().exists():
        raise LayerNotFound(f"{named.sae} is not on this machine, to say which block it is of", expected="--layer L")
    return named.finding.layer(named.sae, named.finding.load(named.sae), None)
