"""Pairs of a picture and a phrase, in batches that fit into memory."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import final

from PIL import Image

from seesay.errors import NotEnoughMemory
from seesay.images.grid import Size
from seesay.instruments.instrument import Picture
from seesay.instruments.segmenters.masks import Masks, no_masks
from seesay.vlm.batches import fitting


@final
@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs of an image and a phrase.

    Args:
        images: RGB, each once.
        rows: of each pair, which of the images.
        phrases: of each pair.
    """

    images: Sequence[Image.Image]
    rows: Sequence[int]
    phrases: Sequence[str]

    @property
    def sizes(self) -> list[Size]:
        """Of each pair, width and height of its image."""
        return [self.images[row].size for row in self.rows]


def segmented(
    pictures: Sequence[Picture],
    phrases: Sequence[str],
    batch_size: int,
    run: Callable[[Batch], Sequence[Masks]],
    together: Callable[[Image.Image], Hashable] = lambda _: None,
) -> list[Masks]:
    """Work through pairs in batches that fit into memory, and leave out phrases that say nothing.

    Pairs of one image stand together, so that it need be encoded only once.

    Args:
        pictures: one for each phrase.
        phrases: one for each picture.
        batch_size: pairs at a time to begin with.
        run: finds the masks of each pair of a batch.
        together: only images of which it says the same are run together.

    Returns:
        Of each pair the masks of the instances, the most certain first.

    Raises:
        NotEnoughMemory: a single pair does not fit.
    """
    found: dict[int, Masks] = {}
    places: dict[Hashable, dict[int, list[int]]] = {}
    for place, (picture, phrase) in enumerate(zip(pictures, phrases, strict=True)):
        if says_something(phrase):
            places.setdefault(together(picture.image), {}).setdefault(id(picture.image), []).append(place)

    def run_at(some: Sequence[int]) -> dict[int, Masks]:
        images = {id(pictures[place].image): pictures[place].image for place in some}
        rows = {key: row for row, key in enumerate(images)}
        batch = Batch(
            images=[image.convert("RGB") for image in images.values()],
            rows=[rows[id(pictures[place].image)] for place in some],
            phrases=[phrases[place] for place in some],
        )
        return dict(zip(some, run(batch), strict=True))

    for of_images in places.values():
        order = [place for of_image in of_images.values() for place in of_image]
        for part in fitting(order, batch_size, run_at, lambda place: _too_large(pictures[place])):
            found |= part
    return [found[place] if place in found else no_masks(each.image.size) for place, each in enumerate(pictures)]


def says_something(phrase: str) -> bool:
    """Whether a phrase has a letter or a digit."""
    return any(character.isalnum() for character in phrase)


def _too_large(picture: Picture) -> NotEnoughMemory:
    width, height = picture.image.size
    return NotEnoughMemory(
        f"a picture of {width} x {height} pixels alone does not fit into the segmenter's memory",
        expected="room for one",
        remedy="use a smaller segmenter",
    )
