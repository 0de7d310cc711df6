"""How strongly features are active on images: the subject's encoder and SAE, as scorers use them."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from seesay.exemplars.activity import Activity, activity, pairs
from seesay.exemplars.config import Reduction
from seesay.images.grid import Grid
from seesay.sae import SAE
from seesay.vlm.encoder import Encoder

_N_CACHED = 4096


@final
@dataclass(frozen=True, eq=False)
class Looked:
    """What features make of one image, only where they are active.

    Args:
        grid: rows and columns of patches.
        feature_ids: the active features, ascending.
        activations: of the image, theirs.
        patch_features: of every active pair of patch and feature.
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

    def dense(self, feature_id: int) -> Float[np.ndarray, "row column"]:
        """A feature's heatmap, with a number for every patch."""
        whole = np.zeros(self.grid, dtype=np.float32)
        own = self.patch_features == feature_id
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
        self._looked: OrderedDict[str, Looked] = OrderedDict()

    def of(self, images: Sequence[Image.Image]) -> Float[Tensor, "image feature"]:
        """Activations of all features on images, on the CPU.

        Args:
            images: at least one, of any size.
        """
        found = torch.zeros(len(images), self.sae.n_features)
        for start, active in self._in_batches(images):
            of = pairs(active, self.sae.n_features, self._reduction)
            found[(of.images + start).cpu(), of.feature_ids.cpu()] = of.activations.cpu()
        return found

    def look(self, images: Sequence[Image.Image], keys: Sequence[str]) -> list[Looked]:
        """What features make of images; each is encoded once, as long as its memory reaches.

        Args:
            images: of any size.
            keys: one for each, equal for equal images: the hash of its pixels.
        """
        missing = {key: image for key, image in zip(keys, images, strict=True) if key not in self._looked}
        found = {key: self._looked[key] for key in keys if key in self._looked}
        if missing:
            found |= dict(zip(missing, self._fresh(list(missing.values())), strict=True))
        self._looked |= found
        while len(self._looked) > _N_CACHED:
            self._looked.popitem(last=False)
        return [found[key] for key in keys]

    def _fresh(self, images: Sequence[Image.Image]) -> list[Looked]:
        looked: list[Looked] = []
        for start, active in self._in_batches(images):
            of = pairs(active, self.sae.n_features, self._reduction)
            n = int(active.n_patches.shape[0])
            for number in range(n):
                own, entries = of.images == number, active.images == number
                looked.append(
                    Looked(
                        grid=self.encoder.geometry(images[start + number].size).grid,
                        feature_ids=of.feature_ids[own].cpu().numpy(),
                        activations=of.activations[own].cpu().numpy(),
                        patch_features=active.feature_ids[entries].cpu().numpy(),
                        patches=active.patches[entries].cpu().numpy(),
                        patch_activations=active.activations[entries].cpu().numpy(),
                    )
                )
        return looked

    def _in_batches(self, images: Sequence[Image.Image]) -> list[tuple[int, Activity]]:
        found: list[tuple[int, Activity]] = []
        for start in range(0, len(images), self._batch_size):
            encoded = self.encoder.encode_to(
                images[start : start + self._batch_size], self.layer, batch_size=self._batch_size
            )
            found.append((start, activity(self.sae, encoded, 1)))
        return found
