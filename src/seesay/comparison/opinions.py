"""What people say of one run: of each method, how far they agree, and whether they look."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float64

from seesay.comparison.comparing import compare
from seesay.comparison.contender import FeatureKey
from seesay.comparison.judgements import Judgement, judgements
from seesay.comparison.people import PEOPLE, Vote, by_votes, votes_of
from seesay.comparison.quantities import Quantity
from seesay.comparison.reading import Contest
from seesay.comparison.results import Pair
from seesay.errors import InvalidSetting
from seesay.statistics import Alpha, Estimate, Paired, estimate, holm, ordinal_alpha, paired
from seesay.store.run import Run
from seesay.store.studies import Study, raters, studies, study_items


@final
@dataclass(frozen=True)
class Opinion:
    """What people say of one contender's words.

    Args:
        contender: its name.
        n: judgements of its words.
        n_raters: who gave them.
        estimate: mean over features of what they are worth, each the mean over raters.
        n_decoys: judgements of words that it lent to other features.
        decoys: mean of these over features.
        against: its words less the decoys of the same features, whoever lent them; None without any.
        adjusted: the p value of that by Holm, over all contenders.
    """

    contender: str
    n: int
    n_raters: int
    estimate: Estimate
    n_decoys: int
    decoys: Estimate | None
    against: Paired | None
    adjusted: float | None


@final
@dataclass(frozen=True)
class Opinions:
    """What people say of all contenders, all of it blindly or all of it openly.

    Args:
        is_blind: they did not see whose words they judged.
        opinions: of each contender that was judged.
        pairs: of all contenders, on the features that were judged for all of them; none if there are no such features.
    """

    is_blind: bool
    opinions: tuple[Opinion, ...]
    pairs: tuple[Pair, ...]


@final
@dataclass(frozen=True)
class RaterRecord:
    """How a rater did.

    Args:
        name: as they call themselves.
        n: items that they rated.
        n_decoys: decoys among these.
        n_fooled: decoys that they called right: whoever does so often does not look.
        seconds: that an item took, the median; None if nobody knows.
    """

    name: str
    n: int
    n_decoys: int
    n_fooled: int
    seconds: float | None


@final
@dataclass(frozen=True)
class StudyRecord:
    """How far a study is, and how far its raters agree.

    Args:
        name: of the study.
        begun_at: when, in UTC.
        n_features: whose pictures are shown.
        n_items: pictures with words, decoys among them.
        n_decoys: words of other features.
        raters: all that there are.
        alpha: how far they agree on words that are no decoys; None where that cannot be said.
    """

    name: str
    begun_at: str
    n_features: int
    n_items: int
    n_decoys: int
    raters: tuple[RaterRecord, ...]
    alpha: Alpha | None


def opinions(contest: Contest, found: Sequence[Judgement], *, seed: int = 0) -> list[Opinions]:
    """Sum up what people say of contenders: blind ratings, then open verdicts.

    Args:
        contest: of one run.
        found: what they say of it.
        seed: of intervals.
    """
    votes = list(votes_of(found, contest.contenders))
    of_each_kind = ([each for each in votes if each.judgement.is_blind is is_blind] for is_blind in (True, False))
    return [_opinions(contest, some, seed) for some in of_each_kind if some]


def study_records(run: Run, study: Study | None = None, *, seed: int = 0) -> list[StudyRecord]:
    """Look at studies.

    Args:
        run: may be a stranger's.
        study: only that one; None for all.
        seed: of intervals.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    return [_record(run, each, seed) for each in (studies(run) if study is None else [study])]


