"""The models that scores measure with: the options that name them, and their loading when they are first needed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from tyro.conf import arg

from seesay.commands.loading import hush, hush_diffusers
from seesay.commands.names import is_world, resolve_subject
from seesay.commands.options import Options
from seesay.errors import MissingExtra, UnreadableModel
from seesay.scorers.config import Need

if TYPE_CHECKING:
    from seesay.instruments.instrument import Embedder, Judge, Segmenter, Synthesiser

_WORLD = "world"
_SEGMENTER = "facebook/sam3"
_EMBEDDER = "openai/clip-vit-large-patch14"
_SYNTHESISER = "stabilityai/stable-diffusion-3.5-medium"
_JUDGE = "google/gemma-3-27b-it"
_SHORT = {"DINO+SAM": "IDEA-Research/grounding-dino-base+facebook/sam2.1-hiera-large"}
"""Names of pairs that are too long to be typed."""


@dataclass(frozen=True)
class InstrumentOptions:
    """The models that scores measure with; for a run of the embedded world its own (world), unless others are named."""

    segmenter: Annotated[str | None, arg(metavar="MODEL")] = None
    """Finds words in images (iou): SAM 3 (facebook/sam3, the default), CLIPSeg (CIDAS/clipseg-rd64-refined), or two
    models with a plus between them: DINO+SAM is the paper's pair, Grounding DINO and SAM 2. Folders or hub ids."""

    embedder: Annotated[str | None, arg(metavar="MODEL")] = None
    """Puts images and words into one space (clip, monosemanticity, distinctness): CLIP (by default ViT-L/14, the
    paper's), SigLIP or SigLIP 2."""

    synthesiser: Annotated[str | None, arg(metavar="MODEL")] = None
    """Makes images of words (auroc): any text-to-image pipeline of diffusers, by default Stable Diffusion 3.5 medium,
    the paper's."""

    judge: Annotated[str | None, arg(metavar="MODEL")] = None
    """Looks at images and says whether words fit them (detection, fuzzing): any vision-language model that seesay
    loads, by default google/gemma-3-27b-it."""


@final
class Instruments:
    """What was named, loaded when it is first needed.

    Args:
        named: on the command line.
        of_world: the run is of the embedded world, whose own are the defaults.
        common: options of every command.
    """

    def __init__(self, named: InstrumentOptions, of_world: bool, common: Options) -> None:
        self._named, self._of_world, self._common = named, of_world, common

    @cached_property
    def segmenter(self) -> "Segmenter":
        """Finds words in images."""
        if self._is_world(self._named.segmenter):
            from seesay.world.instruments import WorldSegmenter

            return WorldSegmenter()
        from seesay.instruments.segmenters import load_segmenter

        given = self._named.segmenter or _SEGMENTER
        return self._loaded("segmenter", load_segmenter, _SHORT.get(given, given))

    @cached_property
    def embedder(self) -> "Embedder":
        """Puts images and words into one space."""
        if self._is_world(self._named.embedder):
            from seesay.world.instruments import embedder

            hush(self._common)
            return embedder(device=self._common.device, dtype=self._common.dtype)
        from seesay.instruments.embedders import load_embedder

        return self._loaded("embedder", load_embedder, self.embedder_name)

    @property
    def embedder_name(self) -> str:
        """What it is called, for people."""
        return _WORLD if self._is_world(self._named.embedder) else self._named.embedder or _EMBEDDER

    @cached_property
    def judge(self) -> "Judge":
        """Looks at images and says whether words fit them."""
        given = self._named.judge
        if self._is_world(given):
            from seesay.world.instruments import judge

            hush(self._common)
            return judge(device=self._common.device, dtype=self._common.dtype)
        from seesay.instruments.judges import load_judge

        return self._loaded("judge", load_judge, given or _JUDGE)

    def synthesiser(self) -> "Synthesiser":
        """Load what makes images of words; whoever asks lets go of it."""
        given = self._named.synthesiser
        if self._is_world(given):
            from seesay.world.instruments import WorldSynthesiser

            return WorldSynthesiser()
        from seesay.instruments.synthesisers import load_synthesiser

        hush_diffusers(self._common)
        return self._loaded("synthesiser", load_synthesiser, given or _SYNTHESISER)

    def check_synthesiser(self) -> None:
        """Check, before anything is loaded, that what makes images of words can be had as far as packages go.

        Raises:
            MissingExtra: it cannot.
        """
        if not self._is_world(self._named.synthesiser) and find_spec("diffusers") is None:
            raise MissingExtra("making images from words needs diffusers", remedy="pip install 'seesay[synthesis]'")

    def let_go(self, still_needed: frozenset[Need]) -> None:
        """Let go of what no score needs any more.

        Args:
            still_needed: by the scores to come.
        """
        for need in ("segmenter", "embedder", "judge"):
            if need not in still_needed:
                self.__dict__.pop(need, None)

    def _is_world(self, given: str | None) -> bool:
        return self._of_world if given is None else given == _WORLD

    def _loaded(self, option: str, load: Callable[..., Any], name: str) -> Any:
        hush(self._common, bars=Path(name).is_dir())
        try:
            found = resolve_subject(name) if option == "judge" else name
            return load(found, device=self._common.device, dtype=self._common.dtype)
        except UnreadableModel as error:
            expected = f"{error.expected}, or {_WORLD}, the embedded world's own" if is_world(name) else error.expected
            raise UnreadableModel(f"--{option} {error.what}", expected=expected, remedy=error.remedy) from error
