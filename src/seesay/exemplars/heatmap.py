"""A heatmap as it is kept: the patches where a feature is active, and how much; all others are zero."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int32

from seesay.images.grid import Grid

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

    def dense(self, grid: Grid) -> Float32[np.ndarray, "row column"]:
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
