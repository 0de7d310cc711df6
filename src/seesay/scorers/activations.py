"""How strongly features are active on images: the subject's encoder and SAE, as scorers use them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from seesay.errors import NotEnoughMemory
from seesay.exemplars.activity import Activity, Pairs, activity, pairs
from seesay.exemplars.config import Reduction
from seesay.images.grid import Grid
from seesay.sae import SAE
from seesay.scorers.memory import Memory
from seesay.vlm.batches import fitting
from seesay.vlm.encoder import Encoder

_MOST_BYTES = 1 << 29
"""How much of what was seen is remembered: thousands of images of hundreds of patches."""


@final
@dataclass(frozen=True, eq=False)
class Looked:
    """What features make of one image, only where they are active.

    Args:
        grid: rows and columns of patches.
        feature_ids: the active features, ascending.
        activations: of the image, theirs.
        patch_features: of every active pair of patch and feature, ascending.
        patches: of the same, counted row by row from the top left.
        patch_activations: of the same.
    """

    grid: Grid
    feature_ids: np.ndarray
    activations: np.ndarray
    patch_features: np.ndarray
    patches: np.ndarray
    patch_activations: np.ndarray

    def activation(self, feature_id: int) -> float:
        """A feature's activation of the image; 0 if it is not active."""
        place = int(np.searchsorted(self.feature_ids, feature_id))
        is_there = place < len(self.feature_ids) and self.feature_ids[place] == feature_id
        return float(self.activations[place]) if is_there else 0.0

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        of_image, of_patches = (self.feature_ids, self.activations), (self.patch_features, self.patches)
        return sum(each.nbytes for each in (*of_image, *of_patches, self.patch_activations))

    def dense(self, feature_id: int) -> Float[np.ndarray, "row column"]:
        """A feature's heatmap, with a number for every patch."""
        whole = np.zeros(self.grid, dtype=np.float32)
        own = slice(*np.searchsorted(self.patch_features, [feature_id, feature_id + 1]))
        whole.reshape(-1)[self.patches[own]] = self.patch_activations[own]
        return whole


@final
class Activations:
    """The subject, asked how strongly its features are active.

    Args:
        encoder: the subject's.
        sae: on its device.
        layer: the block.
        reduction: what makes one activation of an image's patches: the one that the run was collected with.
        batch_size: images per pass; it changes nothing but speed and memory, and the last digits.
    """

    def __init__(
        self, encoder: Encoder, sae: SAE, layer: int, reduction: Reduction = "mean", batch_size: int = 32
    ) -> None:
        self.encoder, self.sae, self.layer = encoder, sae, layer
        self._reduction: Reduction = reduction
        self._batch_size = batch_size
        self._looked = Memory[Looked](_MOST_BYTES, lambda looked: looked.n_bytes)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What its numbers depend on but the subject: how an image's activation is told, and the number format."""
        return {"reduction": self._reduction, "dtype": str(self.encoder.dtype)}

    def pairs(self, images: Sequence[Image.Image]) -> Pairs:
        """Which features are active on which images, and how strongly: `of` without its zeros, on the SAE's device.

        Args:
            images: at least one, of any size.

        Returns:
            Sorted by image, then by feature. Heatmaps start where they would among the entries of all images.

        Raises:
            NotFinite: numbers overflowed on the way.
            NotEnoughMemory: a single image does not fit.
        """
        parts: list[Pairs] = []
        n_images, n_entries = 0, 0
        for active in self._in_batches(images):
            of = pairs(active, self.sae.n_features, self._reduction)
            parts.append(replace(of, images=of.images + n_images, starts=of.starts + n_entries))
            n_images, n_entries = n_images + len(active.n_patches), n_entries + len(active.feature_ids)
        assert parts, "no images"
        return Pairs(*(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(Pairs)))

    def of(self, images: Sequence[Image.Image]) -> Float[Tensor, "image feature"]:
        """Activations of all features on images, on the CPU.

        Args:
            images: of any size.

        Raises:
            NotFinite: numbers overflowed on the way.
            NotEnoughMemory: a single image does not fit.
        """
        found = torch.zeros(len(images), self.sae.n_features)
        start = 0
        for active in self._in_batches(images):
            of = pairs(active, self.sae.n_features, self._reduction)
            found[(of.images + start).cpu(), of.feature_ids.cpu()] = of.activations.cpu()
            start += len(active.n_patches)
        return found

    def look(self, images: Sequence[Image.Image], keys: Sequence[str]) -> list[Looked]:
        """What features make of images; each is encoded once, as long as its memory reaches.

        Args:
            images: of any size.
            keys: one for each, equal for equal images: the hash of its pixels.

        Raises:
            NotFinite: numbers overflowed on the way.
            NotEnoughMemory: a single image does not fit.
        """
        found = {key: looked for key in dict.fromkeys(keys) if (looked := self._looked.get(key)) is not None}
        missing = {key: image for key, image in zip(keys, images, strict=True) if key not in found}
        for key, looked in zip(missing, self._fresh(list(missing.values())), strict=True):
            self._looked.put(key, looked)
            found[key] = looked
        return [found[key] for key in keys]

    def _fresh(self, images: Sequence[Image.Image]) -> Iterator[Looked]:
        rest = iter(images)
        for active in self._in_batches(images):
            of = pairs(active, self.sae.n_features, self._reduction)
            ends = np.arange(len(active.n_patches) + 1)
            # Both are sorted by image, so that each image's own are one piece; int32 halves what is remembered.
            pairs_of, entries_of = (np.searchsorted(each.cpu().numpy(), ends) for each in (of.images, active.images))
            feature_ids, activations = of.feature_ids.int().cpu().numpy(), of.activations.cpu().numpy()
            patch_features, patches = active.feature_ids.int().cpu().numpy(), active.patches.int().cpu().numpy()
            patch_activations = active.activations.cpu().numpy()
            for number in ends[:-1]:
                own = slice(pairs_of[number], pairs_of[number + 1])
                entries = slice(entries_of[number], entries_of[number + 1])
                yield Looked(
                    grid=self.encoder.geometry(next(rest).size).grid,
                    # copies: a view would keep the whole batch in memory
                    feature_ids=feature_ids[own].copy(),
                    activations=activations[own].copy(),
                    patch_features=patch_features[entries].copy(),
                    patches=patches[entries].copy(),
                    patch_activations=patch_activations[entries].copy(),
                )

    def _in_batches(self, images: Sequence[Image.Image]) -> Iterator[Activity]:
        def run(batch: Sequence[Image.Image]) -> Activity:
            return activity(self.sae, self.encoder.encode_to(batch, self.layer, batch_size=self._batch_size), 1)

        too_large = NotEnoughMemory(
            f"the features of one image, and no memory left on {self.encoder.device}",
            expected="room for a single image",
            remedy="free some memory, or use another --device",
        )
        return fitting(images, self._batch_size, run, lambda _image: too_large)
