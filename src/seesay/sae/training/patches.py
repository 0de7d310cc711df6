"""A stream of shuffled patches, out of an encoder that looks at one image after another, never of all at once."""

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.images.loading import batches
from seesay.images.sources import ImageSource
from seesay.vlm.encoder import Encoder

_IMAGES_AT_ONCE = 32


@dataclass(frozen=True)
class Place:
    """Where the reading of images has come to.

    Args:
        epoch: how often all images were read before.
        position: how many of this epoch's were.
    """

    epoch: int = 0
    position: int = 0


@final
class PatchStream:
    """Batches of the residual stream after a block, at patches only, in shuffled order, without end.

    Images come in a shuffled order of their own, and their patches go through a buffer: a batch is drawn from it at
    random, and what comes next from the encoder takes the place of what was drawn. The whole state can be saved, so
    that a training that goes on sees just what it would have seen.

    Args:
        encoder: looks at the images.
        source: has the images; it is read again in another order when it ends.
        layer: the block, 0-based.
        batch_size: patches a batch.
        buffer_batches: how many batches the buffer holds.
        seed: of both orders.

    Raises:
        UnreadableImages: while it is read, if too many images cannot be.
    """

    def __init__(
        self, encoder: Encoder, source: ImageSource, layer: int, *, batch_size: int, buffer_batches: int, seed: int
    ) -> None:
        self._encoder, self._source, self._layer = encoder, source, layer
        self._batch_size, self._buffer_size, self._seed = batch_size, buffer_batches * batch_size, seed
        self._place = Place()
        self._random = torch.Generator().manual_seed(seed)
        self.device = encoder.device
        self._ahead = torch.empty(0, encoder.d_model, device=self.device)
        """Patches of the images that were read last, for which the buffer had no room yet."""
        self._buffer: Float[Tensor, "patch d_model"] | None = None
        self._encoded = self._encode()

    def __iter__(self) -> Iterator[Float[Tensor, "patch d_model"]]:
        return self

    def __next__(self) -> Float[Tensor, "patch d_model"]:
        buffer = self._filled()
        # On the CPU on any machine: the same patches are drawn.
        drawn = torch.randperm(len(buffer), generator=self._random)[: self._batch_size].to(self.device)
        batch = buffer[drawn]
        buffer[drawn] = self._next(self._batch_size)
        return batch

    def state_dict(self) -> dict[str, Tensor]:
        """What it takes to go on: patches that were read and not yet drawn, the place, and the generator's state."""
        return {
            "buffer": self._filled(),
            "ahead": self._ahead.contiguous(),
            "place": torch.tensor(astuple(self._place)),
            "random": self._random.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from there.

        Args:
            state: of a stream with the same arguments.
        """
        self._buffer, self._ahead = state["buffer"].to(self.device), state["ahead"].to(self.device)
        self._random.set_state(state["random"])
        self._place = Place(*state["place"].tolist())
        self._encoded = self._encode()

    def _filled(self) -> Float[Tensor, "patch d_model"]:
        if self._buffer is None:
            self._buffer = self._next(self._buffer_size)
        return self._buffer

    def _next(self, n_patches: int) -> Float[Tensor, "patch d_model"]:
        """Take the patches that come next, in the images' order."""
        taken = torch.empty(n_patches, self._encoder.d_model, device=self.device)
        n_taken = 0
        while n_taken < n_patches:
            if not len(self._ahead):
                self._ahead = next(self._encoded)
            some = self._ahead[: n_patches - n_taken]
            taken[n_taken : n_taken + len(some)] = some
            self._ahead = self._ahead[len(some) :]
            n_taken += len(some)
        return taken

    def _encode(self) -> Iterator[Float[Tensor, "patch d_model"]]:
        while True:
            source, start = self._source.shuffled(self._seed + self._place.epoch), self._place.position
            for batch in batches(
                source,
                start=start,
                batch_size=_IMAGES_AT_ONCE,
                n_workers=self._encoder.n_workers,
                prepare=self._encoder.prepare,
            ):
                encoded = self._encoder.encode_prepared(batch.prepared, self._layer)
                self._place = Place(self._place.epoch, batch.next_position)
                yield encoded.residual[encoded.is_patch].float()
            self._place = Place(self._place.epoch + 1, 0)
