"""A run that is open to be written, together with the model that explains it."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.loading import load_encoder, load_explainer
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.commands.sharing import SharingOptions
from seesay.errors import InvalidSetting, UnusablePath

if TYPE_CHECKING:
    from seesay.pipeline.speakers import Choir, Speaker, Voice
    from seesay.sae import SAE
    from seesay.store.run import Run
    from seesay.store.taught import Taught
    from seesay.vlm import VLM, Encoder

Checked = TypeVar("Checked")
Who = TypeVar("Who", "Speaker", "Choir")


@final
@dataclass(frozen=True)
class Named:
    """What a run is of, by the names on the command line, or by those that the run itself gives.

    Args:
        subject: the model whose vision encoder it is.
        sae: of its features.
        finding: how the SAE is found and read.
        layer: the block; None for the one that the SAE was made for.
    """

    subject: str
    sae: str
    finding: SAEOptions
    layer: int | None

    @classmethod
    def of(
        cls,
        path: Path,
        noted: Mapping[str, Any],
        subject: str | None,
        sae: str | None,
        finding: SAEOptions,
        layer: int | None,
    ) -> "Named":
        """What was given, and for the rest what the run notes.

        Args:
            path: the run.
            noted: by it; empty for a new one.
            subject: as given.
            sae: as given.
            finding: as given; counts if an SAE is.
            layer: as given.

        Raises:
            UnusablePath: neither says.
        """
        if sae is None:
            finding = _noted_options(path, noted.get("sae_options") or {})
        found_subject, found_sae = subject or noted.get("subject"), sae or noted.get("sae")
        found_layer = noted.get("layer") if layer is None and sae is None else layer
        if not isinstance(found_subject, str) or not isinstance(found_sae, str):
            raise UnusablePath(
                f"{path} does not say what it is of", expected="--subject MODEL and --sae SAE", remedy="give both"
            )
        if not isinstance(found_layer, int | None):
            raise UnusablePath(f"{path} says that it is of block {found_layer!r}", expected="a number: --layer L")
        return cls(found_subject, found_sae, finding, found_layer)


def _noted_options(path: Path, noted: Any) -> SAEOptions:
    """How a run, which may be a stranger's, says that its SAE is found."""
    kinds = {"sae_subfolder": str, "sae_revision": str, "sae_k": int, "sae_activation": str}
    options = {name: noted.get(name) for name in kinds} if isinstance(noted, Mapping) else None
    if options is None or not all(isinstance(value, kinds[name] | None) for name, value in options.items()):
        raise UnusablePath(f"{path} says oddly how its SAE is found: {noted!r}", expected="--sae SAE beside it")
    return SAEOptions(**options)


