"""Contrastive decoding: tokens are chosen by how much more probable they are than of another picture.

Source: Li et al., arXiv 2210.15097, with another image in the place of the weaker model.
"""

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.vlm.answers import Answer
from seesay.vlm.generation import Said, generate
from seesay.vlm.model import VLM, Watch
from seesay.vlm.tokens import ImageTokens

PLAUSIBLE = 0.1
"""Of the most probable token's probability a token must have at least this share, or rare ones would win."""


@torch.no_grad()
def say_unlike(
    vlm: VLM,
    prompt: str,
    rows: Sequence[Sequence[ImageTokens]],
    other: Sequence[ImageTokens],
    share: float,
    *,
    max_new_tokens: int,
    batch_size: int | None = None,
    watch: Watch | None = None,
) -> list[Answer]:
    """Ask a question about rows of images, and have said of each what would not be said of another row.

    Of the plausible tokens that is chosen for which `log p(row) - share * log p(other)` is largest.

    Args:
        vlm: who is asked.
        prompt: text of the user's turn, which follows the images.
        rows: the images of each turn.
        other: the images of the turn that answers are to be unlike.
        share: how much its log-probabilities count; 0 is greedy decoding.
        max_new_tokens: where an answer is cut off.
        batch_size: rows that are answered at a time, halved when memory runs out; None takes all.
        watch: listens while answers are being said.

    Returns:
        The answers, with the mean log-probability that the model itself gives them.

    Raises:
        UnreadablePrompt: a prompt that holds one of the model's own tokens for an image.
        UnreadableModel: a chat template that cannot be filled in, or does not put the images in.
        NotEnoughMemory: with a batch size, if a single row does not fit.
    """
    if not rows:
        return []
    known: dict[tuple[int, ...], Float[Tensor, " vocabulary"]] = {}

    def of_other(begun: tuple[int, ...]) -> Float[Tensor, " vocabulary"]:
        if begun not in known:
            known[begun] = _next_token(vlm, prompt, other, begun)
        return known[begun]

    chooser = _Unlike(of_other, share, max_new_tokens, frozenset(vlm.end_ids))

    def spelt(said: Sequence[Said]) -> list[str]:
        return vlm.decode([each.token_ids for each in said])

    asked = vlm.asking_all(prompt, rows, chooser)
    said = generate(vlm.model, asked, batch_size, lambda said: watch(spelt(said)) if watch else None)
    return [Answer(text, each.mean_log_probability) for text, each in zip(spelt(said), said, strict=True)]


def _next_token(
    vlm: VLM, prompt: str, row: Sequence[ImageTokens], begun: Sequence[int]
) -> Float[Tensor, " vocabulary"]:
    """Natural log-probabilities of the token that follows what an answer has begun with."""
    listener = _Listener(begun)
    generate(vlm.model, vlm.asking_all(prompt, [row], listener))
    assert listener.heard is not None
    return listener.heard


@final
class _Unlike:
    """Chooses the plausible token that is least expected of the other row."""

    def __init__(
        self,
        of_other: Callable[[tuple[int, ...]], Float[Tensor, " vocabulary"]],
        share: float,
        n_most: int,
        end_ids: frozenset[int],
    ) -> None:
        self._of_other, self._share, self._n_most, self._end_ids = of_other, share, n_most, end_ids

    def choose(
        self, numbers: Sequence[int], said: Sequence[Said], scores: Float[Tensor, "row vocabulary"]
    ) -> Int[Tensor, " row"]:
        own = scores.log_softmax(-1)
        other = torch.stack([self._of_other(tuple(each.token_ids)) for each in said]).to(own)
        is_plausible = own >= own.amax(-1, keepdim=True) + math.log(PLAUSIBLE)
        return (own - self._share * other).where(is_plausible, -torch.inf).argmax(-1)

    def is_last(self, number: int, token_ids: Sequence[int]) -> bool:
        return token_ids[-1] in self._end_ids or len(token_ids) == self._n_most


@final
class _Listener:
    """Says what an answer has begun with, and listens to what the model would say next."""

    def __init__(self, begun: Sequence[int]) -> None:
        self._begun = begun
        self.heard: Float[Tensor, " vocabulary"] | None = None

    def choose(
        self, numbers: Sequence[int], said: Sequence[Said], scores: Float[Tensor, "row vocabulary"]
    ) -> Int[Tensor, " row"]:
        (own,) = said
        if len(own.token_ids) < len(self._begun):
            return torch.tensor([self._begun[len(own.token_ids)]], device=scores.device)
        self.heard = scores[0].log_softmax(-1)
        return scores.argmax(-1)

    def is_last(self, number: int, token_ids: Sequence[int]) -> bool:
        return len(token_ids) > len(self._begun)
