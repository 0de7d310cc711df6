"""What people say of explanations as a score of the contenders, with decoys beside it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seesay.comparison.contender import AidName, Contender, FeatureKey
from seesay.comparison.judgements import Judgement
from seesay.comparison.shelf import Numbers
from seesay.comparison.ways import Scored
from seesay.scorers.config import Score
from seesay.texts import same_words

PEOPLE: Score = "people"
"""The score that other scores are held against, where people judged."""


class Vote(NamedTuple):
    """What a judgement says of a contender's words."""

    contender: int
    """Its place."""

    run: int
    """The place of the run that the judgement is in: others may have raters and studies of the same names."""

    key: FeatureKey
    """The feature whose pictures were looked at."""

    judgement: Judgement
    """What was said."""


def by_people(
    said: Iterable[Sequence[Judgement]], contenders: Sequence[Contender], origins: Sequence[int]
) -> Scored | None:
    """What is known of what people say of contenders: of each feature the mean over raters.

    Where there are ratings of blind studies, they alone count, of all studies together; otherwise open verdicts do. Of
    words that have been replaced since nobody has said anything.

    Args:
        said: of each run what people say of it.
        contenders: who is compared.
        origins: of each run what its features belong to.

    Returns:
        None if nobody said anything.
    """
    votes = [vote for place, some in enumerate(said) for vote in votes_of(some, contenders, place, origins[place])]
    return by_votes(votes)


def by_votes(votes: Sequence[Vote]) -> Scored | None:
    """The same, of votes that were found before.

    Args:
        votes: of all runs.
    """
    is_blind = any(each.judgement.is_blind and not each.judgement.is_decoy for each in votes)
    counted = [each for each in votes if each.judgement.is_blind == is_blind]
    own = _means(counted, lambda each: not each.is_decoy)
    if not own:
        return None
    decoys = _means(counted, lambda each: each.is_decoy)
    aids: dict[int, dict[AidName, Numbers]] = {
        number: {"permuted": decoys[number]} if number in decoys else {} for number in own
    }
    return Scored(PEOPLE, {"kind": "blind" if is_blind else "open"}, own, aids, tuple(_notes(votes, is_blind)))


def votes_of(
    found: Iterable[Judgement], contenders: Sequence[Contender], place: int = 0, origin: int = 0
) -> Iterator[Vote]:
    """Whose words judgements are of, as far as these words still stand.

    Args:
        found: of one run.
        contenders: who is compared.
        place: of the run among all that are compared.
        origin: place of what its features belong to.
    """
    numbers: dict[int, int] = {
        each.settings[place].setting_id: number for number, each in enumerate(contenders) if place in each.settings
    }
    for each in found:
        said_of = each.feature_id if each.donor_id is None else each.donor_id
        for number in (numbers[one] for one in each.said_by if one in numbers):
            words = contenders[number].words
            standing = words.get(FeatureKey(origin, said_of), {}).values()
            key = FeatureKey(origin, each.feature_id)
            if key in words and same_words(each.text) in map(same_words, standing):
                yield Vote(number, place, key, each)


def _means(votes: Iterable[Vote], is_meant: Callable[[Judgement], bool]) -> dict[int, Numbers]:
    found: Mapping[int, dict[FeatureKey, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in votes:
        if is_meant(each.judgement):
            found[each.contender][each.key].append(each.judgement.worth)
    return {
        number: Numbers({PEOPLE: {key: float(np.mean(several)) for key, several in own.items()}})
        for number, own in sorted(found.items())
    }


def _notes(votes: Sequence[Vote], is_blind: bool) -> Iterator[str]:
    counted = [each for each in votes if each.judgement.is_blind == is_blind and not each.judgement.is_decoy]
    raters = {(each.run, each.judgement.rater) for each in counted}
    studies = {(each.run, each.judgement.study) for each in counted}
    by = "1 person" if len(raters) == 1 else f"{len(raters)} people"
    if not is_blind:
        yield f"judged by {by}, not blindly: they saw whose words they judged"
        return
    yield f"judged by {by}, blindly, in {'1 study' if len(studies) == 1 else f'{len(studies)} studies'}"
    n_open = len({(each.run, each.judgement) for each in votes if not each.judgement.is_blind})
    if n_open:
        yield f"{'1 verdict that was' if n_open == 1 else f'{n_open} verdicts that were'} not blind: left aside"
