"""How often and how much each feature is active: counts and sums, which add up over shards."""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float, Float64, Int, Shaped
from torch import Tensor

from seesay.exemplars.activity import Activity, Pairs
from seesay.exemplars.histogram import N_BINS, bin_edge

_INNER_EDGES = tuple(bin_edge(place) for place in range(1, N_BINS))


@final
class Statistics:
    """What is counted and summed of each feature.

    Args:
        n_features: that the SAE has.
        device: where it is kept.
    """

    def __init__(self, n_features: int, device: torch.device | str = "cpu") -> None:
        self.totals: Int[Tensor, "2"] = torch.zeros(2, dtype=torch.long, device=device)
        """Images and patches that were looked at."""
        self.n_active_patches: Int[Tensor, " feature"] = torch.zeros(n_features, dtype=torch.long, device=device)
        self.n_active_images: Int[Tensor, " feature"] = torch.zeros(n_features, dtype=torch.long, device=device)
        self.sums: Float64[Tensor, " feature"] = torch.zeros(n_features, dtype=torch.float64, device=device)
        """Of activations over patches."""
        self.maxima: Float[Tensor, " feature"] = torch.zeros(n_features, device=device)
        """Of activations over patches; 0 for a feature that was never active."""
        self.histograms: Int[Tensor, "feature bin"] = torch.zeros(n_features, N_BINS, dtype=torch.long, device=device)
        """Of activations above zero, over patches; see `bin_edge`."""

    def update(self, active: Activity, found: Pairs) -> None:
        """Count a batch.

        Args:
            active: what is active in it.
            found: the same by image.
        """
        self.totals += torch.stack([torch.tensor(len(active.n_patches)).to(self.totals), active.n_patches.sum()])
        ones_e = torch.ones_like(active.feature_ids)
        self.n_active_patches.index_add_(0, active.feature_ids, ones_e)
        self.n_active_images.index_add_(0, found.feature_ids, torch.ones_like(found.feature_ids))
        self.sums.index_add_(0, active.feature_ids, active.activations.double())
        self.maxima.scatter_reduce_(0, active.feature_ids, active.activations, "amax")
        # Looked up: a logarithm would put what lies on an edge on either side of it.
        edges = torch.tensor(_INNER_EDGES, dtype=torch.float64, device=ones_e.device)
        bins_e = torch.bucketize(active.activations.double(), edges, right=True)
        self.histograms.view(-1).index_add_(0, active.feature_ids * N_BINS + bins_e, ones_e)

    def merge(self, other: "Statistics") -> None:
        """Add what was counted on other images.

        Args:
            other: of the same features; left as it is.
        """
        for name, ours in self.state_dict().items():
            theirs = other.state_dict()[name].to(ours.device)
            ours.copy_(torch.maximum(ours, theirs) if name == "maxima" else ours + theirs)

    def state_dict(self) -> dict[str, Shaped[Tensor, "..."]]:
        """All of it, as tensors."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state_dict` gave."""
        for name, ours in self.state_dict().items():
            ours.copy_(state[name])
