import pytest
import torch

from seesay.errors import InvalidDecoding
from seesay.records import Decoding
from seesay.vlm.answers import Chooser, seed_of
from seesay.vlm.generation import Said


def some(n: int) -> list[Said]:
    return [Said() for _ in range(n)]


def test_an_answer_ends_with_its_first_end_token_or_after_as_many_as_it_may_have() -> None:
    chooser = Chooser(Decoding(3), [0], [1, 9])
    assert [chooser.is_last(0, ids) for ids in ([1], [5], [5, 9], [5, 6], [5, 6, 7])] == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert not Chooser(Decoding(3), [0], []).is_last(0, [1])


def test_greedy_takes_the_most_probable_token() -> None:
    chooser = Chooser(Decoding(), [0, 0], [])
    assert chooser.choose([0, 1], some(2), torch.tensor([[1.0, 3.0, 0.0], [9.0, 3.0, 0.0]])).tolist() == [1, 0]


def test_log_probabilities_are_averaged() -> None:
    assert Said([1, 2], [-0.5, -0.25]).mean_log_probability == -0.375


def drawn(decoding: Decoding, scores: torch.Tensor, n: int) -> torch.Tensor:
    chooser = Chooser(decoding, [seed_of(decoding.seed, key, 0) for key in range(n)], [])
    chosen = chooser.choose(range(n), some(n), scores.expand(n, -1))
    return chosen.bincount(minlength=len(scores)) / n


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0])
    n = 4000  # a share is then off by 0.008 or less, two times out of three
    shares = drawn(Decoding(temperature=0.7), scores, n)
    torch.testing.assert_close(shares, (scores / 0.7).softmax(-1), atol=0.03, rtol=0)


def test_only_the_most_probable_are_drawn_from() -> None:
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0])
    assert (drawn(Decoding(temperature=1.0, top_k=2), scores, 300) > 0).tolist() == [False, True, False, True]
    assert (drawn(Decoding(temperature=1.0, top_p=0.6), scores, 300) > 0).tolist() == [False, False, False, True]


def test_a_draw_depends_on_its_seed_alone() -> None:
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    decoding = Decoding(temperature=1.0)
    together = Chooser(decoding, [7, 8, 9], []).choose([0, 1, 2], some(3), scores)
    chooser = Chooser(decoding, [7, 8, 9], [])
    for _ in range(2):  # from the beginning, and once more
        assert chooser.choose([1], some(1), scores[1:2]).tolist() == together[1:2].tolist()
    begun = [Said([5], [-1.0])]
    further = {int(chooser.choose([1], begun, scores[1:2])) for _ in range(20)}
    assert len(further) > 3, "the stream goes on"
    assert len({seed_of(seed, key, sample) for seed in (0, 1) for key in (0, 1) for sample in (0, 1)}) == 8


@pytest.mark.parametrize(
    "wrong",
    [{"max_new_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_k": -1}],
)
def test_a_decoding_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidDecoding, match=next(iter(wrong))):
        Decoding(**wrong)
