"""Pupils: patches of natural images, each together with its likes from other images.

Shape suffixes: n patch (of all images), d d_model, i image; or d drawn, where there is no d_model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from seesay.images.overlays import masked
from seesay.teaching.config import Teaching
from seesay.vlm import VLM
from seesay.vlm.geometry import Geometry

_IMAGES_AT_ONCE = 32
_DRAWN_AT_ONCE = 32


@final
@dataclass(frozen=True, eq=False)
class Patches:
    """The patches of some images, as residuals of a block.

    Args:
        offsets: of the residuals from their mean.
        image: that each of them is of, from 0, ascending.
        geometries: where each image's patches lie.
    """

    offsets: Float[Tensor, "patch d_model"]
    image: Int[Tensor, " patch"]
    geometries: tuple[Geometry, ...]

    @classmethod
    def of(
        cls, vlm: VLM, layer: int, images: Sequence[Image.Image], on_images: Callable[[int], None] = lambda _n: None
    ) -> "Patches":
        """Encode images up to a block.

        Args:
            vlm: whose vision encoder.
            layer: the block.
            images: at least one.
            on_images: told how many more are done.

        Raises:
            NotEnoughMemory: a single image does not fit.
        """
        rows: list[Tensor] = []
        geometries: list[Geometry] = []
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            some = images[start : start + _IMAGES_AT_ONCE]
            encoded = vlm.encode_to(some, layer, batch_size=len(some))
            for residual, geometry in zip(encoded.residual.float().cpu(), encoded.geometries, strict=True):
                rows.append(residual[geometry.position_of_patch])
            geometries += encoded.geometries
            on_images(len(some))
        whole = torch.cat(rows)
        image = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(each) for each in rows]))
        return cls(whole - whole.mean(0), image, tuple(geometries))

    def __len__(self) -> int:
        return len(self.image)


@final
@dataclass(frozen=True, eq=False)
class Pupil:
    """Patches that are alike.

    Args:
        offset: their mean offset from the mean residual: of each image's patches first, then over images.
        images: that they are of, the likest first.
        active: which patches of each image they are, row by row of its grid.
    """

    offset: Float[Tensor, " d_model"]
    images: tuple[int, ...]
    active: tuple[Bool[np.ndarray, "row column"], ...]

    def drawn(self, pictures: Sequence[Image.Image], patches: Patches, fill: tuple[int, int, int]) -> list[Image.Image]:
        """Its images as exemplars are shown: all other patches painted over.

        Args:
            pictures: that the patches are of.
            patches: all of them.
            fill: what is painted.
        """
        shown: list[Image.Image] = []
        for image, active in zip(self.images, self.active, strict=True):
            pixels = np.asarray(pictures[image].convert("RGB"))
            shown.append(Image.fromarray(masked(pixels, active, fill, patches.geometries[image].box)))
        return shown


def find_pupils(patches: Patches, teaching: Teaching) -> list[Pupil]:
    """Draw patches, and find those of other images that are like them.

    Args:
        patches: to draw from.
        teaching: how many, and what is alike.
    """
    directions_nd = normalize(patches.offsets, dim=-1)
    generator = torch.Generator().manual_seed(teaching.seed)
    n_pupils = min(teaching.n_pupils, len(patches))
    drawn = torch.randperm(len(patches), generator=generator)[:n_pupils]
    # several at once: all patches are read from memory for each product
    products = (directions_nd[some] @ directions_nd.T for some in drawn.split(_DRAWN_AT_ONCE))
    return [_pupil(patches, likeness_n, teaching) for likeness_dn in products for likeness_n in likeness_dn]


def _pupil(patches: Patches, likeness_n: Float[Tensor, " patch"], teaching: Teaching) -> Pupil:
    n_images = len(patches.geometries)
    best_i = torch.full((n_images,), -torch.inf).scatter_reduce(0, patches.image, likeness_n, "amax")
    chosen = best_i.topk(min(teaching.n_images, n_images)).indices.tolist()
    offsets: list[Tensor] = []
    active: list[np.ndarray] = []
    for image in chosen:
        own = slice(*torch.searchsorted(patches.image, torch.tensor([image, image + 1])).tolist())
        # the likest one is always among them, however unlike it is
        is_alike = likeness_n[own] >= torch.minimum(teaching.likeness * best_i[image], best_i[image])
        offsets.append(patches.offsets[own][is_alike].mean(0))
        active.append(is_alike.reshape(patches.geometries[image].grid).numpy())
    return Pupil(torch.stack(offsets).mean(0), tuple(chosen), tuple(active))
