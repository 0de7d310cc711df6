"""How rows of image tokens become words: the language model says them, or its vocabulary is looked through."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from seesay.explainers.cases import Case
from seesay.explainers.config import SWEPT
from seesay.explainers.lens import Expected, Lens
from seesay.records import Decoding
from seesay.vlm import VLM, Answer, ImageTokens
from seesay.vlm.contrast import say_unlike
from seesay.vlm.likelihood import phrase_likelihoods
from seesay.vlm.model import Watch

Rows = Sequence[Sequence[ImageTokens]]

N_WEIGHED = 8
"""Phrases that the images are asked about: more of them change next to nothing."""

SEEN_SHARE = 0.2
"""What the images weigh beside the reading; chosen on validation features of the embedded world."""

_LEAST_GAIN = 1e-5
"""Of a probability or a cosine; less is rounding."""


@runtime_checkable
class Answering(Protocol):
    """Turns what is seen into words."""

    def answer(self, rows: Rows, cases: Sequence[Case]) -> list[Answer]:
        """The answers: all samples of the first row, then those of the second.

        Args:
            rows: the images of each case.
            cases: one for each row.
        """
        ...


@final
class Saying:
    """The language model is asked, and speaks.

    Args:
        vlm: who is asked.
        prompt: what.
        decoding: how its words are chosen.
        watch: listens while it speaks.
        at_once: questions that it answers at a time, halved when memory runs out; None takes all.
    """

    def __init__(
        self,
        vlm: VLM,
        prompt: str,
        decoding: Decoding,
        watch: Watch | None = None,
        at_once: int | None = None,
    ) -> None:
        self._vlm, self._prompt, self._decoding, self._watch = vlm, prompt, decoding, watch
        self._at_once = at_once

    def answer(self, rows: Rows, cases: Sequence[Case]) -> list[Answer]:
        """What it says."""
        return self._vlm.say(
            self._prompt,
            rows,
            self._decoding,
            keys=[case.key for case in cases],
            batch_size=self._at_once,
            watch=self._watch,
        )


@final
class Contrasting:
    """The language model is asked, and says what it would not say of a white image.

    Args:
        vlm: who is asked.
        prompt: what.
        white: a white image, with nothing pushed.
        share: how much what is said of it counts; see [seesay.vlm.contrast.say_unlike][].
        max_new_tokens: where an answer is cut off.
        watch: listens while it speaks.
        at_once: questions that it answers at a time, halved when memory runs out; None takes all.
    """

    def __init__(
        self,
        vlm: VLM,
        prompt: str,
        white: Sequence[ImageTokens],
        share: float,
        max_new_tokens: int,
        watch: Watch | None = None,
        at_once: int | None = None,
    ) -> None:
        self._vlm, self._prompt, self._white, self._share = vlm, prompt, white, share
        self._max_new_tokens, self._watch, self._at_once = max_new_tokens, watch, at_once

    def answer(self, rows: Rows, cases: Sequence[Case]) -> list[Answer]:
        """What it says."""
        return say_unlike(
            self._vlm,
            self._prompt,
            rows,
            self._white,
            self._share,
            max_new_tokens=self._max_new_tokens,
            batch_size=self._at_once,
            watch=self._watch,
        )


@final
class Agreeing:
    """What is said at several strengths, the one answer of all of them that fits all of them best.

    Answers are compared by how much more probable each is than where nothing is pushed, on average over strengths.

    Args:
        vlm: who is asked.
        prompt: what.
        saying: answers at one strength, greedily.
        see: shows cases, pushed as hard as they say.
        at_once: questions that are answered at a time, halved when memory runs out; None takes all.
    """

    def __init__(
        self, vlm: VLM, prompt: str, saying: Saying, see: Callable[[Sequence[Case]], Rows], at_once: int | None = None
    ) -> None:
        self._vlm, self._prompt, self._saying, self._see, self._at_once = vlm, prompt, saying, see, at_once

    def answer(self, rows: Rows, cases: Sequence[Case]) -> list[Answer]:
        """The answers that were said most probably, each as it was said first."""
        swept = [
            rows if times == 1 else self._see([replace(case, coefficient=times * case.coefficient) for case in cases])
            for times in SWEPT
        ]
        said = list(zip(*(self._saying.answer(seen, cases) for seen in swept), strict=True))
        # as many for each case, so that they can be weighed together: who said the same again adds nothing
        texts = [[each.text for each in answers] for answers in said]
        steered = torch.stack([self._likelihoods(seen, texts) for seen in swept]).mean(0)
        unsteered = self._likelihoods(self._see([replace(case, direction=None) for case in cases]), texts)
        # an answer of no words is as probable as nothing, wherever it is asked about
        gained = (steered - unsteered).nan_to_num(nan=-torch.inf)
        return [answers[place] for answers, place in zip(said, gained.argmax(-1).tolist(), strict=True)]

    def _likelihoods(self, rows: Rows, texts: Sequence[Sequence[str]]) -> Float[Tensor, "row answer"]:
        return phrase_likelihoods(self._vlm, self._prompt, rows, texts, self._at_once)


@final
class TokenChange:
    """The first words of an answer that become more probable by more than all others.

    Args:
        vlm: who would be asked.
        prompt: name of the question.
        unsteered: the same image with nothing pushed.
        n_words: how many to tell.
    """

    def __init__(self, vlm: VLM, prompt: str, unsteered: Sequence[ImageTokens], n_words: int) -> None:
        self._vlm, self._prompt, self._n_words = vlm, prompt, n_words
        self._before = self._probabilities([unsteered])

    def answer(self, rows: Rows, cases: Sequence[Case]) -> list[Answer]:
        """The words, the one that has gained most first."""
        return _tell(self._vlm, self._probabilities(rows) - self._before, self._n_words)

    def _probabilities(self, rows: Rows) -> Float[Tensor, "row vocabulary"]:
        prompts = self._vlm.prompts
        return self._vlm.next_word(prompts[self._prompt], rows, prompts.start_of(self._prompt)).exp()


@final
class Vocabulary:
    """The tokens whose embeddings the image tokens have come nearest to, on average and by cosine.

    Args:
        vlm: whose vocabulary.
        unsteered: the same image with nothing pushed.
        n_words: how many to tell.
    """

    def __init__(self, vlm: VLM, unsteered: Sequence[ImageTokens], n_words: int) -> None:
        self._vlm, self._n_words = vlm, n_words
        # One matrix of unit rows would double what the vocabulary takes; their norms suffice.
        self._norms = vlm.embeddings.float().norm(dim=-1).clamp_min(1e-12)
        self._before = self._cosines([unsteered])

    def answer(self, rows: Rows, cases: Sequence[Case]) -> list[Answer]:
        """The words, the nearest first."""
        return _tell(self._vlm, self._cosines(rows) - self._before, self._n_words)

    def _cosines(self, rows: Rows) -> Float[Tensor, "row vocabulary"]:
        embeddings = self._vlm.embeddings
        means = torch.stack([normalize(torch.cat([image.tokens for image in row]).float()).mean(0) for row in rows])
        return (means.to(embeddings) @ embeddings.T).float() / self._norms


@final
class Weighing:
    """The phrase of a lens that the feature's reading and its images speak for most.

    Those that fit the reading best are held against the images: how much more probable is each than where other
    features are looked at?

    Args:
        vlm: who is asked.
        prompt: what.
        lens: the phrases, and how well each fits a reading.
        expected: how probable the model finds each of any feature, asked and shown this way.
        at_once: questions that are answered at a time, halved when memory runs out; None takes all.
    """

    def __init__(self, vlm: VLM, prompt: str, lens: Lens, expected: Expected, at_once: int | None = None) -> None:
        self._vlm, self._prompt, self._lens, self._at_once = vlm, prompt, lens, at_once
        self._expected = expected

    def answer(self, rows: Rows, cases: Sequence[Case]) -> list[Answer]:
        """The phrase for each case; it comes without a likelihood, as it was not drawn."""
        readings = self._lens.read(torch.stack([case.reads for case in cases if case.reads is not None]))
        fitting = readings.topk(min(N_WEIGHED, len(self._lens.phrases)), dim=-1)
        told = [[self._lens.phrases[each] for each in row] for row in fitting.indices.tolist()]
        likelihoods = phrase_likelihoods(self._vlm, self._prompt, rows, told, self._at_once)
        best = (fitting.values + SEEN_SHARE * self._expected.surprise(likelihoods, fitting.indices)).argmax(-1)
        return [Answer(phrases[place], None) for phrases, place in zip(told, best.tolist(), strict=True)]


def divergence(
    after: Float[Tensor, "row vocabulary"], before: Float[Tensor, "#row vocabulary"]
) -> Float[Tensor, " row"]:
    """Kullback-Leibler divergence of distributions from those before, in nats.

    Args:
        after: natural log-probabilities.
        before: the same.
    """
    # 0 log 0 is 0: a token that cannot come adds nothing.
    return torch.where(after == -torch.inf, 0.0, after.exp() * (after - before)).sum(-1).clamp_min(0.0)


def _tell(vlm: VLM, gains: Float[Tensor, "row vocabulary"], n_words: int) -> list[Answer]:
    """The words of the tokens that gained most, each spelling once, and none that gained nothing.

    Words of an answer come without a likelihood: none of them was drawn.
    """
    n_looked_at = min(gains.shape[-1], 4 * n_words)  # blanks, special tokens and spellings that differ by blanks
    values, token_ids = gains.topk(n_looked_at, dim=-1)
    answers: list[Answer] = []
    for gained, ids in zip(values.tolist(), token_ids.tolist(), strict=True):
        words = [word for word, gain in zip(vlm.words(ids), gained, strict=True) if gain > _LEAST_GAIN]
        spelt = [word for word in dict.fromkeys(words) if any(character.isalnum() for character in word)]
        is_finite = all(map(math.isfinite, gained))
        answers.append(Answer(", ".join(spelt[:n_words]), None if is_finite else math.nan))
    return answers
