"""Finding features in the catalogue: by words, by what is known of them, in any order, a page at a time."""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final, get_args

from seesay.errors import InvalidSetting
from seesay.records import Level, Method, Split
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.meaning import Meaning, Nearness
from seesay.viewer.table import Columns, column

N_ON_PAGE = 24

Order = Literal["id", "relevance", "sure", "frequency", "activation", "disagreement"]
"""By what cards are sorted besides scores: `relevance` is to the words that are searched for."""

ORDERS: tuple[Order, ...] = get_args(Order)

By = Literal["words", "meaning"]

_COLUMNS = {
    "id": "f.run, f.feature_id",
    "relevance": "words.rank",
    "sure": "s.sure",
    "frequency": "f.frequency",
    "activation": "f.max_activation",
    "disagreement": "f.disagreement",
}
_CONDITIONS = {
    "run": "f.run = :run",
    "split": "f.split = :split",
    "level": "s.level = :level",
    "least_sure": "s.sure >= :least_sure",
    "rarest": "f.frequency >= :rarest",
    "commonest": "f.frequency <= :commonest",
    "apart": "f.disagreement >= :apart",
}
_NEAREST = "nearness(f.run, f.feature_id) DESC, f.run, f.feature_id"
_OF_SAID = re.compile(r"\bs\.")
_TOKEN = re.compile(r"[^\W_]+")
_MOST_TOKENS = 16


@final
@dataclass(frozen=True)
class Query:
    """What is asked for.

    Args:
        text: words that must all be said of a feature, the last of them perhaps begun only; or what is meant.
        by: whether the text is looked for in words, or by meaning among the images that activate features.
        picture: name of one that features shall be near to; it goes before the text.
        run: number of a run; None for all, as with the others.
        method: features that it explains; its words are shown.
        level: what the words that are shown speak of.
        split: of the features.
        least_sure: probability that the words that are shown are right.
        score: by which the words that are shown must have something, or the feature itself.
        at_least: what they must have of it; None if only that they are scored.
        rarest: smallest frequency.
        commonest: largest frequency.
        apart: how far methods disagree, at least.
        order: one of `ORDERS`, or a score.
        ascending: the smallest first, where numbers are sorted; None for the largest, and ids from 0.
        page: from 1.
    """

    text: str = ""
    by: By = "words"
    picture: str = ""
    run: int | None = None
    method: Method | None = None
    level: Level | None = None
    split: Split | None = None
    least_sure: float | None = None
    score: str | None = None
    at_least: float | None = None
    rarest: float | None = None
    commonest: float | None = None
    apart: float | None = None
    order: str = "id"
    ascending: bool = False
    page: int = 1


@final
@dataclass(frozen=True)
class Found:
    """A page of what was found.

    Args:
        rows: of features, with the words that stand for each.
        n: how many there are on all pages.
        page: which one this is, from 1.
    """

    rows: Sequence[sqlite3.Row]
    n: int
    page: int

    @property
    def n_pages(self) -> int:
        """How many pages there are."""
        return max(1, -(-self.n // N_ON_PAGE))


def find(catalogue: Catalogue, query: Query, meaning: Meaning | None = None) -> Found:
    """Look features up.

    Args:
        catalogue: to look in.
        query: all of it may come from outside; what no feature can fulfil finds nothing.
        meaning: where features are, for whoever looks for what is near; the nearest are then the first.

    Raises:
        InvalidSetting: something near is looked for, and nobody knows where features are.
        SeesayError: what is looked for cannot be read.
    """
    nearness = _nearness(query, meaning)
    matched = _match(query.text) if query.by == "words" else ""
    columns = catalogue.columns
    order = _NEAREST if nearness is not None else _order(query, columns, bool(matched))
    values = {**vars(query), "matched": matched, "least": -1e308 if query.at_least is None else query.at_least}
    ((n,),) = catalogue.rows(f"SELECT count(*) {_wherefrom(query, columns, matched)}", values)
    page = min(max(1, query.page), max(1, -(-n // N_ON_PAGE)))
    # Sorted are places alone: whatever else is shown is read of those that are left.
    places = catalogue.rows(
        f"SELECT f.place {_wherefrom(query, columns, matched, order)} ORDER BY {order} LIMIT :n OFFSET :skipped",
        {**values, "n": N_ON_PAGE, "skipped": (page - 1) * N_ON_PAGE},
        nearness=nearness,
    )
    of_them = f"f.place IN ({', '.join(str(place) for (place,) in places)})"
    rows = catalogue.rows(f"SELECT f.*, s.* FROM features AS f {_said(query)} WHERE {of_them}", values)
    by_place = {row["place"]: row for row in rows}
    return Found([by_place[place] for (place,) in places if place in by_place], n, page)


def _wherefrom(query: Query, columns: Columns, matched: str, order: str = "") -> str:
    """What is asked for as SQL, with values by name; what is said is joined only where it matters, as it takes long."""
    conditions = [condition for name, condition in _CONDITIONS.items() if getattr(query, name) is not None]
    scored = _scored(query.score, columns)
    if scored is not None:
        conditions.append(f"{scored} >= :least")
    where = " AND ".join(conditions) or "1"
    said = _said(query) if query.method is not None or _OF_SAID.search(f"{where} {order}") else ""
    words = "JOIN words ON words.rowid = f.place AND words MATCH :matched" if matched else ""
    return f"FROM features AS f {words} {said} WHERE {where}"


def _said(query: Query) -> str:
    """The words that are shown of a feature: those that stand for it, or a method's."""
    if query.method is None:
        return "LEFT JOIN said AS s ON s.place = f.place AND s.is_best"
    return "JOIN said AS s ON s.place = f.place AND s.is_first AND s.method = :method"


def _nearness(query: Query, meaning: Meaning | None) -> Nearness | None:
    is_meant = bool(query.picture) or (query.by == "meaning" and bool(query.text.strip()))
    if not is_meant:
        return None
    if meaning is None:
        raise InvalidSetting(
            "a search by meaning, and no model that puts pictures and phrases into one space",
            expected="one, for runs that are not of the embedded world",
            remedy="name it: seesay serve RUN --embedder openai/clip-vit-large-patch14",
        )
    return meaning.near_picture(query.picture) if query.picture else meaning.near_text(query.text.strip())


def _match(text: str) -> str:
    """What FTS5 is asked: every word as a word, whatever signs stand beside it, the last one as a beginning."""
    tokens = _TOKEN.findall(text)[:_MOST_TOKENS]
    return " ".join(f'"{token}"' for token in tokens) + "*" if tokens else ""


def _order(query: Query, columns: Columns, is_searched: bool) -> str:
    """Never with anything from outside in it, but for names of scores that the table has."""
    by = _COLUMNS.get(query.order) or _scored(query.order, columns)
    if by is None or query.order == "id" or (query.order == "relevance" and not is_searched):
        return f"{_COLUMNS['id']}, f.run, f.feature_id"
    if query.order == "relevance":
        return f"{by}, f.run, f.feature_id"
    direction = "ASC" if query.ascending else "DESC"
    return f"{by} IS NULL, {by} {direction}, f.run, f.feature_id"


def _scored(score: str | None, columns: Columns) -> str | None:
    """The column of a score; None if the table has none."""
    if score in columns.of_words:
        return f"s.{column(score)}"
    return f"f.{column(score)}" if score in columns.of_features else None
