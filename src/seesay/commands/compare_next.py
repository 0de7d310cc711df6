"""What `seesay compare` says to do next: how to get what its tables lack, of the features that are in them."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.commands.again import explained, explained_as, pushed_as, said_by, scored_as
from seesay.explainers.config import IMPORTED

if TYPE_CHECKING:
    from seesay.comparison.contender import Contender
    from seesay.comparison.reading import Contest
    from seesay.comparison.results import Comparison
    from seesay.scorers.config import Score
    from seesay.store.run import Run

_SAME_FEATURES = "; give the --features, --limit or --split of before"


def next_steps(folders: Sequence[Path], contest: "Contest", comparison: "Comparison") -> list[str]:
    """How to get what tables lack.

    Args:
        folders: of the runs, in the order in which they were read.
        contest: what was compared.
        comparison: what came of it.

    Raises:
        UnusablePath: what a run says is damaged.
    """
    from seesay.store.run import Run

    with ExitStack() as stack:
        runs = [stack.enter_context(Run.open(folder)) for folder in folders]
        return [
            *_unscored(folders, contest, comparison),
            *_randoms(runs, contest, comparison),
            *_aids(runs, contest, comparison),
        ]


def _unscored(folders: Sequence[Path], contest: "Contest", comparison: "Comparison") -> list[str]:
    """Words that no score was computed of, such as those that were just imported."""
    from seesay.comparison.people import PEOPLE
    from seesay.scorers.measures import asked_by

    shown = [each.quantity.score for each in comparison.standings if each.of_words]
    scores = [score for score in dict.fromkeys(shown) if score != PEOPLE]
    found = [contest.scored[score] for score in contest.scored if contest.scored[score].measure.of_words]
    has_any = {number for scored in found if scored.score != PEOPLE for number in scored.numbers}
    steps: list[str] = []
    for number, contender in enumerate(contest.contenders):
        if number in has_any or not scores:
            continue
        folder = folders[min(contender.settings)]
        steps.append(
            f"seesay score {folder} {asked_by(scores)} --methods {contender.method}   "
            f"{contender.method}, which has no scores yet"
        )
    return list(dict.fromkeys(steps))


def _randoms(runs: "Sequence[Run]", contest: "Contest", comparison: "Comparison") -> list[str]:
    """The words of random directions, for methods whose own words are not held against any."""
    rows = [row for each in comparison.standings if each.of_words for row in each.rows]
    # Whose random directions are scored by anything has their words.
    has_random = {row.contender for row in rows if "random" in row.aids}
    lacking: dict[str, Contender] = {}
    by_name = {each.name: each for each in contest.contenders}
    for row in rows:
        if row.contender not in has_random:
            lacking.setdefault(by_name[row.contender].method, by_name[row.contender])
    steps: list[str] = []
    for method, contender in lacking.items():
        place = min(contender.settings)
        run, setting = runs[place], contender.settings[place]
        if method == IMPORTED:
            continue
        features = explained_as(run, setting)
        steps.append(
            f"seesay explain {run.folder} --method {method} --control random"
            f"{pushed_as(setting)}{said_by(run, setting)}{features or ''}   the words of random directions"
            + (_SAME_FEATURES if features is None else "")
        )
    if IMPORTED in lacking:
        folder = runs[min(lacking[IMPORTED].settings)].folder
        steps.append(f"seesay import {folder} FILE --name NAME --control random   the same of imported words")
    return steps


def _aids(runs: "Sequence[Run]", contest: "Contest", comparison: "Comparison") -> list[str]:
    """What stands beside the methods, where that was not scored; of the same features as their own words."""
    from seesay.comparison.contender import AIDS
    from seesay.comparison.people import PEOPLE
    from seesay.scorers.measures import asked_by
    from seesay.store.scores import scored_features, scorings

    by_name = {each.name: each for each in contest.contenders}
    lacking: dict[int, dict[Score, set[int]]] = defaultdict(dict)
    for standing in comparison.standings:
        score = standing.quantity.score
        for row in standing.rows if standing.of_words and score != PEOPLE else ():
            if any(aid not in row.aids for aid in AIDS):
                for place, setting in by_name[row.contender].settings.items():
                    lacking[place].setdefault(score, set()).add(setting.setting_id)
    steps: list[str] = []
    for place, by_score in sorted(lacking.items()):
        run = runs[place]
        ids = set[int]().union(*by_score.values())
        own = [each for each in scorings(run) if each.score in by_score and each.setting_id in ids and not each.aid]
        scored = {feature_id for each in own for feature_id in scored_features(run, each)}
        settings = [each.settings[place] for each in contest.contenders if place in each.settings]
        said = {feature_id for each in settings if each.setting_id in ids for feature_id in explained(run, each)}
        features = scored_as(said, scored)
        steps.append(
            f"seesay score {run.folder} {asked_by(list(by_score))}{features or ''}   "
            "what stands beside methods, where tables show -; with the options of before"
            + (", --features among them" if features is None else "")
        )
    return steps
