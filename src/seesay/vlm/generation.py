"""How answers come about: many at a time, where whoever has finished makes room for the next.

transformers prepares what is asked and computes every step, in its own caches; who takes part in a step is decided
here. Rows of a batch are answers that are being said.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

from seesay.errors import NotEnoughMemory
from seesay.vlm.batches import fitting, is_out_of_memory
from seesay.vlm.blocks import device_of
from seesay.vlm.parallel import in_step

_READ_AT_ONCE = 64
"""Questions in one pass: more of them take memory for every token of every image, and are no faster."""

_PER_TOKEN = ("attention_mask", "position_ids", "token_type_ids", "mm_token_type_ids")
"""What transformers carries from step to step besides its cache: tokens are the last axis, rows the one before."""

_JOINABLE = {DynamicLayer, DynamicSlidingWindowLayer}


@final
@dataclass
class Said:
    """An answer, as far as it is said.

    Args:
        token_ids: its tokens, that which ends it included.
        log_probabilities: natural logarithms of how probable the model itself found each of them.
        is_complete: whether it has come to its end.
    """

    token_ids: list[int] = field(default_factory=list[int])
    log_probabilities: list[float] = field(default_factory=list[float])
    is_complete: bool = False

    @property
    def mean_log_probability(self) -> float:
        """Of its tokens, in 64 bits."""
        return math.fsum(self.log_probabilities) / len(self.log_probabilities)


@runtime_checkable
class Choosing(Protocol):
    """Chooses the tokens of answers."""

    def choose(
        self, numbers: Sequence[int], said: Sequence[Said], scores: Float[Tensor, "row vocabulary"]
    ) -> Int[Tensor, " row"]:
        """The next token of each row.

        Args:
            numbers: of the answers.
            said: of each of them so far.
            scores: the model's own for each token.
        """
        ...

    def is_last(self, number: int, token_ids: Sequence[int]) -> bool:
        """Whether an answer ends here.

        Args:
            number: of the answer.
            token_ids: its tokens so far.
        """
        ...


@final
@dataclass(frozen=True)
class Asked:
    """Questions, and how they are answered.

    Args:
        n: how many there are.
        n_samples: answers to each.
        inputs_of: what `generate` takes for some of them, by their numbers; made anew for each call.
        choosing: chooses the tokens of the answers, which are numbered question by question.
    """

    n: int
    n_samples: int
    inputs_of: Callable[[Sequence[int]], Mapping[str, Any]]
    choosing: Choosing


@torch.no_grad()
def generate(
    model: Any,
    asked: Asked,
    at_once: int | None = None,
    on_step: Callable[[Sequence[Said]], None] = lambda _said: None,
) -> list[Said]:
    """Answer questions, greedily in all that is not left to who chooses.

    Each question is read once for all its samples. As soon as half of a batch has finished, the next ones take their
    places.

    Args:
        model: that is asked.
        asked: what.
        at_once: questions that are answered at a time, halved when memory runs out, which loses no answer that is
            complete; None takes all, and leaves it to the caller to take fewer.
        on_step: told before every step what is said so far of all answers; whatever it raises ends them.

    Returns:
        The answers: all samples of the first question, then those of the second.

    Raises:
        ValueError: less than one question at a time.
        NotEnoughMemory: with `at_once`, if a single question does not fit.
    """
    if at_once is not None and at_once < 1:
        raise ValueError(f"a batch of {at_once}, expected at least 1")
    n = asked.n_samples
    said = [Said() for _ in range(asked.n * n)]
    left: Sequence[int] = range(asked.n)
    width = at_once or asked.n
    while left:
        try:
            _answer(model, asked, left, said, width, on_step)
        except (RuntimeError, MemoryError) as error:
            if at_once is None or in_step() or not is_out_of_memory(error):
                raise  # processes in step would wait for this one forever if it took fewer
            if width == 1:
                raise NotEnoughMemory(
                    "a single question does not fit into memory", expected="room for one", remedy="use a smaller model"
                ) from error
            width = max(1, min(width, len(left)) // 2)
        left = [each for each in left if not all(own.is_complete for own in said[each * n : (each + 1) * n])]
        for question in left:
            said[question * n : (question + 1) * n] = [Said() for _ in range(n)]
    return said


@torch.no_grad()
def weigh(
    model: Any,
    inputs_of: Callable[[Sequence[int]], Mapping[str, Any]],
    answers: Sequence[Sequence[Sequence[int]]],
    at_once: int,
) -> list[list[float]]:
    """Tell how probable answers are that are given beforehand, several to each question.

    A question is read once, and what some of its answers begin with in common is gone through once.

    Args:
        model: that is asked.
        inputs_of: as for `Asked`.
        answers: to each question: the tokens of each, none or more.
        at_once: questions in one go, halved when memory runs out.

    Returns:
        Of each question's answers the natural log-probability, summed over their tokens: 0 for one of no tokens.

    Raises:
        NotEnoughMemory: if a single question does not fit.
    """

    def run(questions: Sequence[int]) -> list[list[float]]:
        asked = Asked(len(answers), 1, inputs_of, _Nobody())

        def weighed(some: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
            return _weighed(model, _Batch.begin(model, asked, questions), some)

        if len(questions) > 1:
            return weighed([answers[each] for each in questions])
        return [_in_parts(answers[questions[0]], lambda part: weighed([part])[0])]

    def too_large(_question: int) -> NotEnoughMemory:
        return NotEnoughMemory(
            "a single question does not fit into memory", expected="room for one", remedy="use a smaller model"
        )

    return [each for some in fitting(range(len(answers)), at_once, run, too_large) for each in some]


def _in_parts(
    own: Sequence[Sequence[int]], weigh_some: Callable[[Sequence[Sequence[int]]], list[float]]
) -> list[float]:
    """Go through one question's answers, by halves where memory runs out: each beginning is a row in the cache."""
    n = max(1, len(own))
    while True:
        try:
            return [each for start in range(0, len(own), n) for each in weigh_some(own[start : start + n])]
        except (RuntimeError, MemoryError) as error:
            if n == 1 or not is_out_of_memory(error):
                raise
            n //= 2


