import torch

from seesay.vlm.answers import GreedyLogProbabilities, until_end


def test_an_answer_ends_with_its_first_end_token() -> None:
    token_ids = torch.tensor([[5, 1, 0, 0], [5, 6, 7, 8], [1, 1, 1, 1]])
    assert until_end(token_ids, torch.tensor([1, 9])).int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]


def test_without_end_tokens_everything_counts() -> None:
    assert until_end(torch.tensor([[5, 1]]), torch.tensor([], dtype=torch.long)).all()


def test_log_probabilities_are_natural_and_averaged_over_what_counts() -> None:
    listener = GreedyLogProbabilities()
    steps = [torch.tensor([[1.0, 3.0, 0.0]]), torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 9.0]])]
    for scores in steps:
        assert listener(torch.tensor([[0]]), scores) is scores
    expected = (steps[0].log_softmax(-1)[0, 1] + steps[1].log_softmax(-1)[0, 0]) / 2
    torch.testing.assert_close(listener.mean(torch.tensor([[True, True, False]])).float(), expected[None])
