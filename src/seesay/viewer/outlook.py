"""A run as one looks at it again and again: what is known of each feature in short, and what has changed.

Everything is checked, as the run may be a stranger's.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, final

from seesay.comparison.levels import labels_of
from seesay.records import Level
from seesay.scorers.config import SCORES, Measure, Score
from seesay.split import split_of
from seesay.store.checks import checked_id, checked_number, checked_text
from seesay.store.explanations import StoredSetting, settings
from seesay.store.labels import labellers
from seesay.store.measures import measured_by
from seesay.store.run import DAMAGE, Run
from seesay.store.ways import all_in_one_way
from seesay.viewer.outline import Outline, Words
from seesay.viewer.table import MOST_OWN

_TABLES = {
    "explanations": ("setting_id", "seconds"),
    "scores": ("scoring_id", "seconds"),
    "trusts": ("setting_id", "probability + length(text) + unicode(text)"),
}
"""Where something is said of features: what it is said in, and a number of each row that hardly repeats."""

_Source = tuple[str, int]
"""A table, and in it a setting or a way of scoring."""

_OF_FEATURES = ("features", 0)

_Rows = Sequence[tuple[Any, ...]]

_STATISTICS = "SELECT feature_id, frequency, image_frequency, max_activation FROM features WHERE feature_id IN"
_SAID = "SELECT feature_id, setting_id, sample, text FROM explanations WHERE status = 'ok' AND feature_id IN"
_SURE = "SELECT feature_id, setting_id, sample, text, probability FROM trusts WHERE feature_id IN"
_SCORED = "SELECT feature_id, scoring_id, sample, text, value FROM scores WHERE feature_id IN"


@dataclass(frozen=True, eq=False)
class _Known:
    """What was seen when one looked around; a source of which the total is the same is not read again.

    Args:
        totals: of each source, what is another if anything in it is: how many rows there are, and the sum of a number.
        marks: the same by feature.
        settings: whose words compete.
        scorings: that count: of which score, and of whose words.
        own: what scores of users' own measure.
        labelled: by whom words were labelled, and how many.
        levels: of words.
    """

    totals: Mapping[_Source, tuple[Any, ...]] = field(default_factory=dict[_Source, tuple[Any, ...]])
    marks: Mapping[_Source, Mapping[int, Any]] = field(default_factory=dict[_Source, Mapping[int, Any]])
    settings: Mapping[int, StoredSetting] = field(default_factory=dict[int, StoredSetting])
    scorings: Mapping[int, tuple[Score, int | None]] = field(default_factory=dict[int, tuple[Score, int | None]])
    own: Mapping[Score, Measure] = field(default_factory=dict[Score, Measure])
    labelled: Mapping[str, int] = field(default_factory=dict[str, int])
    levels: Mapping[str, Level] = field(default_factory=dict[str, Level])

    def features(self, table: str, numbers: Iterable[int]) -> Iterable[int]:
        """Those of which anything is said in some settings, or ways of scoring."""
        return (feature_id for number in numbers for feature_id in self.marks.get((table, number), ()))


@final
class Outlook:
    """Tells what a run knows, and what has changed since it was last asked.

    Args:
        run: open to be read.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._version: int | None = None
        self._known = _Known()

    @property
    def own(self) -> Mapping[Score, Measure]:
        """What scores of users' own measure, by name, as was seen last."""
        return self._known.own

    def changed(self) -> list[int]:
        """The features of which something has changed; at first all of them.

        Raises:
            UnusablePath: what the run says is damaged.
        """
        ((version,),) = self._run.rows("PRAGMA data_version")
        if version == self._version:
            return []
        try:
            now = self._look_around()
            is_first = self._version is None
            found = set[int]().union(*now.marks.values()) if is_first else self._differing(self._known, now)
        except DAMAGE as error:
            raise self._run.damaged("a feature's number", error) from error
        self._version, self._known = version, now
        return sorted(found)

    def outlines(self, feature_ids: Sequence[int]) -> list[Outline]:
        """What is known of some features, read together.

        Args:
            feature_ids: that `changed` told, not more than some thousand.

        Returns:
            One for each of them of which anything is known still.

        Raises:
            UnusablePath: what the run says of one of them is damaged.
        """
        statistics, said, sure, scored = (
            self._read(query, feature_ids) for query in (_STATISTICS, _SAID, _SURE, _SCORED)
        )
        found: list[Outline] = []
        for each in feature_ids:
            if not any(each in marks for marks in self._known.marks.values()):
                continue
            try:
                found.append(self._outline(each, statistics[each], said[each], sure[each], scored[each]))
            except DAMAGE as error:
                raise self._run.damaged(f"what is known of feature {each}", error) from error
        return found

    def _look_around(self) -> _Known:
        before = self._known
        totals = self._totals()
        marks = {
            source: before.marks[source] if before.totals.get(source) == total else self._marks(source)
            for source, total in totals.items()
        }
        labelled, scored = labellers(self._run), all_in_one_way(self._run)
        measures = measured_by(each for same in scored.values() for each in same)
        own = dict(islice(((score, known) for score, known in measures.items() if score not in SCORES), MOST_OWN))
        return _Known(
            totals,
            marks,
            {
                each.setting_id: each
                for each in settings(self._run)
                if each.control is None and _is_judged(marks.get(("explanations", each.setting_id), ()))
            },
            {
                each.scoring_id: (score, each.setting_id)
                for score, same in scored.items()
                if score in SCORES or score in own
                for each in same
            },
            own,
            labelled,
            before.levels if labelled == before.labelled else labels_of([self._run])[1],
        )

    def _totals(self) -> dict[_Source, tuple[Any, ...]]:
        # Features are written once, when collecting ends, and their rows are so large that counting them takes long.
        stage = self._run.rows("SELECT identity, finished_at FROM stages WHERE name = 'collect'")
        found: dict[_Source, tuple[Any, ...]] = {_OF_FEATURES: tuple(stage)}
        for table, (column, number) in _TABLES.items():
            query = f"SELECT {column}, count(*), total({number}) FROM {table} GROUP BY {column}"
            found |= {(table, each): tuple(total) for each, *total in self._run.rows(query)}
        return found

    def _marks(self, source: _Source) -> dict[int, Any]:
        if source == _OF_FEATURES:
            rows = self._run.rows("SELECT feature_id, frequency FROM features")
        else:
            table, place = source
            column, number = _TABLES[table]
            mark = f"SELECT feature_id, count(*) + total({number}) FROM {table}"
            rows = self._run.rows(f"{mark} WHERE {column} = ? GROUP BY feature_id", (place,))
        return {checked_id(feature_id): mark for feature_id, mark in rows}

    def _differing(self, before: _Known, now: _Known) -> set[int]:
        found: set[int] = set()
        for source in before.marks.keys() | now.marks.keys():
            earlier, later = before.marks.get(source, {}), now.marks.get(source, {})
            if earlier is not later:
                found.update(feature_id for feature_id, _ in earlier.items() ^ later.items())
        found.update(now.features("explanations", before.settings.keys() ^ now.settings.keys()))
        found.update(now.features("scores", before.scorings.keys() ^ now.scorings.keys()))
        texts = {text for text, _ in before.levels.items() ^ now.levels.items()}
        if texts:
            rows = self._run.rows("SELECT feature_id, text FROM explanations WHERE status = 'ok'")
            found.update(checked_id(feature_id) for feature_id, text in rows if text in texts)
        return found

    def _read(self, query: str, feature_ids: Sequence[int]) -> dict[int, list[tuple[Any, ...]]]:
        found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for row in self._run.rows(f"{query} ({', '.join('?' * len(feature_ids))})", feature_ids):
            found[row[0]].append(row[1:])
        return found

    def _outline(self, feature_id: int, statistics: _Rows, said: _Rows, sure: _Rows, scored: _Rows) -> Outline:
        frequency, image_frequency, largest = map(checked_number, statistics[0] if statistics else (None, None, None))
        scores = self._scores(scored)
        return Outline(
            feature_id,
            split_of(feature_id),
            frequency,
            image_frequency,
            largest,
            tuple(self._words(said, sure, scores)),
            _means(number for number in scores if number[1] is None),
        )

    def _words(self, said: _Rows, sure: _Rows, scores: "Sequence[_Number]") -> Iterable[Words]:
        known = self._known
        probable = {tuple(of): checked_number(probability) for *of, probability in sure}
        first: dict[int, tuple[int, str]] = {}
        for setting_id, sample, text in sorted(said, key=lambda row: row[:2]):
            if setting_id in known.settings:
                first.setdefault(setting_id, (checked_id(sample), checked_text(text)))
        for setting_id, (sample, text) in first.items():
            setting = known.settings[setting_id]
            of = (setting_id, sample, text)
            own = _means(each for each in scores if each[1:4] == of)
            level = known.levels.get(text)
            yield Words(setting_id, setting.method, setting.explainer, text, probable.get(of), level, own)

    def _scores(self, scored: _Rows) -> "list[_Number]":
        found: list[_Number] = []
        for scoring_id, sample, text, value in scored:
            number = checked_number(value)
            if scoring_id in self._known.scorings and number is not None:
                score, setting_id = self._known.scorings[scoring_id]
                found.append((score, setting_id, checked_id(sample), checked_text(text), number))
        return found


_Number = tuple[Score, int | None, int, str, float]
"""A score, whose words it is of, the sample, the words, and the number."""


def _is_judged(feature_ids: Iterable[int]) -> bool:
    """Whether features are those that are judged; strengths are tried on others alone."""
    return any(split_of(each) == "test" for each in feature_ids)


def _means(numbers: "Iterable[_Number]") -> dict[Score, float]:
    return {score: value for score, *_, value in numbers}
