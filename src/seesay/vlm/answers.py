"""What the language model answers, and how sure it was of its words."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import LogitsProcessor


@dataclass(frozen=True)
class Answer:
    """One answer of the language model.

    Args:
        text: its words, without special tokens.
        mean_log_probability: mean natural log-probability of the chosen tokens, the end token included and whatever
            follows it left out.
    """

    text: str
    mean_log_probability: float


class GreedyLogProbabilities(LogitsProcessor):
    """Listens to greedy decoding and keeps the log-probability of each chosen token.

    transformers can return all scores instead, but those are `[answer, token, vocabulary]`: gigabytes for a batch.
    Greedy decoding takes the most probable token, so the largest log-probability is the chosen one's.
    """

    def __init__(self) -> None:
        self._steps: list[Float[Tensor, " answer"]] = []

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] (transformers marks these as LongTensor)
        self, input_ids: Int[Tensor, "answer token"], scores: Float[Tensor, "answer vocabulary"]
    ) -> Float[Tensor, "answer vocabulary"]:
        """Note the largest log-probability and leave the scores as they are."""
        self._steps.append(scores.amax(-1) - scores.logsumexp(-1))
        return scores

    def mean(self, is_chosen: Bool[Tensor, "answer token"]) -> Float[Tensor, " answer"]:
        """Average over the tokens that count, in double precision so that padding cannot move the last digit.

        Args:
            is_chosen: which of the generated tokens count, at least one per answer.
        """
        log_probabilities = torch.stack(self._steps, dim=1).double()
        return log_probabilities.where(is_chosen, 0.0).sum(-1) / is_chosen.sum(-1)


def until_end(token_ids: Int[Tensor, "answer token"], end_ids: Int[Tensor, " end"]) -> Bool[Tensor, "answer token"]:
    """Tell which tokens belong to an answer: all up to the first end token, itself included.

    Args:
        token_ids: generated tokens; answers that ended early are padded.
        end_ids: the tokens that end an answer.
    """
    is_end = torch.isin(token_ids, end_ids).int()
    n_ends_before = is_end.cumsum(-1) - is_end
    return n_ends_before == 0
