"""What features stand for, as far as words tell: the labels of all that is said of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from seesay.comparison.contender import FeatureKey
from seesay.comparison.reading import Contest
from seesay.errors import InvalidSetting
from seesay.records import Level
from seesay.store.labels import labellers, labels
from seesay.store.run import Run
from seesay.store.scores import scores
from seesay.store.ways import in_one_way

Labeller = Literal["records", "model"]
"""Who says of what level words are: the embedded world's records, or a language model."""

TRUTH = "truth"
"""Who says of what level a feature is where that is known: what truly holds for it, not what is said of it."""


def labels_of(runs: Sequence[Run], labeller: Labeller | None = None) -> tuple[str, dict[str, Level]]:
    """The levels of words.

    Args:
        runs: may be strangers'.
        labeller: who tells; None for the records where they were asked, or else a model.

    Returns:
        Identity of the labeller, that one of the kind that labelled most, and of words their level; empty if nobody has
        labelled any.

    Raises:
        InvalidSetting: nothing was labelled by whom was asked for.
        UnusablePath: a run is damaged.
    """
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update(labellers(run))
    for kind in get_args(Labeller) if labeller is None else (labeller,):
        own = {who: n for who, n in counts.items() if who.partition(":")[0] == kind}
        if own:
            best = max(own, key=lambda who: (own[who], who))
            return best, {text: each.level for run in runs for text, each in labels(run, best).items()}
    if labeller is not None:
        raise InvalidSetting(
            f"nothing in {', '.join(str(run.folder) for run in runs)} is labelled by {labeller}",
            expected="explanations with their levels",
            remedy=f"seesay label {runs[0].folder}",
        )
    return "", {}


def levels_of(
    runs: Sequence[Run], contest: Contest, by: Literal["truth", "records", "model"] | None = None
) -> tuple[str, dict[FeatureKey, Level]]:
    """Of what level each feature is, by whoever knows best.

    Args:
        runs: those that the contest was read from, in the same order; may be strangers'.
        contest: with the features.
        by: who shall tell; None for the truth where it is known, or else whoever labelled words.

    Returns:
        `TRUTH`, or the identity of the labeller; and the levels.

    Raises:
        InvalidSetting: whoever is asked for has not told.
        UnusablePath: a run is damaged.
    """
    known = true_levels(runs, contest) if by in (None, TRUTH) else {}
    if known:
        return TRUTH, known
    if by == "truth":
        raise InvalidSetting(
            f"the true levels of features of {', '.join(str(run.folder) for run in runs)}, which nobody knows",
            expected="a run of the embedded world with the score ground_truth",
            remedy="leave --levels out, or label the words: seesay label",
        )
    labeller, labels = labels_of(runs, by)
    return labeller, majority((each.words for each in contest.contenders), labels)


def true_levels(runs: Sequence[Run], contest: Contest) -> dict[FeatureKey, Level]:
    """Of what level the concept is that fits a feature best, as the score `ground_truth` noted it.

    Args:
        runs: those that the contest was read from, in the same order; may be strangers'.
        contest: with the features' origins.

    Returns:
        Of features for which a concept holds; empty for runs of which no truth is known.

    Raises:
        UnusablePath: a run is damaged.
    """
    found: dict[FeatureKey, Level] = {}
    for place, run in enumerate(runs):
        origin = contest.origin_of(place)
        found |= {FeatureKey(origin, feature_id): level for feature_id, level in noted_levels(run).items()}
    return found


def noted_levels(run: Run) -> dict[int, Level]:
    """The same of one run, by feature.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: it is damaged.
    """
    found: dict[int, Level] = {}
    for scoring in in_one_way(run, "ground_truth"):
        for feature_id, samples in scores(run, scoring).items():
            low = samples[0].measured.others.get("low_level")
            if low is not None:
                found[feature_id] = "low-level" if low else "high-level"
    return found


def majority(
    said: Iterable[Mapping[FeatureKey, Mapping[int, str]]], labels: Mapping[str, Level]
) -> dict[FeatureKey, Level]:
    """Of what level most of what is said of a feature is.

    Methods say different things of one feature, and some of it is wrong; divided by each method's own words, methods
    would be judged on different features. So all contenders vote.

    Args:
        said: of each contender its words, by feature and sample.
        labels: level of words, by the words.

    Returns:
        Without features of which nothing is labelled, or on which the vote is a tie.
    """
    votes: dict[FeatureKey, Counter[Level]] = defaultdict(Counter)
    for words in said:
        for key, samples in words.items():
            votes[key].update(labels[text] for text in samples.values() if text in labels)
    found: dict[FeatureKey, Level] = {}
    for key, counted in votes.items():
        most = counted.most_common(2)
        if most and (len(most) == 1 or most[0][1] > most[1][1]):
            found[key] = most[0][0]
    return found
