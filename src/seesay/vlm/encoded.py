"""Images on their way through a vision encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seesay.vlm.geometry import Geometry


@final
@dataclass(frozen=True, eq=False)
class Prepared:
    """Images that are ready for an encoder.

    Args:
        pictures: what it is fed, on the CPU.
        geometries: where each image's patches will lie.
    """

    pictures: Mapping[str, Tensor]
    geometries: tuple[Geometry, ...]


@final
@dataclass(frozen=True, eq=False)
class Encoded:
    """Images encoded up to a block, with all that is needed to go on from there.

    Args:
        residual: the residual stream after the block, prefix tokens (CLS) included. Images with fewer positions than
            the others are padded with zeros at the end.
        layer: the block, 0-based.
        geometries: where each image's patches lie.
        pictures: what the encoder was fed.
        taps: the residual stream after those earlier blocks that the language model reads as well (Qwen3-VL).
    """

    residual: Float[Tensor, "image position d_model"]
    layer: int
    geometries: tuple[Geometry, ...]
    pictures: Mapping[str, Tensor]
    taps: Mapping[int, Float[Tensor, "image position d_model"]] = field(default_factory=dict[int, Tensor])

    def __len__(self) -> int:
        return len(self.geometries)

    def __getitem__(self, rows: slice) -> "Encoded":
        """Some of the images, one after another."""
        first, last, _ = rows.indices(len(self))
        lengths = [geometry.n_positions for geometry in self.geometries]
        n_rows = sum(lengths[:first]), sum(lengths[:last])  # of the parts that hold a row per position (Qwen)
        return Encoded(
            residual=self.residual[first:last],
            layer=self.layer,
            geometries=self.geometries[first:last],
            pictures={
                name: value[first:last] if len(value) == len(self) else value[slice(*n_rows)]
                for name, value in self.pictures.items()
            },
            taps={layer: tap[first:last] for layer, tap in self.taps.items()},
        )

    @property
    def n_bytes(self) -> int:
        """That its tensors take."""
        return sum(each.nbytes for each in (self.residual, *self.pictures.values(), *self.taps.values()))

    def apart(self) -> list["Encoded"]:
        """Each image by itself, in tensors of its own, so that it can be kept while the others are let go."""
        alone = [self[row : row + 1] for row in range(len(self))]
        return [
            replace(
                each,
                residual=each.residual.clone(),
                pictures={name: value.clone() for name, value in each.pictures.items()},
                taps={layer: tap.clone() for layer, tap in each.taps.items()},
            )
            for each in alone
        ]

    @property
    def is_position(self) -> Bool[Tensor, "image position"]:
        """Which positions are the image's own: prefix tokens and patches, but no padding after them."""
        return self._up_to([geometry.n_own for geometry in self.geometries])

    @property
    def in_sequence(self) -> Bool[Tensor, "image position"]:
        """Which positions are in the encoder's sequence: the image's own, and what the processor pads them with."""
        return self._up_to([geometry.n_positions for geometry in self.geometries])

    def _up_to(self, lengths: Sequence[int]) -> Tensor:
        place = self.residual.device
        return torch.arange(self.residual.shape[1], device=place) < torch.tensor(lengths, device=place)[:, None]

    @property
    def is_patch(self) -> Bool[Tensor, "image position"]:
        """Which positions are patches: neither CLS, nor registers, nor padding."""
        rows = [geometry.is_patch for geometry in self.geometries]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.residual.device)

    @property
    def residual_norm(self) -> float:
        """Mean L2 norm of the residual stream over the images' own positions."""
        return self.residual.float().norm(dim=-1)[self.is_position].mean().item()

    def with_residual(self, residual: Float[Tensor, "row position d_model"]) -> "Encoded":
        """Return the same images with another residual stream: steered, for example.

        Args:
            residual: one row per image; or any number of rows for a single image, which is then repeated.

        Raises:
            ValueError: another number of rows, or other positions or another width.
        """
        if residual.shape[1:] != self.residual.shape[1:]:
            raise ValueError(f"a residual of {list(residual.shape[1:])}, expected {list(self.residual.shape[1:])}")
        if len(residual) == len(self):
            return replace(self, residual=residual)
        if len(self) != 1:
            raise ValueError(f"{len(residual)} residuals for {len(self)} images")
        n = len(residual)
        return Encoded(
            residual=residual,
            layer=self.layer,
            geometries=self.geometries * n,
            pictures={name: _repeated(value, n) for name, value in self.pictures.items()},
            taps={layer: _repeated(tap, n) for layer, tap in self.taps.items()},
        )


def join(parts: Sequence[Encoded]) -> Encoded:
    """Put batches of images into one.

    Args:
        parts: at least one, encoded up to the same block.
    """
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Encoded(
        residual=_concatenated([part.residual for part in parts]),
        layer=first.layer,
        geometries=tuple(geometry for part in parts for geometry in part.geometries),
        pictures={name: _concatenated([part.pictures[name] for part in parts]) for name in first.pictures},
        taps={layer: _concatenated([part.taps[layer] for part in parts]) for layer in first.taps},
    )


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate along the first axis, the others padded with zeros to the longest."""
    longest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    whole = parts[0].new_zeros(sum(map(len, parts)), *longest)
    start = 0
    for part in parts:
        whole[(slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
        start += len(part)
    return whole


def _repeated(value: Tensor, n: int) -> Tensor:
    if len(value) == 1:
        return value.expand(n, *value.shape[1:])  # no copy
    return value.repeat(n, *[1] * (value.dim() - 1))
