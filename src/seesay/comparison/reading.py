"""Runs into what is compared: contenders with their numbers, by feature. All that comes later is arithmetic."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Int64

from seesay.comparison.contender import Contender, FeatureKey, family_of, names_of, put_together
from seesay.comparison.judgements import Judgement, judgements
from seesay.comparison.people import PEOPLE, by_people
from seesay.comparison.shelf import Shelf
from seesay.comparison.ways import Scored, Ways
from seesay.errors import InvalidSetting, UnusablePath
from seesay.records import Method, Split
from seesay.scorers.config import Holding, Measure, Score
from seesay.split import split_of
from seesay.statistics import clusters_within
from seesay.store.exemplars import features
from seesay.store.explanations import StoredSetting, settings
from seesay.store.measures import measures
from seesay.store.run import Run

Part = Literal[Split, "all"]
"""Which features are compared: test ones, as strengths are chosen on validation features."""

TRUTH: Score = "ground_truth"
"""The score that others are held against, where it is known."""


@final
@dataclass(frozen=True, eq=False)
class Origin:
    """What features belong to: an SAE, and the images that their exemplars come from.

    Args:
        subject: hash of the encoder, the block and the SAE.
        collected: hash of the images, and of what was kept of them: numbers of one feature on other images do not pair.
        layer: the block.
        label: the block, and where that does not tell origins apart, the SAE or the run.
        runs: their folders.
        places: of these runs among all that are compared.
    """

    subject: str
    collected: str
    layer: int | None
    label: str
    runs: tuple[str, ...]
    places: tuple[int, ...]


@final
@dataclass(frozen=True, eq=False)
class Contest:
    """All that is compared, as plain data.

    Args:
        part: which features.
        origins: what they belong to.
        contenders: who is compared.
        scored: what is known of each score; scores that nobody was scored by are not there.
        frequencies: on which share of the patches each feature is active, as far as images were collected.
        nearest: by hash of the subject, of each feature those with the nearest directions, and the cosine.
        notes: what is left out, in words.
    """

    part: Part
    origins: tuple[Origin, ...]
    contenders: tuple[Contender, ...]
    scored: Mapping[Score, Scored]
    frequencies: Mapping[FeatureKey, float]
    nearest: Mapping[str, Mapping[int, Sequence[tuple[int, float]]]]
    notes: tuple[str, ...] = ()

    @property
    def measures(self) -> dict[Score, Measure]:
        """What the scores measure."""
        return {score: scored.measure for score, scored in self.scored.items()}

    def origin_of(self, place: int) -> int:
        """The place among `origins` of what a run's features belong to.

        Args:
            place: of the run among all that are compared.
        """
        return next(number for number, each in enumerate(self.origins) if place in each.places)

    def clusters(self, keys: Sequence[FeatureKey]) -> Int64[np.ndarray, " feature"]:
        """Put near-duplicates into one cluster, and with them one feature on several sets of images.

        Args:
            keys: the features, in the order of the result.
        """
        subjects = [self.origins[key.origin].subject for key in keys]
        return clusters_within(subjects, [key.feature_id for key in keys], self.nearest)


def read(
    runs: Sequence[Run],
    scores: Collection[Score] | None = None,
    *,
    part: Part = "test",
    methods: Collection[Method] | None = None,
    explainer: str | None = None,
    holding: Holding | None = None,
    said: Sequence[Sequence[Judgement]] | None = None,
) -> Contest:
    """Read what runs hold.

    Args:
        runs: open; may be strangers'.
        scores: that are to be compared; `ground_truth` and `people` are read besides, to hold others against them.
            None for all that there are, and can be compared.
        part: which features.
        methods: only these; None for all.
        explainer: only this model's words, by its name; None for all.
        holding: only scores that were computed on such images; None for held-out ones where there are any.
        said: of each run what people say, where only some of it is to count; None for all.

    Raises:
        UnusablePath: a run has no explanations, or is damaged.
        InvalidSetting: nobody is left, or a score that is asked for was computed in another way for each.
    """
    by_run = [_competing(run, methods, explainer) for run in runs]
    if not any(by_run):
        raise _nobody(runs, methods, explainer)
    origins, origin_of = _origins(runs)
    stats = [{each.feature_id: each for each in features(run)} for run in runs]
    shelves = [
        Shelf(run, origin_of[place], _is_of(part, {each: found.split for each, found in stats[place].items()}))
        for place, run in enumerate(runs)
    ]
    contenders = _contenders(by_run, shelves, origin_of)
    if not contenders:
        raise InvalidSetting(
            f"no {part} feature is explained in {_folders(runs)}", expected="some", remedy="give another --split"
        )
    people = by_people(map(judgements, runs) if said is None else said, contenders, origin_of)
    scored, notes = _scored(measures(*runs), Ways(runs, shelves, contenders, holding), people, scores)
    frequencies: dict[FeatureKey, float] = {}
    nearest: dict[str, dict[int, Sequence[tuple[int, float]]]] = defaultdict(dict)
    for place, known in enumerate(stats):
        origin = origin_of[place]
        frequencies |= {FeatureKey(origin, feature_id): each.frequency for feature_id, each in known.items()}
        nearest[origins[origin].subject] |= {feature_id: each.nearest for feature_id, each in known.items()}
    return Contest(part, origins, contenders, scored, frequencies, nearest, notes)


def _competing(run: Run, methods: Collection[Method] | None, explainer: str | None) -> list[StoredSetting]:
    return [
        each
        for each in settings(run)
        if each.control is None
        and (methods is None or each.method in methods)
        and (explainer is None or each.explainer == explainer)
    ]


def _nobody(
    runs: Sequence[Run], methods: Collection[Method] | None, explainer: str | None
) -> UnusablePath | InvalidSetting:
    there = [each for run in runs for each in settings(run) if each.control is None]
    if not there:
        return UnusablePath(
            f"no explanations in {_folders(runs)}",
            expected="some to be compared",
            remedy=f"seesay explain {runs[0].folder} --method steering",
        )
    asked = [*([] if methods is None else sorted(methods)), *([] if explainer is None else [explainer])]
    return InvalidSetting(
        f"no explanations by {', '.join(asked)} in {_folders(runs)}",
        expected="; ".join(dict.fromkeys(f"{each.method} by {each.explainer}" for each in there)),
    )


def _folders(runs: Sequence[Run]) -> str:
    return ", ".join(str(run.folder) for run in runs)


def _is_of(part: Part, splits: Mapping[int, Split]) -> Callable[[int], bool]:
    """Whether a feature is of a part; one of which nothing was collected is known by its hash."""
    return lambda feature_id: part in ("all", splits.get(feature_id) or split_of(feature_id))


def _contenders(
    by_run: Sequence[Sequence[StoredSetting]], shelves: Sequence[Shelf], origins: Sequence[int]
) -> tuple[Contender, ...]:
    """Those who said something of the features that are compared; calibrating tries others on validation features."""
    there = [
        [setting for setting in competing if shelves[place].words(setting)] for place, competing in enumerate(by_run)
    ]
    together = put_together(there, origins)
    found: list[Contender] = []
    for name, settings_by_run in zip(names_of(together), together, strict=True):
        words: dict[FeatureKey, Mapping[int, str]] = {}
        for place, setting in settings_by_run.items():
            words = {**shelves[place].words(setting), **words}
        n_failed = sum(not samples for samples in words.values())
        family = family_of(next(iter(settings_by_run.values())))
        found.append(Contender(name, family, settings_by_run, words, len(words), n_failed))
    return tuple(found)


def _scored(
    measures: Mapping[Score, Measure], ways: Ways, people: Scored | None, scores: Collection[Score] | None
) -> tuple[dict[Score, Scored], tuple[str, ...]]:
    """What is known of each score, and what is left out of those that were not asked for by name."""
    found: dict[Score, Scored] = {}
    notes: list[str] = []
    for score, measure in measures.items():
        is_asked = scores is not None and score in scores
        if not (is_asked or scores is None or score in (TRUTH, PEOPLE)):
            continue
        try:
            if score == PEOPLE:
                scored = people
            else:
                scored = ways.of_words(score) if measure.of_words else ways.of_features(score)
        except InvalidSetting as error:
            if is_asked:
                raise
            notes.append(f"{error.what}: left out")
            continue
        if scored is not None:
            found[score] = scored
    return found, tuple(notes)


def _origins(runs: Sequence[Run]) -> tuple[tuple[Origin, ...], list[int]]:
    """What runs' features belong to, and of each run the place of it."""
    found: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        found[_identity(run)].append(run)
    layers = [same[0].subject.get("layer") for same in found.values()]
    saes = [(layer, same[0].subject.get("sae")) for layer, same in zip(layers, found.values(), strict=True)]
    origins: list[Origin] = []
    for ((subject, collected), same), (layer, sae) in zip(found.items(), saes, strict=True):
        label = f"block {layer}"
        if layers.count(layer) > 1:
            label += f", {sae}" if saes.count((layer, sae)) == 1 else f", {same[0].folder.name}"
        number = layer if isinstance(layer, int) else None
        of_it = tuple(place for place, run in enumerate(runs) if run in same)
        origins.append(Origin(subject, collected, number, label, tuple(str(run.folder) for run in same), of_it))
    places = list(found)
    return tuple(origins), [places.index(_identity(run)) for run in runs]


def _identity(run: Run) -> tuple[str, str]:
    """What its features are, and on which images they were looked at; a run that does not say is like no other."""
    rows = run.rows("SELECT identity FROM stages WHERE name = 'collect'")
    return str(run.subject.get("identity", run.folder)), str(rows[0][0]) if rows else ""
