"""No picture serves two purposes."""

from itertools import combinations

import pytest

from seesay.world.streams import RANGES, seeds


@pytest.mark.parametrize(("one", "other"), list(combinations(RANGES, 2)))
def test_streams_of_seeds_are_disjoint(one: str, other: str) -> None:
    a, b = RANGES[one], RANGES[other]
    assert a.stop <= b.start or b.stop <= a.start


def test_a_stream_does_not_run_over_into_the_next() -> None:
    with pytest.raises(AssertionError):
        seeds("encoder", len(RANGES["encoder"]) - 1, 2)


def test_pairs_for_counterfactuals_have_a_stream_of_their_own_behind_all_others() -> None:
    # Streams are appended: any other place would move the seeds that the shipped models were trained and judged on.
    assert list(RANGES)[-1] == "counterfactual"
    assert RANGES["images"].stop == RANGES["counterfactual"].start