@contextmanager
def stopping(output: Output) -> Generator[None]:
    """Tell after Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        output.console.print("Stopped: the same command goes on from here.")
        raise


@contextmanager
def speaking(
    path: Path,
    *,
    steers: bool,
    subject: str | None = None,
    sae: str | None = None,
    layer: int | None = None,
    finding: SAEOptions,
    who: ExplainerOptions,
    common: Options,
    check: Callable[["Run"], Checked],
    begin: "Callable[[Loading], tuple[Who, Mapping[str, Any]]]",
    feature_ids: Sequence[int] = (),
) -> "Generator[tuple[Run, Who, Named, Checked]]":
    """Open a run and load the model that explains it.

    A run that is not there is begun, without images, if its SAE is given.

    Args:
        path: the run.
        steers: the SAE is needed, and that the run is of it and of the subject's vision encoder is checked.
        subject: as given; None for what the run says.
        sae: as given; None for what the run says.
        layer: as given.
        finding: of the SAE.
        who: explains.
        common: options of every command.
        check: looks at what the run itself must have, before large models are loaded if the run is there.
        begin: has the model loaded, and tells what its features are of.
        feature_ids: that the SAE must have.

    Yields:
        The run, who explains it, what it is of by name, and what the check found.

    Raises:
        SeesayError: whatever is wrong with the run, the models, the SAE, or with their being together.
    """
    from seesay.store.run import exists

    if exists(path):
        with _opened(path, who) as run:
            checked = check(run)
            noted = run.subject
            named = Named.of(path, noted, subject, sae, finding, layer)
            if not steers:
                check_names(path, noted, subject, sae, layer)
            speaker, identity = begin(Loading(named, steers, who, common, tuple(feature_ids)))
            if steers and _leads():
                run.claim(identity)
            yield run, speaker, named, checked
        return
    if sae is None or not steers:
        raise UnusablePath(
            f"no run {path}",
            expected="a run's folder",
            remedy="make one by seesay collect --out, or one without images by seesay explain --sae (and --subject)",
        )
    named = Named.of(path, {}, subject or "world", sae, finding, layer)
    speaker, identity = begin(Loading(named, steers, who, common, tuple(feature_ids)))
    with _opened(path, who, identity) as run:
        yield run, speaker, named, check(run)


@contextmanager
def _opened(path: Path, who: ExplainerOptions, identity: Mapping[str, Any] | None = None) -> Generator["Run"]:
    """A run, to be written by the one process that leads and read by those that work in step with it."""
    from seesay.store.run import Run

    if not who.tensor_parallel:
        with Run.writing(path, identity) as run:
            yield run
        return
    from seesay.vlm.parallel import join_in, leads, leaving_together, shared

    join_in()
    with leaving_together(), ExitStack() as stack:
        own = stack.enter_context(Run.writing(path, identity)) if leads() else None
        shared(None)  # the others wait until it is there
        with Run.open(path) as read:
            yield own or read
        shared(None)  # it is closed last


def _leads() -> bool:
    from seesay.vlm.parallel import leads

    return leads()


@final
@dataclass(frozen=True, eq=False)
class Together:
    """A model that explains, and the SAE whose features it steers.

    Args:
        vlm: the model.
        sae: on the device of its vision encoder.
        layer: the block that is steered.
        encoder_differs_in: the first tensor in which its encoder is not the subject's; empty if it is.
        eyes: the subject's encoder.
    """

    vlm: "VLM"
    sae: "SAE"
    layer: int
    encoder_differs_in: str
    eyes: "Encoder"


def load_together(
    named: Named,
    who: ExplainerOptions,
    common: Options,
    output: Output,
    *,
    feature_ids: Sequence[int] = (),
    like: Together | None = None,
) -> Together:
    """Load an SAE, a model that explains, and the subject if that is another one; and check that they fit.

    Args:
        named: the subject and its SAE.
        who: explains.
        common: options of every command.
        output: of the command.
        feature_ids: that the SAE must have.
        like: the same models, loaded with another SAE.

    Raises:
        SeesayError: whatever is wrong with them, or with their being together.
    """
    from seesay.vlm.identity import encoder_difference

    sae = named.finding.load(named.sae)
    sae.directions(feature_ids)  # refuses unknown features before a large model is loaded
    layer = named.finding.layer(named.sae, sae, named.layer)
    # The subject first: it is the smaller one, and what is wrong with it is known sooner.
    if like is not None:
        eyes, vlm, differs_in = like.eyes, like.vlm, like.encoder_differs_in
    else:
        another = who.explainer not in (None, named.subject)
        eyes = load_encoder(named.subject, common, compared=True) if another else None
        vlm = _load_explainer(named, who, common)
        differs_in = encoder_difference(eyes, vlm.encoder, allowed=who.allow_different_encoder) if eyes else ""
    if differs_in:
        output.console.print(f"The explainer's vision encoder is not the subject's: {differs_in} differs.")
    sae.check_fits(vlm.encoder.d_model)
    vlm.encoder.check_layer(layer, steered=True)
    named.finding.remark(output, named.sae, sae, layer)
    return Together(vlm, sae.to(vlm.encoder.device), layer, differs_in, eyes or vlm.encoder)


def taught_for(run: "Run", voice: "Voice", kind: "type[Taught]") -> "Taught":
    """The lens or the adapter that was taught in a run for who explains.

    Args:
        run: is looked into.
        voice: of who explains.
        kind: which of the two.

    Raises:
        InvalidSetting: none was.
        UnusablePath: it is damaged.
    """
    from seesay.explainers.lens import Lens
    from seesay.store.taught import find_taught

    found = find_taught(run, voice.lens_key, kind)
    if found is None:
        what, asked = ("lens", "") if kind is Lens else ("adapter", "--adapter ")
        raise InvalidSetting(
            f"{run.folder} has no {what} of {voice.name}, asked this way",
            expected="one that was taught",
            remedy=f"seesay teach {run.folder} {asked}--explainer {voice.name}",
        )
    return found


def check_names(path: Path, noted: Mapping[str, Any], subject: str | None, sae: str | None, layer: int | None) -> None:
    """Refuse other names than the run's where nothing is loaded that could be compared.

    Args:
        path: the run.
        noted: by it.
        subject: as given, as are the others.
        sae: of its features.
        layer: the block.

    Raises:
        UnusablePath: they are others.
    """
    for name, given in (("subject", subject), ("sae", sae), ("layer", layer)):
        if given is not None and given != noted.get(name):
            raise UnusablePath(
                f"{path} holds a run of {name} {noted.get(name)}, and {given} was asked for",
                expected="the same as before",
                remedy="leave it out; another model explains by --explainer" if name == "subject" else "leave it out",
            )


@final
@dataclass(frozen=True)
class Loading:
    """Loads who explains, wherever it is called.

    Args:
        named: what it is of.
        steers: the SAE is needed.
        who: explains.
        common: options of every command.
        feature_ids: that the SAE must have.
    """

    named: Named
    steers: bool
    who: ExplainerOptions
    common: Options
    feature_ids: tuple[int, ...]

    def __call__(self) -> "Speaker":
        """Load it.

        Raises:
            SeesayError: whatever is wrong with the models, or with their being together.
        """
        from seesay.pipeline.collecting import Subject
        from seesay.pipeline.explaining import Speaker

        named, common = self.named, self.common
        name = self.who.explainer or named.subject
        if not self.steers:
            return Speaker.of(_load_explainer(named, self.who, common), name)
        output = Output(replace(common, json=None))
        with output.console.capture() as said:
            found = load_together(named, self.who, common, output, feature_ids=self.feature_ids)
        names = {"subject": named.subject, "sae": named.sae, "sae_options": vars(named.finding)}
        subject = Subject(found.eyes, found.sae, found.layer, names).as_json()
        speaker = Speaker.of(
            found.vlm, name, sae=found.sae, layer=found.layer, encoder_differs_in=found.encoder_differs_in
        )
        return replace(speaker, subject=subject, remarks=said.get())


def alone(loading: Loading, output: Output) -> "tuple[Speaker, Mapping[str, Any]]":
    """Load who explains into this process.

    Args:
        loading: loads it.
        output: of the command.
    """
    speaker = loading()
    output.remark(speaker.remarks)
    return speaker, speaker.subject


def together(
    loading: Loading, sharing: SharingOptions, stack: ExitStack, output: Output
) -> "tuple[Choir, Mapping[str, Any]]":
    """Have who explains loaded wherever the options say.

    Args:
        loading: loads it.
        sharing: says where.
        stack: lets it go.
        output: of the command.
    """
    from seesay.pipeline.speakers import Choir, Introducing

    crew = stack.enter_context(sharing.crew(loading, loading.common))
    known = crew.facts(Introducing())
    output.remark(known["remarks"])
    return Choir(known["voice"], crew), known["subject"]


def _load_explainer(named: Named, who: ExplainerOptions, common: Options) -> "VLM":
    name = who.explainer or named.subject
    return load_explainer(
        name,
        common,
        prompts=who.prompts,
        quantize=who.quantize,
        spread=who.spread,
        tensor_parallel=who.tensor_parallel,
    )
