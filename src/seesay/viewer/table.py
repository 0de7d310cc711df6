"""The catalogue's table: how it is laid out, and how features are written into it."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, final

from seesay.calibration import similarity
from seesay.cards import precedence
from seesay.scorers.config import SCORES, Measure, Score
from seesay.viewer.outline import Outline, Words

OF_WORDS: tuple[Score, ...] = tuple(score for score, measure in SCORES.items() if measure.of_words)
OF_FEATURES: tuple[Score, ...] = tuple(score for score, measure in SCORES.items() if not measure.of_words)

_ARTICLES = frozenset({"a", "an", "the"})

SCHEMA = f"""
CREATE TABLE features (
    place INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    feature_id INTEGER NOT NULL,
    split TEXT NOT NULL,
    frequency REAL,
    image_frequency REAL,
    max_activation REAL,
    disagreement REAL,
    n_said INTEGER NOT NULL,
    {", ".join(f"{score} REAL" for score in OF_FEATURES)},
    UNIQUE (run, feature_id)
);
CREATE TABLE said (
    place INTEGER NOT NULL,
    is_best INTEGER NOT NULL,
    is_first INTEGER NOT NULL,
    method TEXT NOT NULL,
    explainer TEXT NOT NULL,
    text TEXT NOT NULL,
    sure REAL,
    level TEXT,
    {", ".join(f"{score} REAL" for score in OF_WORDS)}
);
CREATE INDEX said_of ON said (place);
CREATE UNIQUE INDEX best_of ON said (place) WHERE is_best;
CREATE UNIQUE INDEX first_of ON said (method, place) WHERE is_first;
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');
"""
_FACTS = (
    "run",
    "feature_id",
    "split",
    "frequency",
    "image_frequency",
    "max_activation",
    "disagreement",
    "n_said",
)

MOST_OWN = 100
"""Scores of users' own that are looked at, and that the table has columns for: a stranger's run may have any number."""


@final
@dataclass(frozen=True)
class Columns:
    """The scores that the table has columns for: seesay's own, and users' own as they turn up.

    Args:
        of_words: scores of words.
        of_features: scores of features.
    """

    of_words: tuple[Score, ...] = OF_WORDS
    of_features: tuple[Score, ...] = OF_FEATURES

    def with_own(self, connection: sqlite3.Connection, measures: Mapping[Score, Measure]) -> "Columns":
        """Add columns for scores that have none.

        Args:
            connection: to the catalogue, in a transaction.
            measures: of scores, by names that were checked.
        """
        known = {*self.of_words, *self.of_features}
        room = len(OF_WORDS) + len(OF_FEATURES) + MOST_OWN - len(known)
        new = [score for score in measures if score not in known][:room]
        for score in new:
            table = "said" if measures[score].of_words else "features"
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column(score)} REAL")
        of_words = [score for score in new if measures[score].of_words]
        of_features = [score for score in new if not measures[score].of_words]
        return Columns((*self.of_words, *of_words), (*self.of_features, *of_features))


def column(score: Score) -> str:
    """A score's column in SQL, in which its name may be a word of the language.

    Args:
        score: its name, which was checked.
    """
    return f'"{score}"'


def put(
    connection: sqlite3.Connection,
    columns: Columns,
    number: int,
    feature_ids: Sequence[int],
    outlines: Sequence[Outline],
) -> None:
    """Write features in the place of what was known of them.

    Args:
        connection: to the catalogue, in a transaction.
        columns: for scores.
        number: of the run.
        feature_ids: of those that have changed.
        outlines: of these features; those without one are gone, or damaged.
    """
    names = (*_FACTS, *map(column, columns.of_features))
    connection.executemany(
        f"INSERT INTO features ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT (run, feature_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)}",
        [_facts(number, outline, columns.of_features) for outline in outlines],
    )
    marks = ", ".join("?" * len(feature_ids))
    query = f"SELECT feature_id, place FROM features WHERE run = ? AND feature_id IN ({marks})"
    places: dict[int, int] = dict(connection.execute(query, (number, *feature_ids)).fetchall())
    for table, key in (("said", "place"), ("words", "rowid")):
        connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(place,) for place in places.values()])
    gone = places.keys() - {outline.feature_id for outline in outlines}
    connection.executemany("DELETE FROM features WHERE place = ?", [(places[each],) for each in gone])
    said = [row for outline in outlines for row in _said(places[outline.feature_id], outline, columns.of_words)]
    connection.executemany(f"INSERT INTO said VALUES ({', '.join('?' * (8 + len(columns.of_words)))})", said)
    texts = {
        places[outline.feature_id]: "\n".join(dict.fromkeys(words.text for words in outline.said))
        for outline in outlines
        if outline.said
    }
    connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", texts.items())


def _facts(number: int, outline: Outline, scores: Sequence[Score]) -> tuple[Any, ...]:
    return (
        number,
        outline.feature_id,
        outline.split,
        outline.frequency,
        outline.image_frequency,
        outline.max_activation,
        disagreement(outline.said),
        len(outline.said),
        *(outline.scores.get(score) for score in scores),
    )


def _said(place: int, outline: Outline, scores: Sequence[Score]) -> list[tuple[Any, ...]]:
    best = best_of(outline.said)
    first = {words.method: words for words in reversed(outline.said)}
    return [
        (
            place,
            words is best,
            words is first[words.method],
            words.method,
            words.explainer,
            words.text,
            words.sure,
            words.level,
            *(words.scores.get(score) for score in scores),
        )
        for words in outline.said
    ]


def best_of(said: Sequence[Words]) -> Words | None:
    """The words that stand for a feature.

    Args:
        said: of one feature.
    """
    return min(said, key=lambda words: precedence(words.method, words.sure), default=None)


def _bare(text: str) -> str:
    """Without articles, in which words that say the same may differ, and others agree."""
    return " ".join(word for word in text.lower().split() if word not in _ARTICLES)


def disagreement(said: Sequence[Words]) -> float | None:
    """How unlike the words of different methods are: one less their mean likeness; None where there are not two.

    Args:
        said: of one feature.
    """
    first = {words.method: _bare(words.text) for words in reversed(said)}
    pairs = list(combinations(first.values(), 2))
    return 1 - sum(similarity(*pair) for pair in pairs) / len(pairs) if pairs else None
