"""A stream of shuffled patches, out of an encoder that looks at one image after another, never of all at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.errors import UnreadableImages
from seesay.images.loading import batches
from seesay.images.sources import ImageSource
from seesay.vlm.encoder import Encoder

_IMAGES_AT_ONCE = 32
_N_WORKERS = 8


@dataclass(frozen=True)
class Place:
    """Where a stream has come to.

    Args:
        epoch: how often all images were read before.
        position: how many of this epoch's were.
    """

    epoch: int = 0
    position: int = 0


@final
class PatchStream:
    """Batches of the residual stream after a block, at patches only, from images in shuffled order, without end.

    Args:
        encoder: looks at the images.
        source: has the images; it is read again in another order when it ends.
        layer: the block, 0-based.
        batch_size: patches a batch.
        buffer_batches: how many batches are shuffled among each other.
        seed: of the order of images.
        place: where a training that goes on had come to.

    Raises:
        UnreadableImages: while it is read, if too many images cannot be.
    """

    def __init__(
        self,
        encoder: Encoder,
        source: ImageSource,
        layer: int,
        *,
        batch_size: int,
        buffer_batches: int,
        seed: int,
        place: Place | None = None,
    ) -> None:
        self._encoder, self._source, self._layer = encoder, source, layer
        self._seed = seed
        self._buffer_size = buffer_batches * batch_size
        self._batches = self._shuffled(batch_size)
        self.place = place or Place()

    def __iter__(self) -> Iterator[Float[Tensor, "patch d_model"]]:
        return self

    def __next__(self) -> Float[Tensor, "patch d_model"]:
        return next(self._batches)

    def _shuffled(self, batch_size: int) -> Iterator[Tensor]:
        # Imports transformer-lens too, which takes five seconds: nothing else pays for it.
        from sae_lens.training.mixing_buffer import mixing_buffer

        return mixing_buffer(self._buffer_size, batch_size, self._halves())

    def _halves(self) -> Iterator[Tensor]:
        """Half a buffer at a time: sae-lens copies all of its buffer for whatever is added."""
        parts: list[Tensor] = []
        n_patches = 0
        for patches in self._patches():
            parts.append(patches)
            n_patches += len(patches)
            if n_patches >= self._buffer_size // 2:
                yield torch.cat(parts)
                parts, n_patches = [], 0

    def _patches(self) -> Iterator[Tensor]:
        n_workers = 0 if self._encoder.device.type == "cpu" else _N_WORKERS
        while True:
            source, start = self._source.shuffled(self._seed + self.place.epoch), self.place.position
            for batch in batches(
                source,
                start=start,
                batch_size=_IMAGES_AT_ONCE,
                n_workers=n_workers,
                prepare=self._encoder.prepare,
            ):
                encoded = self._encoder.encode_prepared(batch.prepared, self._layer)
                self.place = Place(self.place.epoch, batch.next_position)
                yield encoded.residual[encoded.is_patch].float().cpu()
            if start == self.place.position == 0:
                raise UnreadableImages(f"no image of {self._source.name} can be read", expected="at least one")
            self.place = Place(self.place.epoch + 1, 0)
