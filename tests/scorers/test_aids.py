from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from seesay.records import Explanation
from seesay.scorers.aids import NEAR, _chance, _Donors, constant, items_of, permuted
from seesay.scorers.scorer import Item
from seesay.split import split_of

WORDS = ["a frog", "a star", "the colour red", "A Frog", ""]


def said(feature_id: int, text: str, status: str = "ok") -> Explanation:
    return Explanation(feature_id, "steering", None, text, text, status, None, None)


def test_what_failed_is_not_scored_and_what_says_nothing_is() -> None:
    found = items_of({1: [said(1, "a frog")], 2: [said(2, "", "empty")], 3: [said(3, "", "failed")]})
    assert found == [Item(1, "a frog"), Item(2, "")]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=60), st.integers(0, 3))
def test_permuted_words_are_another_feature_s_of_the_same_split_and_say_something_else(
    words: list[str], seed: int
) -> None:
    items = [Item(feature_id, text) for feature_id, text in enumerate(words)]
    donors = {(split_of(item.feature_id), item.text) for item in items}
    for item in permuted(items, {}, seed):
        own = items[item.feature_id]
        assert item.text and item.text.casefold() != own.text.casefold()
        assert (split_of(item.feature_id), item.text) in donors


def plainly_permuted(items: list[Item], near: set[tuple[int, int]], seed: int) -> list[Item]:
    """By going through all others, one by one."""
    found: list[Item] = []
    for split in ("validation", "test"):
        ring = sorted((each for each in items if split_of(each.feature_id) == split), key=lambda x: _chance(seed, x))
        for place, item in enumerate(ring):
            for donor in (*ring[place + 1 :], *ring[:place]):
                is_another = donor.feature_id != item.feature_id and (donor.feature_id, item.feature_id) not in near
                if is_another and donor.text and donor.text.casefold() != item.text.casefold():
                    found.append(replace(item, text=donor.text))
                    break
    return sorted(found, key=lambda item: (item.feature_id, item.sample))


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(WORDS)), max_size=60),
    st.sets(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=80),
    st.integers(0, 3),
)
def test_permuted_words_are_the_first_ones_around_the_ring_that_will_do(
    said: list[tuple[int, str]], alike: set[tuple[int, int]], seed: int
) -> None:
    items = [Item(feature_id, text, sample) for sample, (feature_id, text) in enumerate(said)]
    nearest = {one: [(other, 1.0) for first, other in alike if first == one] for one, _ in alike}
    both_ways = alike | {(other, one) for one, other in alike}
    assert permuted(items, nearest, seed) == plainly_permuted(items, both_ways, seed)


class Read(list[Item]):
    """Items that count how often one is looked at."""

    n_reads = 0

    def __getitem__(self, place: Any) -> Any:
        self.n_reads += 1
        return super().__getitem__(place)


def test_finding_words_among_many_that_are_the_same_does_not_take_the_square_of_their_number() -> None:
    items = Read(Item(feature_id, "a star" if feature_id < 3 else "a frog") for feature_id in range(2000))
    donors = _Donors(items, set())
    assert all(donors.words_for(item, place) for place, item in enumerate(items, 1))
    assert items.n_reads < 3 * len(items)


@given(st.permutations(range(30)))
def test_whose_words_a_feature_gets_does_not_depend_on_the_order_of_the_items(order: list[int]) -> None:
    items = [Item(feature_id, f"word {feature_id % 7}") for feature_id in order]
    assert permuted(items, {}) == permuted(sorted(items, key=lambda item: item.feature_id), {})


def test_every_feature_gets_words_where_there_are_enough_that_differ() -> None:
    items = [Item(feature_id, f"word {feature_id}") for feature_id in range(200)]
    found = permuted(items, {})
    assert [item.feature_id for item in found] == list(range(200))
    assert len({item.text for item in found}) > 150


def test_a_near_duplicate_lends_no_words() -> None:
    both = [feature_id for feature_id in range(100) if split_of(feature_id) == "test"][:3]
    items = [Item(both[0], "a frog"), Item(both[1], "a toad"), Item(both[2], "a star")]
    near = {both[0]: [(both[1], NEAR + 0.01)], both[1]: [(both[0], NEAR + 0.01)]}
    found = {item.feature_id: item.text for item in permuted(items, near)}
    assert found[both[0]] == found[both[1]] == "a star"


def test_where_all_say_the_same_nothing_is_permuted() -> None:
    assert permuted([Item(feature_id, "a frog") for feature_id in range(50)], {}) == []


def test_the_constant_is_what_is_said_most_often_to_all() -> None:
    items = [Item(0, "a star"), Item(1, "a frog"), Item(2, "a frog", 1), Item(3, "")]
    assert constant(items) == [Item(0, "a frog"), Item(1, "a frog"), Item(2, "a frog", 1), Item(3, "a frog")]
    assert constant(items, "a cat")[3] == Item(3, "a cat")


def test_where_nothing_is_said_there_is_no_constant() -> None:
    assert constant([Item(0, ""), Item(1, "")]) == []
