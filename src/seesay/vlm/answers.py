"""What the language model answers, and how sure it was of its words."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from seesay.records import Decoding


@dataclass(frozen=True)
class Answer:
    """One answer of the language model.

    Args:
        text: its words, without special tokens.
        mean_log_probability: mean natural log-probability of the chosen tokens, the end token included and whatever
            follows it left out. It is the model's own, at a temperature of 1 and over all tokens, also where the words
            were drawn otherwise. None for words that no model said.
    """

    text: str
    mean_log_probability: float | None


class Chooser(LogitsProcessor):
    """Chooses each next token and keeps its log-probability.

    transformers can return all scores instead, but those are `[answer, token, vocabulary]`: gigabytes for a batch. It
    can draw tokens, too, but from one stream of random numbers for the whole batch, so that an answer would depend on
    its neighbours. Here each answer has its own stream, of one number a token; the token that it falls on is left as
    the only one, and greedy decoding takes it.

    Args:
        decoding: how to choose.
        seeds: one for each answer; greedy decoding ignores them.
    """

    def __init__(self, decoding: Decoding, seeds: Sequence[int]) -> None:
        self._warpers: list[LogitsProcessor] = []
        if decoding.temperature > 0:
            self._warpers.append(TemperatureLogitsWarper(float(decoding.temperature)))
            if decoding.top_k:
                self._warpers.append(TopKLogitsWarper(decoding.top_k))
            if decoding.top_p < 1:
                self._warpers.append(TopPLogitsWarper(decoding.top_p))
        # On the CPU, so that the draw does not depend on the device.
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._steps: list[Float[Tensor, " answer"]] = []

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] (transformers marks these as LongTensor)
        self, input_ids: Int[Tensor, "answer token"], scores: Float[Tensor, "answer vocabulary"]
    ) -> Float[Tensor, "answer vocabulary"]:
        """Return scores whose largest is the token to choose."""
        if not self._warpers:
            self._steps.append(scores.amax(-1) - scores.logsumexp(-1))
            return scores
        chosen = self._drawn(input_ids, scores)
        self._steps.append(scores.gather(-1, chosen).squeeze(-1) - scores.logsumexp(-1))
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)

    def mean(self, is_chosen: Bool[Tensor, "answer token"]) -> Float[Tensor, " answer"]:
        """Average over the tokens that count, on the CPU.

        Args:
            is_chosen: which of the generated tokens count, at least one per answer.
        """
        # In double precision, which not all devices have, so that padding cannot move the last digit.
        log_probabilities = torch.stack(self._steps, dim=1).cpu().double()
        counts = is_chosen.cpu()
        return log_probabilities.where(counts, 0.0).sum(-1) / counts.sum(-1)

    def _drawn(self, input_ids: Tensor, scores: Tensor) -> Int[Tensor, "answer 1"]:
        """One token of each row, drawn from its warped distribution."""
        wanted = scores.float()
        for warper in self._warpers:
            wanted = warper(input_ids, wanted)  # pyright: ignore[reportArgumentType]
        cumulative = wanted.softmax(-1).cumsum(-1)
        drawn = torch.stack([torch.rand(1, generator=each) for each in self._generators]).to(scores.device)
        # Scaled by the sum, which rounding leaves near 1; strictly below it, so that a possible token is drawn.
        place = torch.searchsorted(cumulative, drawn * cumulative[:, -1:], right=True)
        last_possible = (wanted > -torch.inf).long().mul(torch.arange(scores.shape[-1], device=scores.device)).amax(-1)
        return place.minimum(last_possible[:, None])


class Watcher(LogitsProcessor):
    """Tells what has been said so far, whenever a token follows; the last tokens of all are told by the answer itself.

    Args:
        tell: is given the tokens of each answer; whatever it raises ends the generation.
    """

    def __init__(self, tell: Callable[[Int[Tensor, "answer token"]], None]) -> None:
        self._tell = tell
        self._n_asked: int | None = None

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] (transformers marks these as LongTensor)
        self, input_ids: Int[Tensor, "answer token"], scores: Float[Tensor, "answer vocabulary"]
    ) -> Float[Tensor, "answer vocabulary"]:
        """Tell, and leave scores as they are."""
        if self._n_asked is None:
            self._n_asked = input_ids.shape[1]
        self._tell(input_ids[:, self._n_asked :])
        return scores


class Forced(LogitsProcessor):
    """Has each answer be what it is told, and keeps how probable its tokens were.

    Greedy decoding takes the one token that is left. An answer that is shorter than the longest repeats its last token,
    which does not count.

    Args:
        token_ids: of each answer, at least one; none that ends an answer, after which nothing would be read any more.
    """

    def __init__(self, token_ids: Sequence[Sequence[int]]) -> None:
        assert all(token_ids), "an answer without a token"
        self.n_tokens = max(map(len, token_ids))
        """Of the longest answer: what it takes to say them all."""
        self._lengths = torch.tensor([len(ids) for ids in token_ids])
        self._token_ids = torch.tensor([[*ids, *[ids[-1]] * (self.n_tokens - len(ids))] for ids in token_ids])
        self._steps: list[Float[Tensor, " answer"]] = []

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] (transformers marks these as LongTensor)
        self, input_ids: Int[Tensor, "answer token"], scores: Float[Tensor, "answer vocabulary"]
    ) -> Float[Tensor, "answer vocabulary"]:
        """Return scores whose largest is the token to say."""
        told = self._token_ids[:, len(self._steps), None].to(scores.device)
        self._steps.append(scores.gather(-1, told).squeeze(-1) - scores.logsumexp(-1))
        return torch.full_like(scores, -torch.inf).scatter(-1, told, 0.0)

    def mean(self) -> Float[Tensor, " answer"]:
        """Mean natural log-probability of each answer's own tokens, on the CPU in 64 bits."""
        log_probabilities = torch.stack(self._steps, dim=1).cpu().double()
        counts = torch.arange(self.n_tokens) < self._lengths[:, None]
        return log_probabilities.where(counts, 0.0).sum(-1) / self._lengths


def seed_of(seed: int, key: int, sample: int) -> int:
    """The seed of one answer, which depends on nothing else that is asked at the same time.

    Args:
        seed: of the whole.
        key: what the answer is about, a feature id for example.
        sample: its number among the answers about that.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}:{sample}".encode()).digest()[:7], "big")


def until_end(token_ids: Int[Tensor, "answer token"], end_ids: Int[Tensor, " end"]) -> Bool[Tensor, "answer token"]:
    """Tell which tokens belong to an answer: all up to the first end token, itself included.

    Args:
        token_ids: generated tokens; answers that ended early are padded.
        end_ids: the tokens that end an answer.
    """
    is_end = torch.isin(token_ids, end_ids).int()
    n_ends_before = is_end.cumsum(-1) - is_end
    return n_ends_before == 0
