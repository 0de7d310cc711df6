"""What `seesay score` tells of the numbers that it found."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from seesay.explainers.config import IMPORTED, MAY_HAVE_SEEN
from seesay.scorers.config import Score
from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.comparison.contender import FeatureKey
    from seesay.pipeline.scoring import Scored
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Run

_UNANSWERED = "unanswered"

IMAGELESS: frozenset[Score] = frozenset({"ground_truth", "counterfactual"})
"""These look at none of the run's images."""


def rows_of(run: "Run", done: "Sequence[Scored]") -> list[dict[str, Any]]:
    """The lines of the table, as plain data; means are over test features, as strengths are chosen on the others.

    Args:
        run: that holds the numbers.
        done: how they were computed.
    """
    from seesay.comparison.shelf import Shelf
    from seesay.split import split_of
    from seesay.store.exemplars import features
    from seesay.store.explanations import settings

    known = {each.setting_id: each for each in settings(run)}
    shelf = Shelf(run, 0, lambda feature_id: split_of(feature_id) == "test")
    nearest = {each.feature_id: each.nearest for each in features(run)}
    rows: list[dict[str, Any]] = []
    ids = dict.fromkeys(each.scoring.setting_id for each in done)
    apart = _apart([known[each] for each in ids if each is not None])
    for scored in done:
        setting = known[scored.scoring.setting_id] if scored.scoring.setting_id is not None else None
        of = ("features", None) if setting is None else (setting.title, setting.explainer)
        told: dict[str, Any] = dict(zip(("score", "of", "explainer"), (scored.scoring.score, *of), strict=True))
        told["apart"] = "" if setting is None else apart[setting.setting_id]
        numbers = shelf.numbers(scored.scoring, setting).values
        rows.append(told | _numbers(run, scored, numbers, nearest))
    return rows


def _apart(explained: "Sequence[StoredSetting]") -> dict[int, str]:
    """What tells settings apart where several have the same title, by their ids."""
    from seesay.comparison.contender import apart

    alike: dict[tuple[str, str], list[StoredSetting]] = defaultdict(list)
    for setting in explained:
        alike[setting.title, setting.explainer].append(setting)
    ids = [[each.setting_id for each in settings] for settings in alike.values()]
    return dict(zip(chain(*ids), chain(*map(apart, alike.values())), strict=True))


def _numbers(
    run: "Run",
    scored: "Scored",
    numbers: "Mapping[str, Mapping[FeatureKey, float]]",
    nearest: Mapping[int, Sequence[tuple[int, float]]],
) -> dict[str, Any]:
    import numpy as np

    from seesay.comparison.results import FEW
    from seesay.split import split_of
    from seesay.statistics import clusters_of, estimate
    from seesay.store.scores import scored_features, seconds_of

    stored = scored.scoring
    scored_ids = scored_features(run, stored)
    known = numbers.get(stored.measure.value, {})
    clusters = clusters_of([key.feature_id for key in known], nearest)
    found = estimate(np.array(list(known.values())), clusters) if known else None
    unanswered = list(numbers.get(_UNANSWERED, {}).values())
    return {
        "aid": stored.aid,
        "shared": stored.is_shared,
        "mean": None if found is None else found.mean,
        "interval": None if found is None or found.n < FEW else [found.low, found.high],
        "chance": stored.measure.chance,
        "n": len(known),
        "n_test": sum(split_of(feature_id) == "test" for feature_id in set(scored_ids)),
        "n_scored": len(scored_ids),
        _UNANSWERED: float(np.mean(unanswered)) if unanswered else None,
        "seconds": round(seconds_of(run, stored), 1),
    }


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """All lines as a table.

    Args:
        rows: as `rows_of` makes them.
    """
    table = Table(title="Scores of test features, on average", title_justify="left", header_style="bold")
    for name in ("score", "of"):
        table.add_column(name, overflow="fold")
    for name in ("mean", "95 % interval", "features"):
        table.add_column(name, justify="right")
    by_one = len({row["explainer"] for row in rows} - {None}) == 1
    for row in rows:
        low, high = row["interval"] or (None, None)
        by = f" by {row['explainer']}" if row["explainer"] and not by_one else ""
        table.add_row(
            row["score"],
            Text(one_line(", ".join(filter(None, (row["of"] + by, row["apart"], row["aid"]))))),
            "-" if row["mean"] is None else f"{row['mean']:.3f}",
            "too few" if low is None else f"{low:.3f} to {high:.3f}",
            f"{row['n']} of {row['n_test']}",
            style="dim" if row["aid"] else "",
        )
    return table


def remarks(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What tables do not show, and whoever reads them has to know, a line each.

    Args:
        rows: as `rows_of` makes them.
    """
    chances = {row["score"]: row["chance"] for row in rows if row["chance"] is not None}
    if chances:
        yield f"Words that say nothing get {', '.join(f'{score} {chance:g}' for score, chance in chances.items())}."
    if any(row["n"] < row["n_test"] for row in rows):
        yield "Features that have the number, of all that were scored."
    if any(row["shared"] for row in rows):
        yield "On images that were shared with the explainers (the paper's habit): too high to be true."
    if any(row["of"].partition(",")[0] == IMPORTED and row["score"] not in IMAGELESS for row in rows):
        yield MAY_HAVE_SEEN
    scores: list[Score] = list(dict.fromkeys(row["score"] for row in rows if row[_UNANSWERED]))
    for score in scores:
        worst = max((row for row in rows if row["score"] == score), key=lambda row: row[_UNANSWERED] or 0.0)
        yield (
            f"{score}: up to {worst[_UNANSWERED]:.1%} of the judge's answers ({one_line(worst['of'])}) would have been "
            "neither yes nor no; the likelier of the two was taken."
        )