def _opinions(contest: Contest, votes: Sequence[Vote], seed: int) -> Opinions:
    scored = by_votes(votes)
    if scored is None:
        return Opinions(votes[0].judgement.is_blind, (), ())
    decoys = _decoys(votes)
    tested: dict[int, tuple[Estimate, Paired | None]] = {}
    for number, numbers in scored.numbers.items():
        own = numbers.values[PEOPLE]
        both = sorted(own.keys() & decoys.keys())
        sides = (_array(own, both), _array(decoys, both))
        tested[number] = (
            _estimate(contest, own, seed),
            paired(*sides, contest.clusters(both), seed=seed) if both else None,
        )
    p_values = {number: against.p_value for number, (_, against) in tested.items() if against is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    found: list[Opinion] = []
    for number, (own, against) in tested.items():
        mine = [each.judgement for each in votes if each.contender == number]
        lent = scored.aids[number].get("permuted")
        found.append(
            Opinion(
                contest.contenders[number].name,
                n=sum(not each.is_decoy for each in mine),
                n_raters=len({each.rater for each in mine if not each.is_decoy}),
                estimate=own,
                n_decoys=sum(each.is_decoy for each in mine),
                decoys=None if lent is None else _estimate(contest, lent.values[PEOPLE], seed),
                against=against,
                adjusted=adjusted.get(number),
            )
        )
    try:
        (standing,) = compare(
            replace(contest, scored={PEOPLE: scored}, notes=()), [Quantity(PEOPLE, PEOPLE)], seed=seed
        ).standings
        pairs = standing.pairs
    except InvalidSetting:  # no feature was judged for all of them
        pairs = ()
    return Opinions(votes[0].judgement.is_blind, tuple(found), pairs)


def _decoys(votes: Sequence[Vote]) -> dict[FeatureKey, float]:
    """What people say of decoys, by the feature whose pictures were shown; what several lent counts once."""
    found: dict[FeatureKey, set[Judgement]] = defaultdict(set)
    for each in votes:
        if each.judgement.is_decoy:
            found[each.key].add(each.judgement)
    return {key: float(np.mean([each.worth for each in several])) for key, several in found.items()}


def _array(values: Mapping[FeatureKey, float], keys: Sequence[FeatureKey]) -> Float64[np.ndarray, " feature"]:
    return np.array([values[key] for key in keys], dtype=np.float64)


def _estimate(contest: Contest, values: Mapping[FeatureKey, float], seed: int) -> Estimate:
    keys = sorted(values)
    return estimate(_array(values, keys), contest.clusters(keys), seed=seed)


def _record(run: Run, study: Study, seed: int) -> StudyRecord:
    items = study_items(run, study.study_id)
    said = judgements(run, study)
    names = dict.fromkeys((*(each.name for each in raters(run, study.study_id)), *(each.rater for each in said)))
    return StudyRecord(
        study.name,
        study.begun_at,
        n_features=len({each.feature_id for each in items}),
        n_items=len(items),
        n_decoys=sum(each.is_decoy for each in items),
        raters=tuple(_rater(name, [each for each in said if each.rater == name]) for name in names),
        alpha=_alpha([each for each in said if not each.is_decoy], seed),
    )


def _rater(name: str, said: Sequence[Judgement]) -> RaterRecord:
    seconds = [each.seconds for each in said if each.seconds is not None]
    return RaterRecord(
        name,
        n=len(said),
        n_decoys=sum(each.is_decoy for each in said),
        n_fooled=sum(each.is_decoy and each.verdict == "right" for each in said),
        seconds=float(np.median(seconds)) if seconds else None,
    )


def _alpha(said: Sequence[Judgement], seed: int) -> Alpha | None:
    names = list(dict.fromkeys(each.rater for each in said))
    features = dict(sorted(_features(said)))
    numbers = list(features)
    ratings_ri = np.full((len(names), len(numbers)), np.nan)
    for each in said:
        assert each.item is not None, "open verdicts are of no study"
        ratings_ri[names.index(each.rater), numbers.index(each.item)] = each.worth
    return ordinal_alpha(ratings_ri, np.array(list(features.values()), dtype=np.int64), seed=seed)


def _features(said: Sequence[Judgement]) -> Iterator[tuple[int, int]]:
    """Numbers of items, with their features."""
    for each in said:
        assert each.item is not None, "open verdicts are of no study"
        yield each.item, each.feature_id
