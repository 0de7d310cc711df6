"""The best few of a stream, for many groups at once: in memory that does not grow, mergeable, independent of order.

Shape suffixes: g groups, k kept, c candidates.
"""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

EMPTY = -1
"""The key of a place that nothing is in."""

Columns = Mapping[str, Tensor]

_GROUP, _KEY, _MEMBER = "_group", "_key", "_member"  # beside the columns' own names


@final
class Kept:
    """For each group the members with the largest keys.

    Which they are does not depend on the order in which they were offered, nor on how they were divided before they
    were merged. Candidates wait until there are as many as places, so that keeping them in order costs each of them
    little; the room where they wait is made once, so that memory does not grow.

    Args:
        n_groups: how many groups.
        size: how many members each keeps.
        columns: what goes with a member: for every name, an empty tensor (0, *shape) of the right type.
        device: where it is kept.
    """

    def __init__(self, n_groups: int, size: int, columns: Columns, device: torch.device | str = "cpu") -> None:
        self.keys: Int[Tensor, "group kept"] = torch.full((n_groups, size), EMPTY, device=device)
        """Largest first; `EMPTY` where nothing is kept."""
        self.members: Int[Tensor, "group kept"] = torch.full((n_groups, size), EMPTY, device=device)
        """Tells a group's members apart: none is kept twice."""
        self.columns: dict[str, Tensor] = {
            name: empty.new_zeros(n_groups, size, *empty.shape[1:], device=device) for name, empty in columns.items()
        }
        number = torch.empty(0, dtype=torch.long)
        types = {_GROUP: number, _KEY: number, _MEMBER: number, **columns}
        room = max(1, self.keys.numel())
        self._waiting = {name: empty.new_empty(room, *empty.shape[1:], device=device) for name, empty in types.items()}
        self._n_waiting = 0

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> int:
        """How many members a group keeps."""
        return self.keys.shape[1]

    def wants(self, groups_c: Int[Tensor, " candidate"], keys_c: Int[Tensor, " candidate"]) -> Tensor:
        """Which candidates are better than the last of their group, as far as that is known by now."""
        return keys_c > self.keys[groups_c, -1]

    def offer(
        self,
        groups_c: Int[Tensor, " candidate"],
        keys_c: Int[Tensor, " candidate"],
        members_c: Int[Tensor, " candidate"],
        columns: Columns,
    ) -> None:
        """Offer candidates that `wants` has let through.

        Args:
            groups_c: the groups they are of.
            keys_c: theirs, at least 0.
            members_c: which they are; none is offered twice.
            columns: what goes with them.
        """
        if not self.has_room(len(keys_c)):
            self.settle()
        waiting = slice(self._n_waiting, self._n_waiting + len(keys_c))
        for name, offered in {_GROUP: groups_c, _KEY: keys_c, _MEMBER: members_c, **columns}.items():
            if waiting.stop > len(self._waiting[name]):  # a batch that is larger than all that is kept
                self._waiting[name] = offered.new_empty(waiting.stop, *offered.shape[1:])
            self._waiting[name][waiting] = offered
        self._n_waiting = waiting.stop

    def has_room(self, n: int) -> bool:
        """Whether so many more candidates can wait before those that do are taken in."""
        return self._n_waiting + n <= len(self._waiting[_KEY])

    def settle(self) -> None:
        """Take in all candidates that wait."""
        if not self._n_waiting:
            return
        columns = {name: waiting[: self._n_waiting] for name, waiting in self._waiting.items()}
        groups_c, keys_c, members_c = columns[_GROUP], columns[_KEY], columns[_MEMBER]
        self._n_waiting = 0
        # By group, and in each by key: two stable sorts, the lesser one first.
        order_c = keys_c.argsort(descending=True, stable=True)
        order_c = order_c[groups_c[order_c].argsort(stable=True)]
        groups_c = groups_c[order_c]
        first_of_group_c = torch.searchsorted(groups_c, groups_c)
        rank_c = torch.arange(len(groups_c), device=groups_c.device) - first_of_group_c
        stays_c = rank_c < self.size
        order_c, groups_c, rank_c = order_c[stays_c], groups_c[stays_c], rank_c[stays_c]
        touched_g, row_c = groups_c.unique_consecutive(return_inverse=True)
        width = int(rank_c.max()) + 1

        def beside(kept: Tensor, offered: Tensor, filling: int) -> Tensor:
            new = offered.new_full((len(touched_g), width, *offered.shape[1:]), filling)
            new[row_c, rank_c] = offered[order_c]
            return torch.cat([kept[touched_g], new], dim=1)

        self.keys[touched_g], chosen = beside(self.keys, keys_c, EMPTY).topk(self.size, dim=1)
        self.members[touched_g] = beside(self.members, members_c, EMPTY).gather(1, chosen)
        for name, kept in self.columns.items():
            kept[touched_g] = _taken(beside(kept, columns[name], 0), chosen)

    def merge(self, other: "Kept", shifts: Mapping[str, int] | None = None) -> None:
        """Take in what another has kept.

        Args:
            other: of the same groups, size and columns; left as it is, but settled.
            shifts: what to add to some of its columns.
        """
        self.settle()
        other.settle()
        keys = torch.cat([self.keys, other.keys.to(self.keys.device)], dim=1)
        members = torch.cat([self.members, other.members.to(self.keys.device)], dim=1)
        chosen = _best(keys, members, self.size)
        self.keys, self.members = keys.gather(1, chosen), members.gather(1, chosen)
        for name, kept in self.columns.items():
            theirs = other.columns[name].to(kept.device) + (shifts or {}).get(name, 0)
            self.columns[name] = _taken(torch.cat([kept, theirs.to(kept.dtype)], dim=1), chosen)

    def state_dict(self) -> dict[str, Tensor]:
        """All that is kept, as tensors."""
        self.settle()
        return {"keys": self.keys, "members": self.members, **self.columns}

    def load_state_dict(self, state: Columns) -> None:
        """Put back what was kept.

        Args:
            state: of one of the same groups, size and columns.

        Raises:
            ValueError: it is of another one.
        """
        self.settle()
        for name, kept in self.state_dict().items():
            if state[name].shape != kept.shape or state[name].dtype != kept.dtype:
                raise ValueError(f"{name} of {state[name].dtype} {list(state[name].shape)}, not {list(kept.shape)}")
            kept.copy_(state[name])


