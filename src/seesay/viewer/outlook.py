"""A run as one looks at it again and again: what is known of each feature in short, and what has changed.

Everything is checked, as the run may be a stranger's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from seesay.comparison.levels import labels_of
from seesay.records import Level, Method, Split
from seesay.scorers.config import SCORES, Score
from seesay.split import split_of
from seesay.store.checks import checked_id, checked_number, checked_text
from seesay.store.explanations import StoredSetting, settings
from seesay.store.run import DAMAGE, Run
from seesay.store.ways import in_one_way

Mark = tuple[Any, ...]

_MARKS = (
    "SELECT feature_id, count(*), total(frequency) FROM features GROUP BY feature_id",
    "SELECT feature_id, count(*), total(seconds) FROM explanations GROUP BY feature_id",
    "SELECT feature_id, count(*), total(seconds) FROM scores GROUP BY feature_id",
    "SELECT feature_id, count(*), total(probability) FROM trusts GROUP BY feature_id",
)
"""What is another if anything of a feature is: how many rows there are, and the sum of a number that hardly repeats."""


@final
@dataclass(frozen=True)
class Words:
    """What one way of explaining says of a feature.

    Args:
        setting_id: its number in the run.
        method: how it was found.
        explainer: who said it.
        text: the words, of the first sample that has any.
        sure: how probable it is that they are right; None if nobody knows.
        level: what they speak of; None if nobody has told.
        scores: of these words, on held-out images.
    """

    setting_id: int
    method: Method
    explainer: str
    text: str
    sure: float | None
    level: Level | None
    scores: Mapping[Score, float]


@final
@dataclass(frozen=True)
class Outline:
    """A feature in short.

    Args:
        feature_id: row of the SAE's decoder.
        split: `validation` or `test`.
        frequency: on which share of the patches it is active; None where no images were collected, as are the others.
        image_frequency: on which share of the images.
        max_activation: on any patch.
        said: what is said of it, without controls and strengths that were only tried.
        scores: of the feature itself.
    """

    feature_id: int
    split: Split
    frequency: float | None
    image_frequency: float | None
    max_activation: float | None
    said: Sequence[Words] = ()
    scores: Mapping[Score, float] = field(default_factory=dict[Score, float])


@final
class Outlook:
    """Tells what a run knows, and what has changed since it was last asked.

    Args:
        run: open to be read.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._version: int | None = None
        self._general: Mark = ()
        self._marks: dict[int, Mark] = {}
        self._settings: dict[int, StoredSetting] = {}
        self._scorings: dict[int, tuple[Score, int | None]] = {}
        self._levels: Mapping[str, Level] = {}

    def changed(self) -> list[int]:
        """The features of which something has changed; at first all of them.

        Raises:
            UnusablePath: what the run says is damaged.
        """
        ((version,),) = self._run.rows("PRAGMA data_version")
        if version == self._version:
            return []
        general, marks = self._look_around(), self._read_marks()
        is_other = general != self._general
        found = [each for each, mark in marks.items() if is_other or self._marks.get(each) != mark]
        self._version, self._general, self._marks = version, general, marks
        return sorted(found)

    def outline(self, feature_id: int) -> Outline:
        """What is known of a feature.

        Args:
            feature_id: one that `changed` told.

        Raises:
            UnusablePath: what the run says is damaged.
        """
        try:
            return self._outline(feature_id)
        except DAMAGE as error:
            raise self._run.damaged(f"what is known of feature {feature_id}", error) from error

    def _look_around(self) -> Mark:
        """What all features share: who competes, which scores count, what words speak of."""
        self._settings = {each.setting_id: each for each in settings(self._run) if self._competes(each)}
        self._scorings = {
            each.scoring_id: (score, each.setting_id) for score in SCORES for each in in_one_way(self._run, score)
        }
        labeller, self._levels = labels_of([self._run])
        return tuple(self._settings), tuple(self._scorings), labeller, len(self._levels)

    def _competes(self, setting: StoredSetting) -> bool:
        """Whether its words are a method's own, of features that are judged, and were not only tried."""
        if setting.control is not None:
            return False
        rows = self._run.rows("SELECT feature_id FROM explanations WHERE setting_id = ?", (setting.setting_id,))
        return any(isinstance(each, int) and each >= 0 and split_of(each) == "test" for (each,) in rows)

    def _read_marks(self) -> dict[int, Mark]:
        marks: dict[int, dict[int, Mark]] = {}
        try:
            for place, query in enumerate(_MARKS):
                for feature_id, *mark in self._run.rows(query):
                    marks.setdefault(checked_id(feature_id), {})[place] = tuple(mark)
        except DAMAGE as error:
            raise self._run.damaged("a feature's number", error) from error
        return {feature_id: tuple(found.items()) for feature_id, found in marks.items()}

    def _outline(self, feature_id: int) -> Outline:
        query = "SELECT frequency, image_frequency, max_activation FROM features WHERE feature_id = ?"
        stats = self._run.rows(query, (feature_id,))
        frequency, image_frequency, largest = map(checked_number, stats[0] if stats else (None, None, None))
        scores = self._scores(feature_id)
        return Outline(
            feature_id,
            split_of(feature_id),
            frequency,
            image_frequency,
            largest,
            tuple(self._said(feature_id, scores)),
            _means(number for number in scores if number[1] is None),
        )

    def _said(self, feature_id: int, scores: "Sequence[_Number]") -> Iterable[Words]:
        sure = {
            (setting_id, sample, text): checked_number(probability)
            for setting_id, sample, text, probability in self._run.rows(
                "SELECT setting_id, sample, text, probability FROM trusts WHERE feature_id = ?", (feature_id,)
            )
        }
        rows = self._run.rows(
            "SELECT setting_id, sample, text FROM explanations WHERE feature_id = ? AND status = 'ok' "
            "ORDER BY setting_id, sample",
            (feature_id,),
        )
        first: dict[int, tuple[int, str]] = {}
        for setting_id, sample, text in rows:
            if setting_id in self._settings:
                first.setdefault(setting_id, (checked_id(sample), checked_text(text)))
        for setting_id, (sample, text) in first.items():
            setting = self._settings[setting_id]
            own = _means(each for each in scores if each[1:4] == (setting_id, sample, text))
            level = self._levels.get(text)
            yield Words(
                setting_id, setting.method, setting.explainer, text, sure.get((setting_id, sample, text)), level, own
            )

    def _scores(self, feature_id: int) -> "list[_Number]":
        found: list[_Number] = []
        query = "SELECT scoring_id, sample, text, value FROM scores WHERE feature_id = ?"
        for scoring_id, sample, text, value in self._run.rows(query, (feature_id,)):
            number = checked_number(value)
            if scoring_id in self._scorings and number is not None:
                score, setting_id = self._scorings[scoring_id]
                found.append((score, setting_id, checked_id(sample), checked_text(text), number))
        return found


_Number = tuple[Score, int | None, int, str, float]
"""A score, whose words it is of, the sample, the words, and the number."""


def _means(numbers: "Iterable[_Number]") -> dict[Score, float]:
    return {score: value for score, *_, value in numbers}
