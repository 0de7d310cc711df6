"""What is scored in the place of a feature's own words, so that one sees what a score is worth.

A score that gives another feature's words, or the same words for all, as much as a feature's own says nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import final

from seesay.records import Aid, Explanation
from seesay.scorers.scorer import Item
from seesay.split import split_of

PERMUTATION = 1
"""Raised when features would get the words of others than before."""

NEAR = 0.5
"""The cosine above which two features' directions count as nearly the same."""


def items_to_score(
    said: Mapping[int, Sequence[Explanation]],
    aid: Aid | None,
    nearest: Mapping[int, Sequence[tuple[int, float]]],
    *,
    seed: int = 0,
) -> list[Item]:
    """What is scored of explanations, or in their place.

    Args:
        said: by feature, all samples.
        aid: what is put in their place; None for nothing.
        nearest: of each feature the ones of the nearest directions, with the cosine.
        seed: of the permutation.
    """
    items = items_of(said)
    match aid:
        case None:
            return items
        case "permuted":
            return permuted(items, nearest, seed)
        case "constant":
            return constant(items)


def items_of(said: Mapping[int, Sequence[Explanation]]) -> list[Item]:
    """What is scored of explanations: all but failures of the machine, which are tried again; silence is scored, too.

    Args:
        said: by feature, all samples.
    """
    return [
        Item(each.feature_id, each.text, each.sample)
        for samples in said.values()
        for each in samples
        if each.status != "failed"
    ]


def permuted(items: Sequence[Item], nearest: Mapping[int, Sequence[tuple[int, float]]], seed: int = 0) -> list[Item]:
    """Give each feature the words of another one of its split, which says something else and is no near-duplicate.

    The features stand in a ring, in an order drawn at random, and each takes over what the next one says that will do.

    Args:
        items: what features' own words are.
        nearest: of each feature the ones of the nearest directions, with the cosine.
        seed: of the order.

    Returns:
        The same features with others' words; without those for which no other feature's will do.
    """
    # Both ways round: a feature with many near-duplicates does not list them all, but each of them may list it.
    near = {
        pair
        for feature_id, others in nearest.items()
        for other, cosine in others
        if cosine > NEAR
        for pair in ((feature_id, other), (other, feature_id))
    }
    found: list[Item] = []
    for split in ("validation", "test"):
        ring = sorted(
            (item for item in items if split_of(item.feature_id) == split), key=lambda item: _chance(seed, item)
        )
        donors = _Donors([item for item in ring if item.text], near)
        n_passed = 0
        for item in ring:
            n_passed += item.text != ""
            text = donors.words_for(item, n_passed)
            if text is not None:
                found.append(replace(item, text=text))
    return sorted(found, key=lambda item: (item.feature_id, item.sample))


def constant(items: Sequence[Item], text: str | None = None) -> list[Item]:
    """Give all features the same words.

    Args:
        items: what features' own words are.
        text: the words; None for those that are said most often, silence left out, which need not be those that would
            get most.
    """
    counts = Counter(item.text for item in items if item.text)
    if text is None and not counts:
        return []
    words = min(counts, key=lambda each: (-counts[each], each)) if text is None else text
    return [replace(item, text=words) for item in items]


@final
class _Donors:
    """Those of a ring that say something, in its order.

    Whoever says the same as the next one knows how far on the first stands that does not: many features often say the
    same, and going by them one by one, for each of them, would take time with the square of their number.
    """

    def __init__(self, items: Sequence[Item], near: set[tuple[int, int]]) -> None:
        self._items, self._near = items, near
        self._words = [each.text.casefold() for each in items]
        n = len(items)
        self._n_alike = [n] * n  # all around, where nobody says anything else
        for place in reversed(range(2 * n)):
            here, after = place % n, (place + 1) % n
            self._n_alike[here] = 1 if self._words[here] != self._words[after] else min(self._n_alike[after] + 1, n)

    def words_for(self, item: Item, start: int) -> str | None:
        """What the first one from a place on says that will do; None if nobody's words will."""
        n, own, step = len(self._items), item.text.casefold(), 0
        while step < n:
            place = (start + step) % n
            donor = self._items[place]
            if self._words[place] == own:
                step += self._n_alike[place]
            elif donor.feature_id == item.feature_id or (donor.feature_id, item.feature_id) in self._near:
                step += 1
            else:
                return donor.text
        return None


def _chance(seed: int, item: Item) -> bytes:
    return blake2b(
        f"{seed} {item.feature_id} {item.sample}".encode(), digest_size=8, person=b"seesay-permuted"
    ).digest()