def _best(keys_gc: Tensor, members_gc: Tensor, size: int) -> Int[Tensor, "group kept"]:
    """Where the largest keys of each row are, every member counted once."""
    by_key_gc = keys_gc.argsort(dim=1, descending=True, stable=True)
    sorted_members_gc = members_gc.gather(1, by_key_gc)
    # Equal members side by side, the one with the larger key first.
    by_member_gc = sorted_members_gc.argsort(dim=1, stable=True)
    beside_gc = sorted_members_gc.gather(1, by_member_gc)
    repeats_gc = torch.zeros_like(beside_gc, dtype=torch.bool)
    repeats_gc[:, 1:] = (beside_gc[:, 1:] == beside_gc[:, :-1]) & (beside_gc[:, 1:] != EMPTY)
    is_repeat_gc = torch.zeros_like(repeats_gc).scatter(1, by_member_gc, repeats_gc)
    first_gc = is_repeat_gc.to(torch.int8).argsort(dim=1, stable=True)[:, :size]
    return by_key_gc.gather(1, first_gc)


def _taken(values: Tensor, chosen: Int[Tensor, "group kept"]) -> Tensor:
    index = chosen.reshape(*chosen.shape, *[1] * (values.dim() - 2)).expand(*chosen.shape, *values.shape[2:])
    return values.gather(1, index)
