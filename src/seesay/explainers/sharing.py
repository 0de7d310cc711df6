"""What is computed of a picture once, for all features that show it."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar, final

from seesay.vlm import ImageTokens
from seesay.vlm.encoded import Encoded

Seen = TypeVar("Seen", ImageTokens, Encoded)


@final
class Shared(Generic[Seen]):
    """Keeps what was asked for last, as far as there is room.

    Args:
        n_bytes: room for tensors.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes, self._n_taken = n_bytes, 0
        self._kept: OrderedDict[Hashable, Seen] = OrderedDict()

    def of(self, keys: Sequence[Hashable], make: Callable[[Sequence[int]], Sequence[Seen]]) -> list[Seen]:
        """What belongs to each key.

        Args:
            keys: equal ones mean the same.
            make: makes what is not there, given the places of its keys.
        """
        place_of = {key: place for place, key in enumerate(keys)}
        places = [place for key, place in place_of.items() if key not in self._kept]
        made = dict(zip([keys[place] for place in places], make(places) if places else (), strict=True))
        found = [made[key] if key in made else self._kept[key] for key in keys]
        for key, each in zip(keys, found, strict=True):
            self._keep(key, each)
        return found

    def clear(self) -> None:
        """Let go of all of it."""
        self._kept.clear()
        self._n_taken = 0

    def _keep(self, key: Hashable, seen: Seen) -> None:
        if key not in self._kept:
            self._n_taken += seen.n_bytes
        self._kept[key] = seen
        self._kept.move_to_end(key)
        while self._n_taken > self._n_bytes:
            self._n_taken -= self._kept.popitem(last=False)[1].n_bytes
