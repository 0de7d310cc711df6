"""The models that a run was made with: loaded when they are first needed, and checked to be the same."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, cast, final, get_args

from seesay.commands.loading import load_encoder, load_explainer
from seesay.commands.names import is_of_world, is_world, resolve_images
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.commands.speaking import Named
from seesay.errors import UnusablePath, check_choice
from seesay.scorers.config import Need

if TYPE_CHECKING:
    from seesay.exemplars.config import Reduction
    from seesay.images.sources import ImageSource
    from seesay.scorers.activations import Activations
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Noted, Run
    from seesay.vlm import VLM
    from seesay.world.truth import Truth


_TRUTHS: "ContextVar[dict[str, Truth] | None]" = ContextVar("truths", default=None)


@contextmanager
def remembering_truth() -> Generator[None]:
    """Within it, what features stand for is measured once for all runs of the same encoder and SAE."""
    before = _TRUTHS.set({})
    try:
        yield
    finally:
        _TRUTHS.reset(before)


@final
class RunModels:
    """A run's subject, its SAE, and whoever explained.

    Args:
        run: that names them, or what it says of itself.
        common: options of every command.
        output: of the command.
        images: for what goes through them once more; None for where the run says they were.

    Raises:
        UnusablePath: the run does not say what it is of.
    """

    def __init__(self, run: "Run | Noted", common: Options, output: Output, images: str | None = None) -> None:
        self._run, self._common, self._output, self._given_images = run, common, output, images
        self._of = Named.of(run.folder, run.subject, None, None, SAEOptions(), None)
        self._explainers: dict[str, VLM] = {}

    @property
    def subject(self) -> str:
        """What the subject is called."""
        return self._of.subject

    @property
    def of_world(self) -> bool:
        """Whether both are of the embedded world, whose truth is known."""
        return is_of_world(self._of.sae) and is_of_world(self._of.subject)

    @property
    def shows_world(self) -> bool:
        """Whether its images are the embedded world's, whose records say what is where on them."""
        from seesay.pipeline.collecting import STAGE

        name = self._run.configured(STAGE).get("images")
        return isinstance(name, str) and is_world(name)

    @cached_property
    def activations(self) -> "Activations":
        """The subject's encoder and SAE.

        Raises:
            UnusablePath: they are not those that the run was made with.
        """
        from seesay.exemplars.config import Reduction
        from seesay.pipeline.collecting import STAGE
        from seesay.sae.identity import identity_of
        from seesay.scorers.activations import Activations

        named = self._of
        sae = named.finding.load(named.sae)
        encoder = load_encoder(named.subject, self._common)
        layer = named.finding.layer(named.sae, sae, named.layer)
        sae.check_fits(encoder.d_model)
        encoder.check_layer(layer)
        sae = sae.to(encoder.device)
        if identity_of(encoder, sae, layer) != self._run.subject.get("identity"):
            raise UnusablePath(
                f"{named.subject} and {named.sae} are not what {self._run.folder} was made of",
                expected="the same weights",
                remedy="find them again, or make the run again",
            )
        # A run without images has none, nor is it needed where no image of it is looked at.
        has_images = self._run.finished(STAGE) is not None
        reduction = self._run.configured(STAGE).get("reduction") if has_images else "mean"
        check_choice(reduction, get_args(Reduction), "reduction")
        return Activations(encoder, sae, layer, cast("Reduction", reduction))

    @cached_property
    def truth(self) -> "Truth":
        """What the features stand for, by the records of the embedded world."""
        from seesay.world.truth import N_SCENES, measure

        of, remembered = self.activations, _TRUTHS.get()
        key = f"{self._run.subject.get('identity')} {of.encoder.device} {of.encoder.dtype}"
        if remembered is not None and key in remembered:
            return remembered[key]
        with self._output.progress("truth", total=N_SCENES) as advance:
            found = measure(of.encoder, of.sae, of.layer, n_scenes=N_SCENES, on_batch=advance)
        if remembered is not None:
            remembered[key] = found
        return found

    def images(self) -> "ImageSource":
        """The run's images once more.

        Raises:
            UnusablePath: the run does not say where they are.
        """
        from seesay.pipeline.collecting import STAGE

        name = self._given_images or self._run.configured(STAGE).get("images")
        if not isinstance(name, str):
            raise UnusablePath(f"{self._run.folder} does not say where its images are", expected="--images SRC")
        return resolve_images(name)

    def explainer_of(self, setting: "StoredSetting") -> "VLM":
        """The model that said what a setting holds.

        Args:
            setting: of the run.

        Raises:
            UnusablePath: it is not the same any more.
        """
        from seesay.vlm.identity import model_digest

        name = setting.explainer
        if name not in self._explainers:
            self._explainers[name] = load_explainer(name, self._common)
        vlm = self._explainers[name]
        if model_digest(vlm.model) != setting.explainer_hash:
            raise UnusablePath(
                f"{name} is not what explained the features of {self._run.folder}",
                expected="the same weights",
                remedy="find them again, or explain again",
            )
        return vlm

    def let_go(self, still_needed: frozenset[Need]) -> None:
        """Let go of what no score needs any more.

        Args:
            still_needed: by the scores to come.
        """
        if "subject" not in still_needed:
            self.__dict__.pop("activations", None)
        if not still_needed & {"explainer", "world"}:
            self._explainers.clear()
