"""Many heatmaps at once, end to end, as tensors while images go by and as they are written."""

from collections.abc import Mapping
from itertools import pairwise
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.exemplars.heatmap import ACTIVE

_FEWEST, _AT_ONCE = 1 << 16, 1 << 18  # active patches


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
    """Many heatmaps end to end.

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
        ends = n.cumsum(0)
        new = ends - n
        total = int(n.sum())
        patches, activations = self._patches.new_empty(total), self._activations.new_empty(total)
        # A part at a time, since the places alone take more memory than what is found there.
        marks = torch.arange(0, total, _AT_ONCE, device=ends.device)
        for first, last in pairwise([*torch.searchsorted(ends, marks, right=True).tolist(), len(n)]):
            kept = (old[first:last] - new[first:last]).repeat_interleave(n[first:last])
            start = int(new[first])
            kept += torch.arange(start, start + len(kept), device=kept.device)
            patches[start : start + len(kept)] = self._patches[kept]
            activations[start : start + len(kept)] = self._activations[kept]
        self._patches, self._activations, self._n = patches, activations, total
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
