"""What the language model answers, how sure it was of its words, and how they are chosen."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from seesay.records import Decoding
from seesay.vlm.generation import Said


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


@final
class Chooser:
    """Chooses tokens as a decoding says.

    transformers draws tokens from one stream of random numbers for the whole batch, so that an answer would depend on
    its neighbours. Here each answer has its own stream, of one number a token.

    Args:
        decoding: how to choose.
        seeds: one for each answer; greedy decoding ignores them.
        end_ids: the tokens that end an answer.
    """

    def __init__(self, decoding: Decoding, seeds: Sequence[int], end_ids: Collection[int]) -> None:
        self._n_most, self._end_ids = decoding.max_new_tokens, frozenset(end_ids)
        self._warpers: list[LogitsProcessor] = []
        if decoding.temperature > 0:
            self._warpers.append(TemperatureLogitsWarper(float(decoding.temperature)))
            if decoding.top_k:
                self._warpers.append(TopKLogitsWarper(decoding.top_k))
            if decoding.top_p < 1:
                self._warpers.append(TopPLogitsWarper(decoding.top_p))
        self._seeds = seeds
        self._generators: dict[int, torch.Generator] = {}

    def choose(
        self, numbers: Sequence[int], said: Sequence[Said], scores: Float[Tensor, "row vocabulary"]
    ) -> Int[Tensor, " row"]:
        """The most probable token of each row, or one drawn from its warped distribution."""
        if not self._warpers:
            return scores.argmax(-1)
        for number, each in zip(numbers, said, strict=True):
            if not each.token_ids:  # the first time, or from the beginning again
                # On the CPU, so that the draw does not depend on the device.
                self._generators[number] = torch.Generator().manual_seed(self._seeds[number])
        wanted = scores
        for warper in self._warpers:
            wanted = warper(None, wanted)  # pyright: ignore[reportArgumentType] (they look at scores alone)
        cumulative = wanted.softmax(-1).cumsum(-1)
        drawn = torch.stack([torch.rand(1, generator=self._generators[each]) for each in numbers]).to(scores.device)
        # Scaled by the sum, which rounding leaves near 1; strictly below it, so that a possible token is drawn.
        place = torch.searchsorted(cumulative, drawn * cumulative[:, -1:], right=True)
        last_possible = (wanted > -torch.inf).long().mul(torch.arange(scores.shape[-1], device=scores.device)).amax(-1)
        return place.minimum(last_possible[:, None]).squeeze(-1)

    def is_last(self, number: int, token_ids: Sequence[int]) -> bool:
        """At a token that ends an answer, or as many as there may be."""
        return token_ids[-1] in self._end_ids or len(token_ids) == self._n_most


@final
class Forced:
    """Has each answer be what it is told.

    Args:
        token_ids: of each answer, at least one.
    """

    def __init__(self, token_ids: Sequence[Sequence[int]]) -> None:
        assert all(token_ids), "an answer without a token"
        self._token_ids = token_ids

    def choose(
        self, numbers: Sequence[int], said: Sequence[Said], scores: Float[Tensor, "row vocabulary"]
    ) -> Int[Tensor, " row"]:
        """The next token of each."""
        told = [self._token_ids[number][len(each.token_ids)] for number, each in zip(numbers, said, strict=True)]
        return torch.tensor(told, device=scores.device)

    def is_last(self, number: int, token_ids: Sequence[int]) -> bool:
        """When all of it is said."""
        return len(token_ids) == len(self._token_ids[number])


def seed_of(seed: int, key: int, sample: int) -> int:
    """The seed of one answer, which depends on nothing else that is asked at the same time.

    Args:
        seed: of the whole.
        key: what the answer is about, a feature id for example.
        sample: its number among the answers about that.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}:{sample}".encode()).digest()[:7], "big")
