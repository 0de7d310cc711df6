"""From what was collected to what is shown: the exemplars of each feature, and what it fires together with.

Shape suffixes: g groups (a part of the images and a feature), k kept, q quantiles, f features, i images, o others,
r runs of equal ones.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.exemplars.collection import N_TOGETHER, Collection
from seesay.exemplars.config import CollectionConfig, Kind
from seesay.exemplars.exemplar import NO_QUANTILE
from seesay.exemplars.hashing import hashed
from seesay.exemplars.heatmaps import Arena
from seesay.exemplars.kept import EMPTY

_INACTIVE = 5  # salt
_FEATURES_AT_ONCE = 1024
_GROUPS_AT_ONCE = 4096


@final
@dataclass(frozen=True, eq=False)
class Chosen:
    """The exemplars of all features, of one kind, by part, feature and rank.

    Args:
        kind: why they are exemplars.
        parts: what each may be used for, a place in [seesay.exemplars.config.PARTS][].
        feature_ids: whose each is.
        ranks: from 0, the best first: by activation; from the most active quantile down; by chance.
        image_ids: which image each is.
        activations: of the images; zeros if inactive.
        quantiles: which part of the activating images each stands for, 0 the least active; `NO_QUANTILE` for other
            kinds.
        starts: where the heatmap of each starts among patches and activations.
        lengths: how many patches it has; 0 if inactive.
        patches: the active ones, counted row by row from each image's top left.
        patch_activations: theirs.
    """

    kind: Kind
    parts: Int[Tensor, " exemplar"]
    feature_ids: Int[Tensor, " exemplar"]
    ranks: Int[Tensor, " exemplar"]
    image_ids: Int[Tensor, " exemplar"]
    activations: Float[Tensor, " exemplar"]
    quantiles: Int[Tensor, " exemplar"]
    starts: Int[Tensor, " exemplar"]
    lengths: Int[Tensor, " exemplar"]
    patches: Int[Tensor, " active"]
    patch_activations: Float[Tensor, " active"]

    def __len__(self) -> int:
        return len(self.ranks)


def choose(collection: Collection) -> list[Chosen]:
    """Choose the exemplars of every kind.

    Args:
        collection: of all images.
    """
    return [_top(collection), _quantiles(collection), _inactive(collection)]


def _top(collection: Collection) -> Chosen:
    collection.top.settle()
    kept = collection.top.kept
    return _selection("top", collection, kept.members, kept.columns, collection.top.arena)


def _quantiles(collection: Collection) -> Chosen:
    """Divide each group's sample by activation, and take those with the largest hashes from each part."""
    collection.sampled.settle()
    kept = collection.sampled.kept
    parts = zip(kept.members.split(_GROUPS_AT_ONCE), kept.columns["activation"].split(_GROUPS_AT_ONCE), strict=True)
    quantile_gk = torch.cat([_quantiles_of(*part, collection.config) for part in parts])
    order_gk = quantile_gk.argsort(dim=1, descending=True, stable=True)
    quantile_gk = quantile_gk.gather(1, order_gk)
    members_gk = kept.members.gather(1, order_gk).masked_fill(quantile_gk == NO_QUANTILE, EMPTY)
    columns = {name: column.gather(1, order_gk) for name, column in kept.columns.items()}
    return _selection("quantile", collection, members_gk, columns, collection.sampled.arena, quantile_gk)


def _quantiles_of(members_gk: Tensor, activation_gk: Tensor, config: CollectionConfig) -> Tensor:
    """The quantile of each member that is chosen to stand for one, `NO_QUANTILE` for the others."""
    is_there_gk = members_gk != EMPTY
    # The smaller image id first where activations are the same; the empty places last.
    by_id_gk = members_gk.argsort(dim=1, stable=True)
    activation_gk = activation_gk.masked_fill(~is_there_gk, torch.inf)
    by_activation_gk = by_id_gk.gather(1, activation_gk.gather(1, by_id_gk).argsort(dim=1, stable=True))
    place_gk = by_activation_gk.argsort(dim=1)
    quantile_gk = place_gk * config.n_quantiles // is_there_gk.sum(1, keepdim=True).clamp_min(1)
    quantile_gk = quantile_gk.masked_fill(~is_there_gk, NO_QUANTILE)
    chosen_gk = torch.full_like(quantile_gk, NO_QUANTILE)
    for quantile in range(config.n_quantiles):
        is_of_gk = quantile_gk == quantile
        # Members stand in the order of their hashes.
        chosen_gk[is_of_gk & (is_of_gk.cumsum(1) <= config.n_per_quantile)] = quantile
    return chosen_gk


