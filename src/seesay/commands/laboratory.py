"""The models that the viewer asks, loaded for each of its runs."""

from typing import TYPE_CHECKING

from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.loading import load_encoder
from seesay.commands.names import is_world
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.commands.speaking import Named, Together, load_together
from seesay.errors import UnusablePath
from seesay.records import Strength

if TYPE_CHECKING:
    from seesay.store.run import Run
    from seesay.viewer.brought import Brought
    from seesay.viewer.catalogue import Catalogue
    from seesay.viewer.laboratory import Laboratory
    from seesay.viewer.pushes import Loaded

_FIRST_TRY = Strength(1.0, "residual_norm")


def laboratory_of(
    catalogue: "Catalogue",
    brought: "Brought",
    who: ExplainerOptions,
    common: Options,
    output: Output,
    time_limit_s: float,
) -> "Laboratory":
    """Load the models of all runs; those of one subject are loaded once.

    Args:
        catalogue: of the runs.
        brought: pictures of people's own.
        who: explains.
        common: options of every command.
        output: of the command.
        time_limit_s: how long an answer may take.

    Raises:
        SeesayError: whatever is wrong with them, or they are not those that a run was made with.
    """
    from seesay.store.run import Run
    from seesay.viewer.laboratory import Laboratory
    from seesay.viewer.worker import Worker

    together: dict[str, Together] = {}
    loaded: dict[int, Loaded] = {}
    for number, folder in enumerate(catalogue.folders):
        with Run.open(folder) as run:
            named = Named.of(folder, run.subject, None, None, SAEOptions(), None)
            found = load_together(named, who, common, output, like=together.get(named.subject))
            together[named.subject] = found
            _check_same(run, named, found)
            loaded[number] = _loaded(run, named, found, who, common)
    return Laboratory(catalogue, loaded, brought, Worker(time_limit_s, told=catalogue.told))


def _check_same(run: "Run", named: Named, found: Together) -> None:
    from seesay.sae.identity import identity_of

    if identity_of(found.eyes, found.sae, found.layer) != run.subject.get("identity"):
        raise UnusablePath(
            f"{named.subject} and {named.sae} are not what {run.folder} was made of",
            expected="the same weights",
            remedy="find them again, or serve it without --with-model",
        )


def _loaded(run: "Run", named: Named, found: Together, who: ExplainerOptions, common: Options) -> "Loaded":
    from seesay.viewer.pushes import Loaded

    # The subject's own was loaded to be compared, in fewer bits; it is the explainer's unless that was told.
    eyes = load_encoder(named.subject, common) if found.encoder_differs_in else found.vlm.encoder
    return Loaded(
        found.vlm,
        found.sae,
        found.layer,
        eyes,
        found.encoder_differs_in,
        _strength(run, named, who.explainer or named.subject),
        _command(named, who, common),
    )


def _command(named: Named, who: ExplainerOptions, common: Options) -> tuple[str, ...]:
    """What names the same models on the command line."""
    usual = {**vars(ExplainerOptions()), "device": Options().device, "dtype": Options().dtype}
    given = {**vars(who), "device": common.device, "dtype": common.dtype}
    own = {name: value for name, value in given.items() if value != usual[name]}
    found: list[str] = []
    for name, value in {"subject": named.subject, "sae": named.sae, **vars(named.finding), **own}.items():
        if value is not None:
            found += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return tuple(found)


def _strength(run: "Run", named: Named, explainer: str) -> Strength:
    """What to begin with: what was chosen in the run, or with the world's SAEs."""
    from seesay import world
    from seesay.store.calibrations import calibrations

    chosen = [each for each in calibrations(run) if (each.method, each.explainer) == ("steering", explainer)]
    if chosen:
        return chosen[-1].strength
    if is_world(named.sae) and is_world(explainer):
        return world.strength(named.sae, explainer)
    return _FIRST_TRY
