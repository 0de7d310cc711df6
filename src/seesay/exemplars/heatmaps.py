"""Heatmaps as they are kept: the patches where a feature is active, and how much; all others are zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32
from torch import Tensor

_FEWEST = 1 << 16
ACTIVE = np.dtype([("patch", "<i4"), ("activation", "<f4")])
"""An active patch as it is stored; a heatmap is some of them."""


@final
@dataclass(frozen=True, eq=False)
class Heatmap:
    """One feature's activations on one image.

    Args:
        patches: the active ones, counted row by row from the top left.
        activations: theirs, all above zero.
    """

    patches: Int32[np.ndarray, " active"]
    activations: Float32[np.ndarray, " active"]

    def dense(self, grid: tuple[int, int]) -> Float32[np.ndarray, "row column"]:
        """One activation for every patch.

        Args:
            grid: rows and columns of patches.
        """
        whole = np.zeros(grid, dtype=np.float32)
        whole.reshape(-1)[self.patches] = self.activations
        return whole

    @classmethod
    def unpacked(cls, active: np.ndarray, n_patches: int) -> "Heatmap":
        """Read one out of what `packed` wrote.

        Args:
            active: of type `ACTIVE`; may be from a stranger.
            n_patches: of the image.

        Raises:
            ValueError: it is no heatmap of so many patches.
        """
        patches = active["patch"]
        if len(patches) and not 0 <= patches.min() <= patches.max() < n_patches:
            raise ValueError(f"patches {patches.min()} to {patches.max()}, of {n_patches}")
        return cls(patches.astype(np.int32), active["activation"].astype(np.float32))


def packed(
    patches: Int[Tensor, " active"],
    activations: Float[Tensor, " active"],
    starts: Int[Tensor, " heatmap"],
    lengths: Int[Tensor, " heatmap"],
) -> np.ndarray:
    """Put heatmaps one after another, as they are stored.

    Args:
        patches: of many heatmaps end to end.
        activations: the same.
        starts: where each that is wanted starts.
        lengths: how many patches it has.

    Returns:
        Their patches, of type `ACTIVE`.
    """
    shift = (starts - lengths.cumsum(0) + lengths).repeat_interleave(lengths)
    places = torch.arange(len(shift), device=shift.device) + shift
    active = np.empty(len(places), ACTIVE)
    active["patch"], active["activation"] = patches[places].cpu(), activations[places].cpu()
    return active


@final
class Arena:
    """Many heatmaps end to end; what nobody refers to any more is thrown away when it is the larger part.

    Args:
        device: where they are kept.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._patches: Int[Tensor, " active"] = torch.empty(0, dtype=torch.int32, device=device)
        self._activations: Float[Tensor, " active"] = torch.empty(0, device=device)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def append(self, patches: Int[Tensor, " active"], activations: Float[Tensor, " active"]) -> int:
        """Put heatmaps at the end.

        Args:
            patches: theirs, one heatmap after another.
            activations: the same.

        Returns:
            Where the first one starts.
        """
        start, self._n = self._n, self._n + len(patches)
        if self._n > len(self._patches):
            room = max(_FEWEST, 3 * self._n // 2)
            self._patches = _grown(self._patches, start, room)
            self._activations = _grown(self._activations, start, room)
        self._patches[start : self._n] = patches
        self._activations[start : self._n] = activations
        return start

    def compact(self, starts: Int[Tensor, "*place"], lengths: Int[Tensor, "*place"]) -> Int[Tensor, "*place"]:
        """Throw away all but some heatmaps.

        Args:
            starts: where they start.
            lengths: how many patches each has; 0 for none.

        Returns:
            Where they start now.
        """
        old, n = starts.reshape(-1), lengths.reshape(-1)
        new = n.cumsum(0) - n
        shift = (old - new).repeat_interleave(n)
        kept = torch.arange(len(shift), device=shift.device) + shift
        self._patches, self._activations, self._n = self._patches[kept], self._activations[kept], len(kept)
        return new.reshape(starts.shape)

    def parts(self) -> tuple[Int[Tensor, " active"], Float[Tensor, " active"]]:
        """Patches and activations of all, one heatmap after another."""
        return self._patches[: self._n], self._activations[: self._n]

    def state_dict(self) -> Mapping[str, Tensor]:
        """All of it, as tensors."""
        patches, activations = self.parts()
        return {"patches": patches, "activations": activations}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state_dict` gave."""
        self._n = 0
        self.append(state["patches"], state["activations"])


def _grown(tensor: Tensor, n_used: int, room: int) -> Tensor:
    larger = tensor.new_empty(room)
    larger[:n_used] = tensor[:n_used]
    return larger
