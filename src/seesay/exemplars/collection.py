"""What is collected of every feature in one pass over images: mergeable, serialisable, of a size that does not grow.

Shape suffixes: e entries, c pairs, i images of a batch.
"""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from seesay.exemplars.activity import Activity, Pairs, pairs
from seesay.exemplars.config import PARTS, CollectionConfig
from seesay.exemplars.hashing import hashed, parts_of
from seesay.exemplars.heatmaps import Arena
from seesay.exemplars.kept import EMPTY, Kept
from seesay.exemplars.statistics import Statistics

N_TOGETHER = 32
"""At most so many features of a patch are remembered, the strongest ones."""

_SAMPLED, _BACKGROUND, _PATCHES = 2, 3, 4  # salts
_LOW_32_BITS = 2**32 - 1


@final
class KeptImages:
    """For each group some images, with the activation of a feature on them and its heatmap.

    Args:
        n_groups: how many groups.
        size: how many images each keeps.
        device: where it is kept.
    """

    def __init__(self, n_groups: int, size: int, device: torch.device | str = "cpu") -> None:
        number = torch.empty(0, dtype=torch.long)
        self.kept = Kept(n_groups, size, {"activation": torch.empty(0), "start": number, "length": number}, device)
        self.arena = Arena(device)

    def offer(
        self, active: Activity, found: Pairs, groups_c: Tensor, keys_c: Tensor, image_ids_c: Tensor
    ) -> Bool[Tensor, " pair"]:
        """Offer pairs of a batch; those that are wanted are remembered with their heatmaps.

        Args:
            active: the batch's entries.
            found: the pairs.
            groups_c: their groups.
            keys_c: their keys.
            image_ids_c: their images.

        Returns:
            Which are wanted, for now.
        """
        wanted_c = self.kept.wants(groups_c, keys_c)
        lengths_c = found.lengths[wanted_c]
        starts_c = lengths_c.cumsum(0) - lengths_c
        shift_e = (found.starts[wanted_c] - starts_c).repeat_interleave(lengths_c)
        entries_e = torch.arange(len(shift_e), device=shift_e.device) + shift_e
        if not self.kept.has_room(len(lengths_c)):
            self.settle()
        base = self.arena.append(active.patches[entries_e].to(torch.int32), active.activations[entries_e])
        columns = {"activation": found.activations[wanted_c], "start": base + starts_c, "length": lengths_c}
        self.kept.offer(groups_c[wanted_c], keys_c[wanted_c], image_ids_c[wanted_c], columns)
        return wanted_c

    def merge(self, other: "KeptImages") -> None:
        """Take in what another has kept of other images.

        Args:
            other: of the same groups and size; left as it is, but settled.
        """
        self.settle()
        other.settle()
        base = self.arena.append(*(part.to(self.kept.keys.device) for part in other.arena.parts()))
        self.kept.merge(other.kept, {"start": base})
        self._compact()

    def settle(self) -> None:
        """Take in all that waits, and throw away the heatmaps of what did not stay."""
        self.kept.settle()
        self._compact()

    def state_dict(self) -> dict[str, Tensor]:
        """All that is kept, as tensors."""
        self.settle()
        return {**self.kept.state_dict(), **self.arena.state_dict()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state_dict` gave."""
        self.kept.load_state_dict(state)
        self.arena.load_state_dict(state)

    def _compact(self) -> None:
        columns = self.kept.columns
        columns["start"] = self.arena.compact(columns["start"], columns["length"])


@final
class Collection:
    """Everything that one pass over images finds out about all features.

    It does not depend on the order of the images, nor on how they were divided among collections that were merged,
    save for the last digits of sums. An image whose pixels were seen before counts in the statistics, and is kept
    once.

    Args:
        config: what is kept.
        n_features: that the SAE has.
        device: where it is kept.
    """

    def __init__(self, config: CollectionConfig, n_features: int, device: torch.device | str = "cpu") -> None:
        self.config, self.n_features = config, n_features
        n_groups = len(PARTS) * n_features
        self.statistics = Statistics(n_features, device)
        self.top = KeptImages(n_groups, config.n_top, device)
        self.sampled = KeptImages(n_groups, config.n_sampled, device)
        is_active = torch.empty(0, n_features, dtype=torch.bool)
        self.background = Kept(len(PARTS), config.n_background, {"is_active": is_active}, device)
        together = torch.empty(0, N_TOGETHER, dtype=torch.int32)
        self.patches = Kept(n_features, config.n_patches, {"together": together}, device)
        self._seen: set[int] = set()

    @property
    def n_distinct(self) -> int:
        """How many images it has seen, those with the same pixels counted once."""
        return len(self._seen)

    def update(self, active: Activity, image_ids: Sequence[int]) -> list[bool]:
        """Take in a batch.

        Args:
            active: what is active in its images.
            image_ids: theirs.

        Returns:
            Which of the images are kept, for now: of the others no trace remains but in the statistics.
        """
        found = pairs(active, self.n_features, self.config.reduction)
        self.statistics.update(active, found)
        place = active.n_patches.device
        ids_i = torch.tensor(image_ids, device=place)
        is_new_i = torch.tensor([self._is_new(image_id) for image_id in image_ids], device=place)
        is_kept_i = self._offer_background(found, ids_i, is_new_i)
        found = _only(found, is_new_i[found.images])
        ids_c = ids_i[found.images]
        groups_c = parts_of(ids_c) * self.n_features + found.feature_ids
        for images, keys_c in (
            (self.top, _ranks(found.activations, ids_c)),
            (self.sampled, hashed(found.feature_ids, ids_c, salt=_SAMPLED)),
        ):
            wanted_c = images.offer(active, found, groups_c, keys_c, ids_c)
            is_kept_i[found.images[wanted_c]] = True
        self._offer_patches(active, ids_i, is_new_i)
        return is_kept_i.tolist()

    def merge(self, other: "Collection") -> None:
        """Take in what another has found on other images.

        Args:
            other: of the same features and configuration; left as it is, but settled.
        """
        self.statistics.merge(other.statistics)
        self.top.merge(other.top)
        self.sampled.merge(other.sampled)
        self.background.merge(other.background)
        self.patches.merge(other.patches)
        self._seen |= other._seen

    def state_dict(self) -> dict[str, Tensor]:
        """All of it, as tensors."""
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        flat = {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        return flat | {"seen": torch.tensor(sorted(self._seen), dtype=torch.long)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state_dict` gave.

        Args:
            state: of a collection of the same features and configuration.

        Raises:
            KeyError: a tensor is missing.
            ValueError: it is of another collection.
        """
        for part in _PARTS:
            prefix = f"{part}."
            own = {name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)}
            getattr(self, part).load_state_dict(own)
        self._seen = set(state["seen"].tolist())

    def kept_images(self) -> set[int]:
        """The images that are kept by now."""
        kept = [self.top.kept, self.sampled.kept, self.background]
        for each in kept:
            each.settle()
        return set(torch.cat([each.members.flatten() for each in kept]).unique().tolist()) - {EMPTY}

    def _is_new(self, image_id: int) -> bool:
        is_new = image_id not in self._seen
        self._seen.add(image_id)
        return is_new

    def _offer_background(self, found: Pairs, ids_i: Tensor, is_new_i: Tensor) -> Bool[Tensor, " image"]:
        keys_i, parts_i = hashed(ids_i, salt=_BACKGROUND), parts_of(ids_i)
        wanted_i = self.background.wants(parts_i, keys_i) & is_new_i
        is_active_if = wanted_i.new_zeros(len(ids_i), self.n_features)
        is_active_if[found.images, found.feature_ids] = True
        columns = {"is_active": is_active_if[wanted_i]}
        self.background.offer(parts_i[wanted_i], keys_i[wanted_i], ids_i[wanted_i], columns)
        return wanted_i

    def _offer_patches(self, active: Activity, ids_i: Tensor, is_new_i: Tensor) -> None:
        keys_e = hashed(active.feature_ids, ids_i[active.images], active.patches, salt=_PATCHES)
        wanted_e = self.patches.wants(active.feature_ids, keys_e) & is_new_i[active.images]
        columns = {"together": active.together[active.rows[wanted_e]]}
        self.patches.offer(active.feature_ids[wanted_e], keys_e[wanted_e], keys_e[wanted_e], columns)


_PARTS = ("statistics", "top", "sampled", "background", "patches")


def _ranks(activations_c: Tensor, image_ids_c: Tensor) -> Int[Tensor, " pair"]:
    """Keys that sort by activation, and where that is the same the smaller image id first.

    A positive float's bits, read as an integer, sort as the float does. There is room for the id's first 32 bits.
    """
    return (activations_c.view(torch.int32).long() << 32) + (_LOW_32_BITS - (image_ids_c >> 31))


def _only(found: Pairs, chosen_c: Tensor) -> Pairs:
    return Pairs(
        found.feature_ids[chosen_c],
        found.images[chosen_c],
        found.activations[chosen_c],
        found.starts[chosen_c],
        found.lengths[chosen_c],
    )
