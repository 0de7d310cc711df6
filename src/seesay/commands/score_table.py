"""What `seesay score` tells of the numbers that it found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from seesay.commands.output import one_line
from seesay.scorers.config import Score

if TYPE_CHECKING:
    from seesay.pipeline.scoring import Scored
    from seesay.store.run import Run

_UNANSWERED = "unanswered"


def row_of(run: "Run", scored: "Scored", titles: Mapping[int, str]) -> dict[str, Any]:
    """One line of the table, as plain data; its mean is over test features, as strengths are chosen on the others.

    Args:
        run: that holds the numbers.
        scored: how they were computed.
        titles: of settings, by their numbers.
    """
    import numpy as np

    from seesay.split import split_of
    from seesay.statistics import estimate
    from seesay.store.scores import scores, seconds_of

    stored = scored.scoring
    rows = [each for samples in scores(run, stored).values() for each in samples]
    values = [each.measured.value for each in rows if split_of(each.item.feature_id) == "test"]
    known = [value for value in values if value is not None]
    found = estimate(np.array(known)) if known else None
    unanswered = [each.measured.others[_UNANSWERED] for each in rows if _UNANSWERED in each.measured.others]
    return {
        "score": stored.score,
        "of": "features" if stored.setting_id is None else titles[stored.setting_id],
        "aid": stored.aid,
        "shared": stored.facts.get("holding") == "shared",
        "mean": None if found is None else round(found.mean, 6),
        "interval": None if found is None else [round(found.low, 6), round(found.high, 6)],
        "n": len(known),
        "n_test": len(values),
        "n_scored": len(rows),
        _UNANSWERED: round(float(np.mean(unanswered)), 4) if unanswered else None,
        "seconds": round(seconds_of(run, stored), 1),
    }


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """All lines as a table.

    Args:
        rows: as `row_of` makes them.
    """
    table = Table(title="Scores of test features, on average", title_justify="left", header_style="bold")
    for name in ("score", "of"):
        table.add_column(name, overflow="fold")
    for name in ("mean", "95 % interval", "features"):
        table.add_column(name, justify="right")
    for row in rows:
        low, high = row["interval"] or (None, None)
        table.add_row(
            row["score"],
            Text(one_line(row["of"] + (f", {row['aid']}" if row["aid"] else ""))),
            "-" if row["mean"] is None else f"{row['mean']:.3f}",
            "-" if low is None else f"{low:.3f} to {high:.3f}",
            f"{row['n']} of {row['n_test']}",
            style="dim" if row["aid"] else "",
        )
    return table


def remarks(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What tables do not show, and whoever reads them has to know, a line each.

    Args:
        rows: as `row_of` makes them.
    """
    if any(row["shared"] for row in rows):
        yield "On images that were shared with the explainers (the paper's habit): too high to be true."
    scores: list[Score] = list(dict.fromkeys(row["score"] for row in rows if row[_UNANSWERED]))
    for score in scores:
        worst = max((row for row in rows if row["score"] == score), key=lambda row: row[_UNANSWERED] or 0.0)
        yield (
            f"{score}: up to {worst[_UNANSWERED]:.1%} of the judge's answers ({one_line(worst['of'])}) would have been "
            "neither yes nor no; the likelier of the two was taken."
        )