def _weighed(model: Any, batch: "_Batch", answers: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
    """Go down the tree that the answers of each question make, a token at a time."""
    told = [(row, number, tuple(ids)) for row, own in enumerate(answers) for number, ids in enumerate(own) if ids]
    sums = [[0.0] * len(own) for own in answers]
    row_of: dict[tuple[int, tuple[int, ...]], int] = {(question, ()): question for question in range(len(answers))}
    depth = 0
    while told:
        log_probabilities = batch.scores.log_softmax(-1)
        rows = torch.tensor([row_of[question, ids[:depth]] for question, _number, ids in told])
        tokens = torch.tensor([ids[depth] for _question, _number, ids in told])
        values = log_probabilities[rows.to(log_probabilities.device), tokens.to(log_probabilities.device)].tolist()
        for (question, number, _ids), value in zip(told, values, strict=True):
            sums[question][number] += value
        depth += 1
        told = [each for each in told if len(each[2]) > depth]
        begun = list(dict.fromkeys((question, ids[:depth]) for question, _number, ids in told))
        if begun:
            parents = torch.tensor([row_of[question, ids[:-1]] for question, ids in begun])
            batch = batch.only(parents, range(len(begun))).following(model, torch.tensor([ids[-1] for _, ids in begun]))
            row_of = {each: row for row, each in enumerate(begun)}
    return sums


@final
class _Nobody:
    """Chooses nothing: what is said is given beforehand."""

    def choose(
        self, numbers: Sequence[int], said: Sequence[Said], scores: Float[Tensor, "row vocabulary"]
    ) -> Int[Tensor, " row"]:
        raise AssertionError

    def is_last(self, number: int, token_ids: Sequence[int]) -> bool:
        raise AssertionError


def _answer(
    model: Any,
    asked: Asked,
    questions: Sequence[int],
    said: Sequence[Said],
    width: int,
    on_step: Callable[[Sequence[Said]], None],
) -> None:
    """Answer some questions, so many at a time."""
    batch: _Batch | None = None
    n_begun = 0
    while batch or n_begun < len(questions):
        n_free = width - (math.ceil(len(batch) / asked.n_samples) if batch else 0)
        n_left = len(questions) - n_begun
        enters = batch is None or (n_free >= min(math.ceil(width / 2), n_left) and batch.is_joinable)
        if n_left and enters:
            until = n_begun + min(n_free, n_left)
            while n_begun < until and (batch is None or batch.is_joinable):
                some = questions[n_begun : min(n_begun + _READ_AT_ONCE, until)]
                begun = _Batch.begin(model, asked, some)
                batch = begun if batch is None else batch.join(begun)
                n_begun += len(some)
        assert batch is not None
        on_step(said)
        batch = batch.step(model, asked.choosing, said)


@final
@dataclass(frozen=True, eq=False)
class _Batch:
    """Answers that are being said together.

    Args:
        numbers: of the answers, row by row.
        scores: for the next token of each.
        carried: what transformers needs for the next step.
    """

    numbers: Sequence[int]
    scores: Float[Tensor, "row vocabulary"]
    carried: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def begin(cls, model: Any, asked: Asked, questions: Sequence[int]) -> "_Batch":
        """Read some questions."""

        def read(
            model: Any, input_ids: Tensor, logits_processor: Any, stopping_criteria: Any, generation_config: Any,
            **carried: Any,
        ) -> tuple[Tensor, dict[str, Any]]:  # fmt: skip
            outputs = model._prefill(input_ids, generation_config, carried)
            return _after(model, outputs, carried)

        # At least two tokens, since transformers makes no cache for one; how many there will be is decided here.
        inputs = asked.inputs_of(questions)
        scores, carried = model.generate(**inputs, max_new_tokens=2, do_sample=False, custom_generate=read)
        numbers = [each * asked.n_samples + sample for each in questions for sample in range(asked.n_samples)]
        # what only reading needed, such as the images, is let go
        needed = {
            name: value
            for name, value in carried.items()
            if isinstance(value, Cache | bool | int) or (name in _PER_TOKEN and value is not None)
        }
        begun = cls(numbers, scores, needed)
        if asked.n_samples == 1:
            return begun
        return begun.only(torch.arange(len(questions)).repeat_interleave(asked.n_samples), numbers)

    def step(self, model: Any, choosing: Choosing, said: Sequence[Said]) -> "_Batch | None":
        """Say one more token of each, and go on with those that have not finished by it."""
        own = [said[number] for number in self.numbers]
        chosen = choosing.choose(self.numbers, own, self.scores)
        log_probabilities = self.scores.gather(-1, chosen[:, None]).squeeze(-1) - self.scores.logsumexp(-1)
        for number, each, token_id, value in zip(
            self.numbers, own, chosen.tolist(), log_probabilities.tolist(), strict=True
        ):
            each.token_ids.append(token_id)
            each.log_probabilities.append(value)
            each.is_complete = choosing.is_last(number, each.token_ids)
        going_on = torch.tensor([row for row, each in enumerate(own) if not each.is_complete], dtype=torch.long)
        if not len(going_on):
            return None
        rest = self
        if len(going_on) < len(self):
            rest = self.only(going_on, [self.numbers[row] for row in going_on.tolist()])
        return rest.following(model, chosen[going_on.to(chosen.device)])

    def following(self, model: Any, token_ids: Int[Tensor, " row"]) -> "_Batch":
        """What follows upon some tokens."""
        inputs = model.prepare_inputs_for_generation(
            token_ids[:, None].to(device_of(model)), next_sequence_length=1, **self.carried
        )
        return _Batch(self.numbers, *_after(model, model(**inputs, return_dict=True), dict(self.carried)))

    def only(self, rows: Int[Tensor, " row"], numbers: Sequence[int]) -> "_Batch":
        """Some of the rows, in any order and as often as wanted."""
        self.carried["past_key_values"].batch_select_indices(rows)
        taken = {
            name: value.index_select(-2, rows.to(value.device)) if name in _PER_TOKEN else value
            for name, value in self.carried.items()
        }
        return _Batch(numbers, self.scores[rows.to(self.scores.device)], taken)

    @property
    def is_joinable(self) -> bool:
        """Whether its cache is of a kind that is known here."""
        return {type(layer) for layer in self.carried["past_key_values"].layers} <= _JOINABLE

    @property
    def _length(self) -> int:
        """Of its rows in tokens, that which is still to come included."""
        return self.carried["position_ids"].shape[-1]

    def join(self, other: "_Batch") -> "_Batch":
        """Both; the one that is shorter so far is padded on the left."""
        length = max(self._length, other._length)
        is_masked = any("attention_mask" in each.carried or each._length < length for each in (self, other))
        one, two = self._padded(length, is_masked), other._padded(length, is_masked)
        for layer, further in zip(one["past_key_values"].layers, two["past_key_values"].layers, strict=True):
            if layer.is_initialized:  # some layers read another one's (Gemma 4)
                layer.keys = torch.cat([layer.keys, further.keys])
                layer.values = torch.cat([layer.values, further.values])
        both = {
            name: torch.cat([value, two[name]], dim=-2) if name in _PER_TOKEN else value for name, value in one.items()
        }
        return _Batch([*self.numbers, *other.numbers], torch.cat([self.scores, other.scores]), both)

    def _padded(self, length: int, is_masked: bool) -> dict[str, Any]:
        """What it carries, in rows of a length; a mask says that the first tokens are none."""
        carried, n_missing = dict(self.carried), length - self._length
        if is_masked:  # transformers leaves a mask of ones out
            carried.setdefault("attention_mask", carried["position_ids"].new_ones(len(self), self._length))
        for layer in carried["past_key_values"].layers if n_missing else ():
            if layer.is_initialized:
                _pad(layer, n_missing)
        return {
            name: nn.functional.pad(value, (n_missing, 0)) if name in _PER_TOKEN else value
            for name, value in carried.items()
        }


def _after(model: Any, outputs: Any, carried: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """What a step gives: scores for the next token of each row, and what that one needs."""
    return outputs.logits[:, -1].float(), model._update_model_kwargs_for_generation(outputs, carried)


def _pad(layer: Any, n: int) -> None:
    """Put tokens before those of a layer; of a window that has moved on, as many as it has room for."""
    if hasattr(layer, "cumulative_length"):  # a sliding window
        layer.cumulative_length += n
        n = min(layer.cumulative_length, layer.sliding_window - 1) - layer.keys.shape[-2]
    layer.keys = nn.functional.pad(layer.keys, (0, 0, n, 0))
    layer.values = nn.functional.pad(layer.values, (0, 0, n, 0))
