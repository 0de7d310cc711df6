"""Pages out of what runs hold: what is read, and put into templates that escape all of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, final, get_args
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from seesay.cards import Card, particulars, read_card
from seesay.errors import FeatureNotFound
from seesay.exemplars.histogram import bin_edge
from seesay.explainers.config import METHODS
from seesay.records import Level, Split
from seesay.scorers.config import SCORES
from seesay.store import exemplars as shelf
from seesay.store.run import Run
from seesay.texts import one_line
from seesay.viewer.catalogue import OF_FEATURES, OF_WORDS, Catalogue
from seesay.viewer.comparing import Comparer
from seesay.viewer.pictures import Shown
from seesay.viewer.searching import ORDERS, Found, Query, find

N_ON_CARD = 3
"""Exemplars of a card."""

_PLAIN = Query()


@final
class Pages:
    """The pages of some runs.

    Args:
        catalogue: of the runs.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._templates = Environment(
            loader=PackageLoader("seesay.viewer"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"number": number, "share": share, "line": one_line}
        self._everywhere: Mapping[str, Any] = {"scores": SCORES, "of_words": OF_WORDS, "of_features": OF_FEATURES}

    def atlas(self, query: Query, *, is_part: bool = False) -> str:
        """Cards of features.

        Args:
            query: which, and in what order.
            is_part: only what was found, for a page that is there already.
        """
        found = find(self._catalogue, query)
        shown: dict[str, Any] = {
            "found": found,
            "cards": self._cards(found),
            "address": lambda **changed: "/?" + address_of(replace(query, **changed)),
        }
        if is_part:
            return self._rendered("found.html", **shown)
        methods, levels = self._known("method"), self._known("level")
        return self._rendered(
            "atlas.html",
            query=query,
            methods=[method for method in METHODS if method in methods],
            levels=[level for level in get_args(Level) if level in levels],
            splits=get_args(Split),
            orders=[order for order in ORDERS if order not in SCORES or self._is_known(order)],
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
        before, after = self._beside(number, feature_id)
        told = told_of(card)
        return self._rendered(
            "feature.html",
            number=number,
            feature_id=feature_id,
            card=card,
            told=told,
            shown_scores={score for each in told for score in each.scores},
            many_explainers=len({each.explainer for each in told}) > 1,
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
        return self._rendered("compare.html", compared=compared, is_new=is_new)

    def figure(self) -> str:
        """The frame in which figures are drawn."""
        return self._rendered("figure.html")

    def error(self, status: int, title: str, what: str) -> str:
        """What went wrong, and what to do.

        Args:
            status: of HTTP.
            title: in few words.
            what: all of it.
        """
        return self._rendered("error.html", status=status, title=title, what=what)

    def _rendered(self, name: str, **values: Any) -> str:
        return self._templates.get_template(name).render(
            runs=self._catalogue.names, version=self._catalogue.version, **self._everywhere, **values
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
                {"row": row, "said": said[row["place"]], "pictures": best_pictures(runs[row["run"]], row["feature_id"])}
                for row in found.rows
            ]

    def _beside(self, number: int, feature_id: int) -> tuple[int | None, int | None]:
        query = "SELECT max(feature_id) FROM features WHERE run = ? AND feature_id < ?"
        ((before,),) = self._catalogue.rows(query, (number, feature_id))
        query = "SELECT min(feature_id) FROM features WHERE run = ? AND feature_id > ?"
        ((after,),) = self._catalogue.rows(query, (number, feature_id))
        return before, after

    def _known(self, column: str) -> frozenset[str]:
        query = f"SELECT DISTINCT {column} FROM said WHERE {column} IS NOT NULL"
        return frozenset(value for (value,) in self._catalogue.rows(query))

    def _is_known(self, score: str) -> bool:
        table = "said" if score in OF_WORDS else "features"
        return bool(self._catalogue.rows(f"SELECT 1 FROM {table} WHERE {score} IS NOT NULL LIMIT 1"))


def address_of(query: Query) -> str:
    """A query as the part of an address behind its question mark, without what is as usual.

    Args:
        query: all of it.
    """
    given = {name: value for name, value in vars(query).items() if value != getattr(_PLAIN, name)}
    return urlencode(given)


def best_pictures(run: Run, feature_id: int) -> list[Shown]:
    """The pictures of a card.

    Args:
        run: may be a stranger's.
        feature_id: in it.
    """
    try:
        found = shelf.exemplars(run, feature_id, "explaining", "top", N_ON_CARD)
    except FeatureNotFound:  # a run without images
        return []
    return [Shown.of(each) for each in found]


def exemplars_of(run: Run, card: Card, feature_id: int) -> list[tuple[str, list[Shown]]]:
    """All exemplars by what they stand for, the most activating ones first.

    Args:
        run: may be a stranger's.
        card: of the feature.
        feature_id: in the run.
    """
    if card.statistics is None:
        return []
    rows = [("Most active", [Shown.of(each) for each in card.exemplars])]
    quantiles: dict[int, list[Shown]] = defaultdict(list)
    for each in shelf.exemplars(run, feature_id, "explaining", "quantile"):
        quantiles[each.quantile or 0].append(Shown.of(each))
    n = max(quantiles, default=0) + 1
    rows += [(f"Quantile {each + 1} of {n}", quantiles[each]) for each in sorted(quantiles, reverse=True)]
    rows.append(("Not active", [Shown.of(each) for each in shelf.exemplars(run, feature_id, "explaining", "inactive")]))
    return [(name, shown) for name, shown in rows if shown]


@final
@dataclass(frozen=True)
class Told:
    """One explanation as a page tells it.

    Args:
        title: method and control.
        control: whether it is one.
        strength: how hard it was pushed, in words.
        explainer: who said it.
        more: what tells the setting from others, in words.
        words: what was said.
        status: how it came out.
        reason: why there are no words.
        log_probability: mean, of each token.
        sure: how probable it is that the words are right.
        scores: by name; with whether images were shared.
        n_others: settings of other strengths that it stands for.
    """

    title: str
    control: bool
    strength: str
    explainer: str
    more: str
    words: str
    status: str
    reason: str
    log_probability: float | None
    sure: float | None
    scores: Mapping[str, tuple[float, bool]]
    n_others: int


def told_of(card: Card) -> list[Told]:
    """Everything that was said.

    Args:
        card: of the feature.
    """
    differing = particulars([setting for setting, *_ in card.told])
    return [
        Told(
            setting.title,
            setting.control is not None,
            "" if setting.strength is None else f"{setting.strength.value:.4g} {setting.strength.unit}",
            setting.explainer,
            ", ".join(f"{name} {value}".strip() for name, value in differing[setting.setting_id]),
            sample.text,
            sample.status,
            sample.reason,
            sample.mean_log_probability,
            card.sure.get((setting.setting_id, sample.sample)),
            _means(card, setting.setting_id) if sample is samples[0] else {},
            n_others if sample is samples[0] else 0,
        )
        for setting, samples, n_others in card.told
        for sample in samples
    ]


def _means(card: Card, setting_id: int) -> dict[str, tuple[float, bool]]:
    found: dict[str, tuple[float, bool]] = {}
    for score, (scoring, samples) in card.numbers(setting_id).items():
        values = [each.value for each in samples if each.value is not None]
        if values:
            found[score] = (sum(values) / len(values), scoring.is_shared)
    return found


def sweeps_of(card: Card) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was said at each strength, of every way in which several were tried.

    Args:
        card: of the feature.

    Returns:
        The way in words, and strengths with words, the weakest first.
    """
    found: dict[tuple[str, str, str], list[tuple[float, str]]] = defaultdict(list)
    for setting, samples in card.said:
        if setting.strength is not None and setting.control is None:
            words = next((each.text for each in samples if each.status == "ok"), "")
            way = (setting.method, setting.explainer, setting.strength.unit)
            found[way].append((setting.strength.value, words))
    return [
        (f"{method}, in {unit.replace('_', ' ')}", [(f"{value:.4g}", words) for value, words in sorted(tried)])
        for (method, _, unit), tried in found.items()
        if len(tried) > 1
    ]


def bars_of(card: Card) -> list[tuple[float, float, int]]:
    """The histogram: of each bin from the first to the last that is filled, where it begins and ends, and its count.

    Args:
        card: of the feature.
    """
    counts: Sequence[int] = card.statistics.histogram if card.statistics else ()
    filled = [place for place, n in enumerate(counts) if n > 0]
    if not filled:
        return []
    return [(bin_edge(place), bin_edge(place + 1), counts[place]) for place in range(filled[0], filled[-1] + 1)]


def number(value: Any) -> str:
    """A number as a text; a dash for none."""
    if value is None:
        return "–"
    told = f"{value:.3g}" if abs(value) >= 1 else f"{value:.2f}"
    return "0" if float(told) == 0 else told


def share(value: Any) -> str:
    """A share in per cent; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.0%}" if value == 0 or value >= 0.1 else f"{value:.2%}" if value >= 1e-4 else f"{100 * value:.1g}%"
