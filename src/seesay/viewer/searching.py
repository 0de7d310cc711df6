"""Finding features in the catalogue: by words, by what is known of them, in any order, a page at a time."""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

from seesay.records import Level, Method, Split
from seesay.viewer.catalogue import OF_FEATURES, OF_WORDS, Catalogue

N_ON_PAGE = 24

Order = Literal["id", "relevance", "sure", "frequency", "activation", "disagreement"]
"""By what cards are sorted besides scores: `relevance` is to the words that are searched for."""

ORDERS: tuple[str, ...] = (*get_args(Order), *OF_WORDS, *OF_FEATURES)

_COLUMNS = {
    "id": "f.run, f.feature_id",
    "relevance": "words.rank",
    "sure": "s.sure",
    "frequency": "f.frequency",
    "activation": "f.max_activation",
    "disagreement": "f.disagreement",
    **{score: f"s.{score}" for score in OF_WORDS},
    **{score: f"f.{score}" for score in OF_FEATURES},
}
_TOKEN = re.compile(r"\w+")
_MOST_TOKENS, _MOST_PAGES = 16, 1_000_000


@final
@dataclass(frozen=True)
class Query:
    """What is asked for.

    Args:
        text: words that must all be said of a feature, the last of them perhaps begun only.
        run: number of a run; None for all, as with the others.
        method: features that it explains; its words are shown.
        level: what the words that are shown speak of.
        split: of the features.
        least_sure: probability that the words that are shown are right.
        score: by which the words that are shown must have something, or the feature itself.
        at_least: what they must have of it; None if only that they are scored.
        rarest: smallest frequency.
        commonest: largest frequency.
        order: one of `ORDERS`.
        ascending: the smallest first, where numbers are sorted; None for the largest, and ids from 0.
        page: from 1.
    """

    text: str = ""
    run: int | None = None
    method: Method | None = None
    level: Level | None = None
    split: Split | None = None
    least_sure: float | None = None
    score: str | None = None
    at_least: float | None = None
    rarest: float | None = None
    commonest: float | None = None
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


def find(catalogue: Catalogue, query: Query) -> Found:
    """Look features up.

    Args:
        catalogue: to look in.
        query: all of it may come from outside; what no feature can fulfil finds nothing.
    """
    tables, parameters = ["features AS f"], list[Any]()
    matched = _match(query.text)
    if matched:
        tables.append("JOIN words ON words.rowid = f.place AND words MATCH ?")
        parameters.append(matched)
    if query.method is None:
        tables.append("LEFT JOIN said AS s ON s.place = f.place AND s.is_best")
    else:
        first = "SELECT min(rowid) FROM said WHERE place = f.place AND method = ?"
        tables.append(f"JOIN said AS s ON s.rowid = ({first})")
        parameters.append(query.method)
    conditions = ["1"]
    for condition, value in (
        ("f.run = ?", query.run),
        ("f.split = ?", query.split),
        ("s.level = ?", query.level),
        ("s.sure >= ?", query.least_sure),
        ("f.frequency >= ?", query.rarest),
        ("f.frequency <= ?", query.commonest),
    ):
        if value is not None:
            conditions.append(condition)
            parameters.append(value)
    if query.score in (*OF_WORDS, *OF_FEATURES):
        conditions.append(f"{_COLUMNS[query.score]} >= ?")
        parameters.append(-1e308 if query.at_least is None else query.at_least)
    wherefrom = f"FROM {' '.join(tables)} WHERE {' AND '.join(conditions)}"
    ((n,),) = catalogue.rows(f"SELECT count(*) {wherefrom}", parameters)
    page = min(max(1, query.page), max(1, -(-n // N_ON_PAGE)))
    rows = catalogue.rows(
        f"SELECT f.*, s.* {wherefrom} ORDER BY {_order(query, bool(matched))} LIMIT ? OFFSET ?",
        (*parameters, N_ON_PAGE, (page - 1) * N_ON_PAGE),
    )
    return Found(rows, n, page)


def _match(text: str) -> str:
    """What FTS5 is asked: every word as a word, whatever signs stand beside it, the last one as a beginning."""
    tokens = _TOKEN.findall(text)[:_MOST_TOKENS]
    return " ".join(f'"{token}"' for token in tokens) + "*" if tokens else ""


def _order(query: Query, is_searched: bool) -> str:
    """Never with anything from outside in it."""
    order = query.order if query.order in ORDERS and (is_searched or query.order != "relevance") else "id"
    if order in ("id", "relevance"):
        return f"{_COLUMNS[order]}, f.run, f.feature_id"
    direction = "ASC" if query.ascending else "DESC"
    return f"{_COLUMNS[order]} IS NULL, {_COLUMNS[order]} {direction}, f.run, f.feature_id"
