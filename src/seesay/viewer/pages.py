"""Pages out of what runs hold: what is read, and put into templates that escape all of it."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, final, get_args
from urllib.parse import urlencode

from seesay.cards import read_card
from seesay.errors import UnusablePath
from seesay.explainers.config import METHODS, Empty, Positions
from seesay.records import Level, Mode, SightingOrder, Split, StrengthUnit, Verdict
from seesay.report.features import bars_of, best_of, best_pictures, columns_of, exemplars_of, statements_of, sweeps_of
from seesay.report.pictures import Shown
from seesay.report.templating import templates_of
from seesay.store.bookmarks import Bookmark, bookmarks
from seesay.store.run import Run
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.comparing import Comparer
from seesay.viewer.judging import judgeable_of
from seesay.viewer.laboratory import Laboratory
from seesay.viewer.meaning import Meaning, version_of
from seesay.viewer.pushes import Push
from seesay.viewer.searching import ORDERS, Found, Query, find

_log = logging.getLogger(__name__)

_PLAIN = Query()
_UNITS = tuple(unit for unit in get_args(StrengthUnit) if unit != "max_activation")
_EMPTY = tuple(empty for empty in get_args(Empty) if empty != "mean")
"""What can be had without a run's images."""


@final
class Pages:
    """The pages of some runs.

    Args:
        catalogue: of the runs.
        meaning: for search by meaning; None without.
        laboratory: asks the runs' models; None if they are not loaded.
    """

    def __init__(
        self, catalogue: Catalogue, meaning: Meaning | None = None, laboratory: Laboratory | None = None
    ) -> None:
        self._catalogue, self._meaning, self._laboratory = catalogue, meaning, laboratory
        self._templates = templates_of("seesay.viewer")

    def atlas(self, query: Query, *, is_part: bool = False) -> str:
        """Cards of features.

        Args:
            query: which, and in what order.
            is_part: only what was found, for a page that is there already.
        """
        found = find(self._catalogue, query, self._meaning)
        shown: dict[str, Any] = {
            "found": found,
            "cards": self._cards(found),
            "query": query,
            "reading": self._meaning.progress if self._meaning else (0, 0),
            "of_words": self._catalogue.columns.of_words,
            "address": lambda **changed: address_of(replace(query, **changed)),
        }
        if is_part:
            return self.rendered("found.html", **shown)
        present = self._catalogue.present()
        columns = self._catalogue.columns
        scores = [score for score in (*columns.of_words, *columns.of_features) if score in present.scores]
        return self.rendered(
            "atlas.html",
            methods=[method for method in METHODS if method in present.methods],
            levels=[level for level in get_args(Level) if level in present.levels],
            splits=get_args(Split),
            orders=[*ORDERS, *scores],
            scores=scores,
            **shown,
        )

    def feature(self, number: int, feature_id: int) -> str:
        """All that is known of one feature.

        Args:
            number: of the run.
            feature_id: in it.

        Raises:
            FeatureNotFound: there is no such run, or nothing is known of the feature in it.
            UnusablePath: what the run says is damaged.
        """
        with Run.open(self._catalogue.folder(number)) as run:
            card = read_card(run, feature_id)
            rows = exemplars_of(run, card, feature_id)
            statements = statements_of(card)
            judgeable = judgeable_of(run, feature_id, statements)
        before, after = self._beside(number, feature_id)
        known = card.statistics
        others = {other for other, _ in (*known.nearest, *known.fires_with)} if known else set[int]()
        return self.rendered(
            "feature.html",
            number=number,
            feature_id=feature_id,
            card=card,
            statements=statements,
            judgeable=judgeable,
            verdicts=get_args(Verdict),
            best=best_of(statements),
            words=self._words({(number, other) for other in others}),
            columns=columns_of(card, statements),
            sweeps=sweeps_of(card),
            rows=rows,
            bars=bars_of(card),
            before=before,
            after=after,
        )

    def compare(self, comparer: Comparer) -> str:
        """Methods side by side, or that this is being computed.

        Args:
            comparer: who does it.
        """
        compared, is_new = comparer.found()
        differing = compared.differing if compared else ()
        words = self._words({(number, feature_id) for each in differing for number, feature_id, *_ in each.features})
        return self.rendered("compare.html", compared=compared, is_new=is_new, words=words)

    def ask(self, number: int, picture: str, order: SightingOrder) -> str:
        """What a picture activates, for whoever brings one.

        Args:
            number: of the run, from outside.
            picture: name of one that was brought; empty for none yet.
            order: which features come first.

        Raises:
            FeatureNotFound: there is no such run.
        """
        self._catalogue.folder(number)
        return self.rendered("ask.html", number=number, picture=picture, order=order, orders=get_args(SightingOrder))

    def lab(self, push: Push, kept: Bookmark | None = None) -> str:
        """Features pushed, and what is said then.

        Args:
            push: what to begin with.
            kept: the bookmark that it is of.

        Raises:
            FeatureNotFound: there is no such run.
            UnusablePath: what the run says is damaged.
        """
        with Run.open(self._catalogue.folder(push.run)) as run:
            found = bookmarks(run)
        loaded = self._laboratory.loaded(push.run) if self._laboratory else None
        return self.rendered(
            "lab.html",
            push=push,
            kept=kept,
            bookmarks=found,
            loaded=loaded,
            words=self._words({(push.run, push.feature)}),
            methods=loaded.prompts if loaded else {},
            choices={"unit": _UNITS, "mode": get_args(Mode), "empty": _EMPTY, "positions": get_args(Positions)},
        )

    def figure(self) -> str:
        """The frame in which figures are drawn."""
        return self.rendered("figure.html")

    def error(self, status: int, title: str, what: str) -> str:
        """What went wrong, and what to do.

        Args:
            status: of HTTP.
            title: in few words.
            what: all of it.
        """
        return self.rendered("error.html", status=status, title=title, what=what)

    def rendered(self, name: str, **values: Any) -> str:
        """A page, or a part of one.

        Args:
            name: of the template.
            values: what it shows, besides what every page does.
        """
        return self._templates.get_template(name).render(
            runs=self._catalogue.names,
            version=version_of(self._catalogue, self._meaning),
            has_meaning=self._meaning is not None,
            has_models=self._laboratory is not None,
            **values,
        )

    def _cards(self, found: Found) -> list[Mapping[str, Any]]:
        """Each row with its pictures, and what all methods say."""
        places = [row["place"] for row in found.rows]
        said: dict[int, list[Any]] = defaultdict(list)
        marks = ", ".join("?" * len(places))
        for row in self._catalogue.rows(f"SELECT * FROM said WHERE place IN ({marks}) ORDER BY rowid", places):
            said[row["place"]].append(row)
        with ExitStack() as stack:
            runs = {
                number: stack.enter_context(Run.open(self._catalogue.folder(number)))
                for number in {row["run"] for row in found.rows}
            }
            return [
                {"row": row, "said": said[row["place"]], "pictures": _pictures(runs[row["run"]], row["feature_id"])}
                for row in found.rows
            ]

    def _words(self, features: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], str]:
        """The words that stand for features, by the numbers of the run and of the feature; empty for those without."""
        pairs = ", ".join(f"({number:d}, {feature_id:d})" for number, feature_id in features)
        query = "SELECT run, feature_id, text FROM features JOIN said USING (place)"
        rows = self._catalogue.rows(f"{query} WHERE is_best AND (run, feature_id) IN (VALUES {pairs})") if pairs else []
        return dict.fromkeys(features, "") | {(number, feature_id): text for number, feature_id, text in rows}

    def _beside(self, number: int, feature_id: int) -> tuple[int | None, int | None]:
        query = "SELECT max(feature_id) FROM features WHERE run = ? AND feature_id < ?"
        ((before,),) = self._catalogue.rows(query, (number, feature_id))
        query = "SELECT min(feature_id) FROM features WHERE run = ? AND feature_id > ?"
        ((after,),) = self._catalogue.rows(query, (number, feature_id))
        return before, after


def _pictures(run: Run, feature_id: int) -> list[Shown] | None:
    """The pictures of a card; None if they are damaged, which keeps no other card from being shown."""
    try:
        return best_pictures(run, feature_id)
    except UnusablePath as error:
        _log.warning("%s", error)
        return None


def address_of(query: Query) -> str:
    """The address of what is asked for, without what is as usual.

    Args:
        query: all of it.
    """
    given = {name: value for name, value in vars(query).items() if value != getattr(_PLAIN, name)}
    return f"/?{urlencode(given)}" if given else "/"
