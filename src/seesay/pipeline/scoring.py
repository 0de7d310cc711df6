"""Scoring: what is said is measured and the numbers written into a run, batch by batch, only those that are missing."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, final

from seesay.backends.crew import Crew, Models
from seesay.backends.local import Local
from seesay.errors import UnusableScorer
from seesay.interruption import gently_interrupted
from seesay.records import Aid
from seesay.scorers.aids import PERMUTATION
from seesay.scorers.config import AID, SCORES, Score
from seesay.scorers.own import Own
from seesay.scorers.scorer import Item, Measured, Scorer
from seesay.store.explanations import StoredSetting
from seesay.store.run import Run
from seesay.store.scores import StoredScoring, add_scores, add_scoring, unscored
from seesay.vlm.batches import halving

_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Scored:
    """What scoring came to.

    Args:
        scoring: under which [seesay.store.scores.scores][] finds the numbers.
        n_failed: items that did not fit into memory; they are tried again the next time.
    """

    scoring: StoredScoring
    n_failed: int


@final
@dataclass(frozen=True, eq=False)
class Shared(Generic[Models]):
    """A scorer that a crew makes of its models, each for itself.

    Args:
        crew: has the models.
        scorer: makes one of them; it can be pickled.
    """

    crew: Crew[Models]
    scorer: Callable[[Models], Scorer]

    @classmethod
    def of(cls, scorer: "Scorer | Shared[Any]") -> "Shared[Any]":
        """The same for a scorer that is here."""
        return scorer if isinstance(scorer, Shared) else Shared(Local(scorer), _itself)


def _itself(scorer: Scorer) -> Scorer:
    return scorer


@final
@dataclass(frozen=True, eq=False)
class Measuring(Generic[Models]):
    """The task of measuring items.

    Args:
        scorer: makes the scorer of a worker's models.
        batch_size: items at a time.
    """

    scorer: Callable[[Models], Scorer]
    batch_size: int

    def begin(self, models: Models) -> "_Measuring":
        """Make the scorer.

        Args:
            models: a worker's.

        Raises:
            SeesayError: what it needs cannot be had.
        """
        return _Measuring(self.scorer(models), self.batch_size)


@final
@dataclass(frozen=True, eq=False)
class _Measuring:
    scorer: Scorer
    batch_size: int

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.scorer.facts

    def do(self, items: Iterable[Item]) -> Iterator[tuple[Sequence[Item], list[Measured] | None]]:
        return halving(list(items), self.batch_size, self.scorer.score)


def score(
    run: Run,
    name: Score,
    scorer: Scorer | Shared[Any],
    items: Sequence[Item],
    *,
    setting: StoredSetting | None = None,
    aid: Aid | None = None,
    seed: int = 0,
    batch_size: int = 64,
    on_batch: Callable[[int], None] = lambda _n: None,
) -> Scored:
    """Measure what has no score yet, and write it into the run after every batch.

    The first Ctrl-C ends it after the batch. What does not fit into memory is left out, and tried again next time.

    Args:
        run: open to be written.
        name: of the score; of a user's own, what its measure calls its value.
        scorer: measures it, here or wherever its models are; a user's own is held to what it promises, and is always
            here.
        items: what is measured.
        setting: in which the words were found; None for scores of features.
        aid: what stands in their place.
        seed: of the permutation, as for [seesay.scorers.aids.items_to_score][].
        batch_size: items at a time; it changes nothing but speed and memory, and the last digits.
        on_batch: told how many more items are done, those of earlier times too.

    Raises:
        UnusableScorer: a user's own scorer does not keep to what it promises.
        SeesayError: what the score needs cannot be had, or the run cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the batch is written.
    """
    setting_id = None if setting is None else setting.setting_id
    shared = Shared.of(_checked(name, scorer, setting))
    task = Measuring(shared.scorer, batch_size)
    facts = {**shared.crew.facts(task), **_facts_of(aid, items, seed)}
    scoring = add_scoring(run, name, facts, setting_id, aid)
    left = unscored(run, scoring, items)
    on_batch(len(items) - len(left))
    n_failed = 0
    started = time.monotonic()
    with gently_interrupted() as is_interrupted:
        for batch, measured in shared.crew.run(task, left, batch_size, until=is_interrupted):
            if measured is None:
                n_failed += 1
                _log.warning("feature %d does not fit into memory for %s", batch[0].feature_id, name)
            else:
                _check(scoring, measured)
                add_scores(run, scoring, list(zip(batch, measured, strict=True)), time.monotonic() - started)
                on_batch(len(batch))
            started = time.monotonic()
        if is_interrupted():
            raise KeyboardInterrupt
    return Scored(scoring, n_failed)


def _facts_of(aid: Aid | None, items: Sequence[Item], seed: int) -> dict[str, Any]:
    """What the numbers of an aid depend on besides, so that two constants, or two permutations, never mix."""
    match aid:
        case None:
            return {}
        case "permuted":
            return {AID: {"seed": seed, "algorithm": PERMUTATION}}
        case "constant":
            return {AID: {"text": items[0].text if items else ""}}


def _checked(name: Score, scorer: Scorer | Shared[Any], setting: StoredSetting | None) -> Scorer | Shared[Any]:
    """A user's own scorer is held to what it promises."""
    if name in SCORES or isinstance(scorer, Shared):
        return scorer
    own = scorer if isinstance(scorer, Own) else Own(scorer)
    if own.measure.value != name:
        raise UnusableScorer(
            f"the score {name!r} by a scorer of {own.measure.value}", expected=f"{own.measure.value!r} as its name"
        )
    if own.measure.of_words != (setting is not None):
        raise UnusableScorer(
            f"{name}, which measures {'words' if own.measure.of_words else 'features, whatever is said of them'}",
            expected="the setting in which they were found" if own.measure.of_words else "no setting",
        )
    return own


def _check(scoring: StoredScoring, measured: Sequence[Measured]) -> None:
    known = set(scoring.measure.others)
    for each in measured:
        assert set(each.others) <= known, f"{scoring.score} gave {sorted(set(each.others) - known)}"
