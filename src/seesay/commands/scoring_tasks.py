"""What `seesay score` has to compute: which scores, of whose words, and of what stands beside these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final, get_args

from seesay.errors import FeatureNotFound, UnusablePath
from seesay.explainers.config import IMPORTED
from seesay.records import Aid, Method
from seesay.scorers.config import Measure, Score
from seesay.selection import parse_features

if TYPE_CHECKING:
    from seesay.records import Explanation
    from seesay.scorers.scorer import Item
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Run

SPEECHLESS: tuple[Method, ...] = ("dissect", IMPORTED)
"""The methods that have no language model which could be asked."""

_AIDS: tuple[Aid | None, ...] = (None, *get_args(Aid))


@final
@dataclass(frozen=True)
class Task:
    """One score of one setting's explanations, or of what stands in their place.

    Args:
        score: by which they are measured.
        setting: whose they are.
        aid: what stands in their place.
        items: features with words.
    """

    score: Score
    setting: "StoredSetting"
    aid: Aid | None
    items: "Sequence[Item]"


@final
@dataclass(frozen=True)
class Asked:
    """Which explanations of a run are scored.

    Args:
        methods: only these; None for all.
        features: only these, by ids and ranges; None for all.
        controls: those of all controls, too, not of random directions alone.
        tried: those at strengths that were only tried, too.
        words_alone: without what stands beside them.
        seed: of permuting.
    """

    methods: Sequence[Method] | None
    features: str | None
    controls: bool
    tried: bool
    words_alone: bool
    seed: int

    @property
    def feature_ids(self) -> frozenset[int] | None:
        """Which features; None for all."""
        return None if self.features is None else frozenset(parse_features(self.features))

    def tasks(self, run: "Run", measures: Mapping[Score, Measure]) -> list[Task]:
        """What is to be scored, one heavy model after the other.

        Args:
            run: that holds the explanations.
            measures: of scores of words; without any there is nothing to be done.

        Raises:
            UnusablePath: there are no such explanations.
            FeatureNotFound: there are none of these features.
        """
        from seesay.scorers.aids import items_to_score
        from seesay.store.exemplars import features

        if not measures:
            return []
        names = list(measures)
        wanted = self.feature_ids
        nearest = {} if self.words_alone else {each.feature_id: each.nearest for each in features(run)}
        tasks: list[Task] = []
        for setting, said in self._said(run):
            for aid in (None,) if self.words_alone or setting.control else _AIDS:
                items = items_to_score(said, aid, nearest, seed=self.seed)
                kept = [item for item in items if wanted is None or item.feature_id in wanted]
                tasks += [Task(name, setting, aid, kept) for name in names if kept and _can_be(measures[name], setting)]
        if not tasks:
            of, same = (f" of features {self.features}", f" --features {self.features}") if self.features else ("", "")
            raise FeatureNotFound(
                f"nothing in {run.folder}{of} that could be scored by {', '.join(names)}",
                expected="explanations"
                + (f", not by {' or '.join(SPEECHLESS)} alone" if "faithfulness" in names else ""),
                remedy=f"seesay explain {run.folder}{same}",
            )
        return sorted(tasks, key=lambda task: names.index(task.score))

    def _said(self, run: "Run") -> "list[tuple[StoredSetting, Mapping[int, Sequence[Explanation]]]]":
        """The explanations that are scored, by setting."""
        from seesay.store.explanations import explanations, of_test_features, settings

        of_methods: list[tuple[StoredSetting, Mapping[int, Sequence[Explanation]]]] = [
            (each, explanations(run, each))
            for each in settings(run)
            if (self.methods is None or each.method in self.methods)
            and (self.controls or each.control is None or (each.control == "random" and not self.words_alone))
        ]
        chosen = [each for each in of_methods if self.tried or of_test_features(each[1])]
        if chosen:
            return chosen
        by = f" by {', '.join(self.methods)}" if self.methods else ""
        if of_methods:
            raise UnusablePath(
                f"explanations of validation features alone in {run.folder}{by}",
                expected="some of test features, from which figures come",
                remedy="explain them, or give --tried to score what is there",
            )
        if self.methods == [IMPORTED]:
            remedy = f"seesay import {run.folder} FILE"
        else:
            remedy = f"seesay explain {run.folder} --method {self.methods[0] if self.methods else 'steering'}"
        raise UnusablePath(
            f"no explanations in {run.folder}{by}",
            expected="some to be scored",
            remedy=remedy,
        )


def _can_be(measure: Measure, setting: "StoredSetting") -> bool:
    return setting.method not in SPEECHLESS or "explainer" not in measure.needs