def _inactive(collection: Collection) -> Chosen:
    """Take those images out of the random ones that do not activate a feature; none for one that nothing activates."""
    background, n_inactive = collection.background, collection.config.n_inactive
    background.settle()
    is_live_f = collection.statistics.n_active_patches > 0
    chosen: list[Tensor] = []
    for image_ids_i, is_active_if in zip(background.members, background.columns["is_active"], strict=True):
        for feature_ids_f in torch.arange(collection.n_features, device=is_live_f.device).split(_FEATURES_AT_ONCE):
            keys_fi = hashed(feature_ids_f[:, None], image_ids_i, salt=_INACTIVE)
            is_out_fi = is_active_if[:, feature_ids_f].T | (image_ids_i == EMPTY) | ~is_live_f[feature_ids_f, None]
            keys_fk, where_fk = keys_fi.masked_fill(is_out_fi, EMPTY).topk(min(n_inactive, len(image_ids_i)), dim=1)
            chosen.append(image_ids_i[where_fk].masked_fill(keys_fk == EMPTY, EMPTY))
    members_gk = torch.cat(chosen)
    zeros_gk = torch.zeros_like(members_gk)
    columns = {"activation": zeros_gk.float(), "start": zeros_gk, "length": zeros_gk}
    return _selection("inactive", collection, members_gk, columns, Arena(members_gk.device))


def _selection(
    kind: Kind,
    collection: Collection,
    members_gk: Int[Tensor, "group kept"],
    columns: dict[str, Tensor],
    arena: Arena,
    quantile_gk: Int[Tensor, "group kept"] | None = None,
) -> Chosen:
    """Write groups out as rows; what is there stands before what is empty."""
    group, rank = (members_gk != EMPTY).nonzero(as_tuple=True)
    patches, patch_activations = arena.parts()
    return Chosen(
        kind=kind,
        parts=group // collection.n_features,
        feature_ids=group % collection.n_features,
        ranks=rank,
        image_ids=members_gk[group, rank],
        activations=columns["activation"][group, rank],
        quantiles=torch.full_like(rank, NO_QUANTILE) if quantile_gk is None else quantile_gk[group, rank],
        starts=columns["start"][group, rank],
        lengths=columns["length"][group, rank],
        patches=patches,
        patch_activations=patch_activations,
    )


def fires_together(collection: Collection) -> tuple[Int[Tensor, "feature other"], Float[Tensor, "feature other"]]:
    """The features that most often are active on a patch where a feature is.

    Args:
        collection: of all images.

    Returns:
        Their ids, -1 where there are no more; and on which share of the sampled patches each is active.
    """
    collection.patches.settle()
    n_features, config = collection.n_features, collection.config
    n = min(config.n_together, config.n_patches * N_TOGETHER)
    ids: list[Tensor] = []
    shares: list[Tensor] = []
    for start in range(0, n_features, _FEATURES_AT_ONCE):
        chunk = slice(start, start + _FEATURES_AT_ONCE)
        others_fko = collection.patches.columns["together"][chunk]
        is_there_fk = collection.patches.members[chunk] != EMPTY
        feature_ids_f = torch.arange(start, start + len(others_fko), device=others_fko.device)
        is_other_fko = is_there_fk[:, :, None] & (others_fko != feature_ids_f[:, None, None])
        # Sorted, equal ids stand side by side; each run of them is counted where it begins.
        others_fo = others_fko.masked_fill(~is_other_fko, -1).flatten(1).sort(dim=1).values
        begins_fo = torch.ones_like(others_fo, dtype=torch.bool)
        begins_fo[:, 1:] = others_fo[:, 1:] != others_fo[:, :-1]
        (begin_r,) = begins_fo.flatten().nonzero(as_tuple=True)
        count_r = begin_r.diff(append=begin_r.new_tensor([others_fo.numel()]))
        other_r = others_fo.flatten()[begin_r].long()
        # By count, and where that is the same the smaller id first; 0 stands for none.
        keys_fo = torch.zeros_like(others_fo, dtype=torch.long)
        keys_fo.view(-1)[begin_r] = (count_r * n_features + n_features - 1 - other_r) * (other_r >= 0)
        best_fn = keys_fo.topk(n, dim=1).values
        counts_fn = best_fn // n_features
        ids.append((n_features - 1 - best_fn % n_features).masked_fill(counts_fn == 0, -1))
        shares.append(counts_fn / is_there_fk.sum(1, keepdim=True).clamp_min(1))
    return torch.cat(ids), torch.cat(shares)
