"""How probable words are as an answer: they are forced upon the language model, on the path by which it speaks."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.vlm.answers import Forced
from seesay.vlm.generation import generate, weigh
from seesay.vlm.model import VLM
from seesay.vlm.tokens import ImageTokens

MOST_TOKENS = 256
"""Of an answer, whatever follows is not read: what is said in answer to a question about an image is shorter."""


@torch.no_grad()
def log_likelihoods(
    vlm: VLM, prompt: str, rows: Sequence[Sequence[ImageTokens]], answers: Sequence[str], start: str = ""
) -> list[float | None]:
    """How probable an answer is to a question about each row of images.

    Args:
        vlm: who is asked.
        prompt: text of the user's turn, which follows the images.
        rows: the images of each turn, as for [seesay.vlm.model.VLM.say][].
        answers: one for each row, of any words; special tokens in them are left out, and what ends an answer is not
            asked for.
        start: words that each answer has begun with already; a blank stands between them and the rest.

    Returns:
        Of each answer the mean natural log-probability of its tokens; None for one of no tokens.

    Raises:
        UnreadablePrompt: a prompt that holds one of the model's own tokens for an image.
        UnreadableModel: a chat template that cannot be filled in, or does not put the images in.
    """
    token_ids = [_tokens(vlm, answer, start) for answer in answers]
    told = [row for row, ids in enumerate(token_ids) if ids]
    assert len(token_ids) == len(rows), f"{len(token_ids)} answers for {len(rows)} rows"
    found: list[float | None] = [None] * len(rows)
    if told:
        forced = Forced([token_ids[row] for row in told])
        # What `VLM.say` is made of: only who chooses the tokens differs.
        asked = vlm.asking_all(prompt, [rows[row] for row in told], forced, start=start)
        for row, said in zip(told, generate(vlm.model, asked), strict=True):
            found[row] = said.mean_log_probability
    return found


@torch.no_grad()
def phrase_likelihoods(
    vlm: VLM,
    prompt: str,
    rows: Sequence[Sequence[ImageTokens]],
    phrases: Sequence[Sequence[str]],
    at_once: int | None = None,
) -> Float[Tensor, "row phrase"]:
    """How probable each of several answers is to a question about a row of images, which is read once for all of them.

    Args:
        vlm: who is asked.
        prompt: text of the user's turn, which follows the images.
        rows: the images of each turn.
        phrases: the answers to each, as many for every row, of any words.
        at_once: rows that are answered at a time, halved when memory runs out; None takes all.

    Returns:
        Natural log-probabilities of the words, summed over their tokens, whatever may follow; minus infinity for
        an answer of no tokens.

    Raises:
        UnreadablePrompt: a prompt that holds one of the model's own tokens for an image.
        UnreadableModel: a chat template that cannot be filled in, or does not put the images in.
        NotEnoughMemory: with `at_once`, if a single row does not fit.
    """
    n_phrases = len(phrases[0]) if phrases else 0
    assert len(phrases) == len(rows), f"{len(phrases)} lists of phrases for {len(rows)} rows"
    assert all(len(each) == n_phrases for each in phrases), "rows with different numbers of phrases"
    ids_of = {phrase: _tokens(vlm, phrase, "") for phrase in dict.fromkeys(each for own in phrases for each in own)}

    asked = vlm.asking_all(prompt, rows, Forced([]))
    sums = weigh(
        vlm.model, asked.inputs_of, [[ids_of[each] for each in own] for own in phrases], at_once or len(rows) or 1
    )
    found = torch.tensor(sums, dtype=torch.float32).reshape(len(rows), n_phrases)
    is_said = torch.tensor([[bool(ids_of[each]) for each in own] for own in phrases], dtype=torch.bool)
    return found.where(is_said.reshape(found.shape), -torch.inf)


def answer_losses(
    vlm: VLM, prompt: str, rows: Sequence[Sequence[ImageTokens]], answers: Sequence[str]
) -> Float[Tensor, " row"]:
    """How improbable an answer is to a question about each row of images, with gradients of what the images are.

    Args:
        vlm: who is asked.
        prompt: text of the user's turn, which follows the images.
        rows: the images of each turn: as many for every row, of one size.
        answers: one for each row, of at least one word.

    Returns:
        Of each answer the mean negative natural log-probability of its tokens, that which ends it included.

    Raises:
        UnreadablePrompt: a prompt that holds one of the model's own tokens for an image.
    """
    ends = vlm.end_ids[-1:]
    token_ids = [_tokens(vlm, answer, "") + ends for answer in answers]
    inputs = dict(vlm.asking_all(prompt, rows, Forced([])).inputs_of(range(len(rows))))
    n_most = max(map(len, token_ids))
    place = inputs["input_ids"].device
    told = torch.tensor([ids + [0] * (n_most - len(ids)) for ids in token_ids], device=place)
    is_told = torch.tensor([[True] * len(ids) + [False] * (n_most - len(ids)) for ids in token_ids], device=place)
    n_asked = inputs["input_ids"].shape[1]
    appended = {"input_ids": told, "attention_mask": is_told.long()}
    # an answer's words look back alone, where those of a question look both ways
    of_type = torch.full_like(told, int(vlm.reads_prompt_both_ways))
    appended |= {"token_type_ids": of_type, "mm_token_type_ids": torch.zeros_like(told)}
    whole = {name: torch.cat([inputs[name], more], dim=1) for name, more in appended.items() if name in inputs}
    logits = vlm.model(**(inputs | whole), use_cache=False).logits[:, n_asked - 1 : -1].float()
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), told, reduction="none")
    return (losses * is_told).sum(-1) / is_told.sum(-1)


def _tokens(vlm: VLM, answer: str, start: str) -> list[int]:
    """An answer's tokens as they follow its start, without those that mean something to the model itself."""
    words = " ".join(answer.split())
    if not words:
        return []
    ids = vlm.tokenize(words)
    if start:
        # A word that follows another one is often another token than the same word alone.
        begun, whole = vlm.tokenize(start), vlm.tokenize(f"{start} {words}")
        ids = whole[len(begun) :] if whole[: len(begun)] == begun else ids
    special = _special(vlm)
    return [token_id for token_id in ids if token_id not in special][:MOST_TOKENS]


def _special(vlm: VLM) -> frozenset[int]:
    """The tokens that begin, end and pad, or stand for images. That for an unknown word is a word, if a poor one."""
    tokenizer: Any = vlm._tokenizer  # pyright: ignore[reportPrivateUsage] (a model's words are its own affair)
    added = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    of_model = {*vlm.end_ids, vlm.model.config.image_token_id}
    return frozenset({*tokenizer.all_special_ids, *added, *of_model} - {tokenizer.unk_token_id})
