"""What the embedded world measures with: masks from its records, pictures by its grammar, and models of its own."""

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast, final

import numpy as np
from jaxtyping import Bool
from PIL import Image

from seesay.errors import UnknownPhrase, UnreadableImage
from seesay.images.decoding import pixel_hash
from seesay.images.sources.contents import digest
from seesay.instruments.instrument import Picture
from seesay.world.concepts import Concept
from seesay.world.grammar import parse_groups
from seesay.world.masks import object_mask
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import sample
from seesay.world.streams import RANGES, Stream, seeds
from seesay.world.synthesis import synthesise

if TYPE_CHECKING:
    from seesay.instruments.instrument import Embedder, Judge

_ALGORITHM = 1
"""Raised when the same words and pictures would give other masks, or the same words and numbers other pictures."""

_NAME = re.compile(r"([a-z]+)/([0-9]{1,13})")
_N_DRAWN = 1024
"""Renderings that are kept: of some 20 kB each."""

_N_NUMBERS = 1 << 34
"""So many numbers make pictures of their own; others are taken modulo this."""

_SAMPLES = ("a frog", "a red striped star", "a yellow dotted ring and a castle on a meadow background", "a dark area")


@final
class WorldSegmenter:
    """Knows by heart where everything is: a picture's name tells its scene, which is drawn again."""

    def __init__(self) -> None:
        self._drawn = lru_cache(_N_DRAWN)(_drawn)

    @property
    def facts(self) -> Mapping[str, Any]:
        """How masks are made."""
        return {"segmenter": "world", "algorithm": _ALGORITHM}

    def segment(
        self, pictures: Sequence[Picture], phrases: Sequence[str]
    ) -> list[Bool[np.ndarray, "instance height width"]]:
        """Find a phrase in each picture.

        Each noun phrase in it is an instance: in `a red star and a frog`, all red stars are the first, all frogs the
        second one.

        Args:
            pictures: of the world, with their names, such as `images/17`.
            phrases: one for each of them, of any words.

        Returns:
            Exact masks in the order in which they are named; none for words that name nothing that is there.

        Raises:
            UnreadableImage: a picture that is not the world's picture of that name.
        """
        # what is asked of the same picture, or in the same words, is drawn, compared and read once
        keys = [(picture.source_id, id(picture.image)) for picture in pictures]
        renderings = {key: self._checked(picture) for key, picture in dict(zip(keys, pictures, strict=True)).items()}
        groups = {phrase: tuple(dict.fromkeys(parse_groups(phrase))) for phrase in dict.fromkeys(phrases)}
        return [_masks(renderings[key], groups[phrase]) for key, phrase in zip(keys, phrases, strict=True)]

    def _checked(self, picture: Picture) -> Rendering:
        rendering = self._drawn(picture.source_id)
        image = picture.image if picture.image.mode == "RGB" else picture.image.convert("RGB")
        if not np.array_equal(np.asarray(image), rendering.pixels):
            raise UnreadableImage(
                f"{picture.source_id!r} is not the world's picture of that name",
                expected="its pixels as this version of seesay draws them",
                remedy="collect the run again",
            )
        return rendering


@final
class WorldSynthesiser:
    """Draws what words say, all else being random; see [seesay.world.synthesis.synthesise][]."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """How pictures are drawn: a hash of some of them."""
        return {"synthesiser": "world", "algorithm": _ALGORITHM, "pictures": _fingerprint()}

    def synthesise(self, texts: Sequence[str], numbers: Sequence[int]) -> list[Image.Image | None]:
        """Make a picture of each text.

        Args:
            texts: what is to be seen.
            numbers: one for each of them, from 0: other numbers give other pictures.

        Returns:
            Pictures of the world; None for words that name nothing of it, or what cannot be.
        """
        return [_pictured(text, number) for text, number in zip(texts, numbers, strict=True)]


def embedder(device: str = "auto", dtype: str = "auto") -> "Embedder":
    """The world's CLIP-like model.

    Args:
        device: where to compute.
        dtype: number format of its weights.

    Raises:
        UnreadableModel: this copy of seesay lacks it.
        UnavailableDevice: there is no such device, or it does not compute in such numbers.
    """
    from seesay import world
    from seesay.instruments.embedders import load_embedder
    from seesay.world.questions import MASK_FILL

    return load_embedder(world.scorer(), device=device, dtype=dtype, mask_fill=MASK_FILL)


def judge(device: str = "auto", dtype: str = "auto") -> "Judge":
    """The world's judge, who has eyes of its own.

    Args:
        device: where to compute.
        dtype: number format of its weights.

    Raises:
        UnreadableModel: this copy of seesay lacks it.
        UnavailableDevice: there is no such device, or it does not compute in such numbers.
    """
    from seesay import world
    from seesay.instruments.judges import VLMJudge

    return VLMJudge(world.load_vlm("world:judge", device=device, dtype=dtype))


def _masks(rendering: Rendering, groups: Sequence[Sequence[Concept]]) -> Bool[np.ndarray, "instance height width"]:
    masks = [object_mask(rendering, group) for group in groups]
    found = [mask for mask in masks if mask.any()]
    return np.stack(found) if found else np.zeros((0, *rendering.owner.shape), dtype=bool)


def _drawn(name: str) -> Rendering:
    parts = _NAME.fullmatch(name)
    if parts is None or parts[1] not in RANGES or int(parts[2]) >= len(RANGES[cast("Stream", parts[1])]):
        raise UnreadableImage(
            f"no picture of the world is named {name!r}",
            expected="a name such as images/17",
            remedy="segment a run of the embedded world, or choose another segmenter",
        )
    [seed] = seeds(cast("Stream", parts[1]), int(parts[2]), 1)
    return render(sample(seed))


def _pictured(text: str, number: int) -> Image.Image | None:
    try:
        return synthesise(text, number % _N_NUMBERS).image
    except UnknownPhrase:
        return None


@cache
def _fingerprint() -> str:
    return digest(*(pixel_hash(synthesise(text, number).image) for number, text in enumerate(_SAMPLES)))
