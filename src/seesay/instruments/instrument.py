"""The seams of the models that scores measure with; the embedded world fills each of them with its own.

`facts` of each is plain data: all that its numbers depend on, hashes of weights among them, but never a path, a device
or the size of a batch. Scores of instruments with different facts are never mixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from seesay.images.options import Colour

Question = Literal["detect", "fuzz"]
"""What a judge is asked of a picture: whether it shows what a phrase says, or whether that is what is highlighted."""


@final
@dataclass(frozen=True, eq=False)
class Picture:
    """An image that is measured.

    Args:
        image: RGB, at whatever size.
        source_id: its name where it came from; the embedded world knows by it what is drawn.
    """

    image: Image.Image
    source_id: str = ""


@final
@dataclass(frozen=True)
class Verdict:
    """A judge's answer.

    Args:
        yes: probability of yes, given that it is yes or no.
        answered: the most probable word is one of the two; otherwise the judge would have said something else.
    """

    yes: float
    answered: bool


@runtime_checkable
class Segmenter(Protocol):
    """Finds what words say in an image."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its masks depend on."""
        ...

    def segment(
        self, pictures: Sequence[Picture], phrases: Sequence[str]
    ) -> list[Bool[np.ndarray, "instance height width"]]:
        """Find a phrase in each picture.

        Args:
            pictures: in which.
            phrases: one for each of them.

        Returns:
            Of each picture the masks of the instances found, at its size, the most certain first; none if there is
            nothing, or the phrase says nothing.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Puts images and words into one space."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its vectors depend on."""
        ...

    @property
    def mask_fill(self) -> Colour:
        """What is painted over the patches that it shall not see."""
        ...

    def embed_images(self, images: Sequence[Image.Image]) -> Float[Tensor, "image dimension"]:
        """Unit vectors of images, on the CPU in 32 bits."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "text dimension"]:
        """Unit vectors of texts, on the CPU in 32 bits; an empty text has one, too."""
        ...


@runtime_checkable
class Synthesiser(Protocol):
    """Makes images of words."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its images depend on but words and number."""
        ...

    def synthesise(self, texts: Sequence[str], numbers: Sequence[int]) -> list[Image.Image | None]:
        """Make an image of each text.

        Args:
            texts: what is to be seen.
            numbers: one for each of them: the seed, so that the same text and number give the same image, whatever is
                made beside it, and other numbers others.

        Returns:
            RGB images; None for a text that nothing can be made of.
        """
        ...


@runtime_checkable
class Judge(Protocol):
    """Looks at images and says whether words fit them."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its answers depend on."""
        ...

    @property
    def mask_fill(self) -> Colour:
        """What is painted over the patches that it shall not see, where it is asked what is highlighted by a mask."""
        ...

    def ask(self, question: Question, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[Verdict]:
        """Ask a question about each image.

        Args:
            question: which.
            images: that it is shown, one at a time; one that stands there several times is encoded once.
            phrases: one for each of them.
        """
        ...
