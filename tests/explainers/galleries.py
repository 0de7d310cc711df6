"""A gallery that is filled by hand, and small models that have an answer to every method's question."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image

from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.exemplars.heatmap import Heatmap
from seesay.explainers.config import Selection
from seesay.images.blank import blank_image, mean_image
from seesay.vlm import VLM, Encoder, Prompts
from tests.families import BUILDERS, QUESTION

PROMPTS = Prompts(
    {"steering": QUESTION, "topk": "what is the red ?", "one-word": "is in the ?"},
    start=" a",
    mask_fill=(255, 0, 255),
)


@cache
def vlm_of(family: str = "gemma3") -> VLM:
    """A small model of a family, the same one each time."""
    return asked(PROMPTS, family)


def asked(prompts: Prompts, family: str = "gemma3") -> VLM:
    """A small model that is asked something else."""
    parts = BUILDERS[family]()
    return VLM(parts.model, parts.image_processor, parts.tokenizer, prompts)


@dataclass
class Shelf:
    """A gallery of what is put into it."""

    exemplars_of: dict[int, list[Exemplar]]
    pictures: dict[int, Image.Image]
    maxima: dict[int, float] = field(default_factory=dict)
    apart: Sequence[Sequence[int]] | None = None

    def groups(self) -> Sequence[Sequence[int]]:
        return [list(self.exemplars_of)] if self.apart is None else self.apart

    def exemplars(self, feature_id: int, selection: Selection, n: int) -> list[Exemplar]:
        return self.exemplars_of.get(feature_id, [])[:n]

    def picture(self, image: KeptImage) -> Image.Image:
        return self.pictures[image.image_id]

    def max_activation(self, feature_id: int) -> float | None:
        return self.maxima.get(feature_id)

    def mean_image(self, size: int) -> Image.Image:
        return mean_image(self.pictures.values(), size)


def kept(image_id: int, size: tuple[int, int], encoder: Encoder) -> KeptImage:
    """An image of some size, as a run keeps it that was collected with an encoder."""
    geometry = encoder.geometry(size)
    return KeptImage(image_id, f"{image_id:064x}", f"{image_id}.png", "explaining", size, geometry.grid, geometry.box)


def active_on(feature_id: int, image: KeptImage, active: np.ndarray, rank: int = 0) -> Exemplar:
    """An exemplar of a feature that is active on some patches."""
    patches = active.reshape(-1).nonzero()[0].astype(np.int32)
    activations = np.linspace(0.5, 2, len(patches), dtype=np.float32)
    return Exemplar(feature_id, "top", rank, image, float(activations.mean()), None, Heatmap(patches, activations))


def shelf(encoder: Encoder, n_images: dict[int, int], sizes: Sequence[tuple[int, int]] = ((32, 32),)) -> Shelf:
    """Noise for features, so many images for each, of sizes that take turns; each is active on patches of its own."""
    rng = np.random.default_rng(7)
    filled = Shelf({}, {})
    for feature_id, n in n_images.items():
        filled.exemplars_of[feature_id] = []
        for rank in range(n):
            image_id = len(filled.pictures)
            image = kept(image_id, sizes[image_id % len(sizes)], encoder)
            active = rng.random(image.grid) < 0.4
            active[rng.integers(image.grid[0]), rng.integers(image.grid[1])] = True
            filled.pictures[image_id] = noise(image.size, image_id)
            filled.exemplars_of[feature_id].append(active_on(feature_id, image, active, rank))
    return filled


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    """A picture of noise."""
    return blank_image("noise", max(size), seed).crop((0, 0, *size))
