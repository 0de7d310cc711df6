from hypothesis import given
from hypothesis import strategies as st

from seesay.images.sources.shuffling import permutation


@given(n=st.integers(0, 300), seed=st.integers(0, 2**64 - 1))
def test_a_permutation_has_every_number_once(n: int, seed: int) -> None:
    assert sorted(permutation(n, seed)) == list(range(n))


def test_an_order_takes_eight_bytes_an_image() -> None:
    """As a list of numbers it would take forty."""
    assert permutation(1000, seed=0).nbytes == 8000


def test_the_order_never_changes() -> None:
    """Golden: written down when this was first run, with numpy 2.4."""
    assert permutation(10, seed=3).tolist() == [0, 4, 9, 7, 1, 5, 6, 3, 8, 2]
