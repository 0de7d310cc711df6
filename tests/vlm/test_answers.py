import pytest
import torch

from seesay.errors import InvalidDecoding
from seesay.records import Decoding
from seesay.vlm.answers import Chooser, seed_of, until_end

IDS = torch.tensor([[0]])


def test_an_answer_ends_with_its_first_end_token() -> None:
    token_ids = torch.tensor([[5, 1, 0, 0], [5, 6, 7, 8], [1, 1, 1, 1]])
    assert until_end(token_ids, torch.tensor([1, 9])).int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]


def test_without_end_tokens_everything_counts() -> None:
    assert until_end(torch.tensor([[5, 1]]), torch.tensor([], dtype=torch.long)).all()


def test_greedy_log_probabilities_are_natural_and_averaged_over_what_counts() -> None:
    chooser = Chooser(Decoding(), [0])
    steps = [torch.tensor([[1.0, 3.0, 0.0]]), torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 9.0]])]
    for scores in steps:
        assert chooser(IDS, scores) is scores
    expected = (steps[0].log_softmax(-1)[0, 1] + steps[1].log_softmax(-1)[0, 0]) / 2
    torch.testing.assert_close(chooser.mean(torch.tensor([[True, True, False]])).float(), expected[None])


def drawn(decoding: Decoding, scores: torch.Tensor, n: int) -> torch.Tensor:
    chooser = Chooser(decoding, [seed_of(decoding.seed, key, 0) for key in range(n)])
    wanted = chooser(IDS.expand(n, -1), scores.expand(n, -1))
    chosen = wanted.argmax(-1)
    log_probabilities = scores.log_softmax(-1)[chosen].double()
    torch.testing.assert_close(chooser.mean(torch.ones(n, 1).bool()), log_probabilities, atol=1e-6, rtol=0)
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
    together = Chooser(Decoding(temperature=1.0), [7, 8, 9])(IDS.expand(3, -1), scores)
    alone = Chooser(Decoding(temperature=1.0), [8])(IDS, scores[1:2])
    assert torch.equal(together[1:2], alone)
    assert len({seed_of(seed, key, sample) for seed in (0, 1) for key in (0, 1) for sample in (0, 1)}) == 8


@pytest.mark.parametrize(
    "wrong",
    [{"max_new_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_k": -1}],
)
def test_a_decoding_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidDecoding, match=next(iter(wrong))):
        Decoding(**wrong)
