"""Every number that a comparison is made of, as a table for spreadsheets and scripts."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.files import unwritable
from seesay.texts import cell

if TYPE_CHECKING:
    from seesay.comparison.contender import Contender, FeatureKey
    from seesay.comparison.reading import Contest
    from seesay.comparison.results import Comparison
    from seesay.comparison.sureness import Sureness

COLUMNS = (
    "run", "layer", "method", "explainer", "strength", "aid", "score", "feature_id", "value", "contender", "images",
)  # fmt: skip
"""What a line says: `aid` is empty for a method's own words; `contender` is the method's name in the tables; `images`
says `shared` where explainers were shown the images of a score."""


def write_csv(path: Path, contest: "Contest", comparison: "Comparison", sure: "Sequence[Sureness]") -> None:
    """Write one line for each number, contender, aid and feature: those features alone that tables are made of.

    How probably words are right stands there as the score `trust`, of all features that have it.

    Args:
        path: the file to write.
        contest: who was compared.
        comparison: by what.
        sure: how sure one can be of contenders' words.

    Raises:
        UnusablePath: it cannot be written.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_lines(contest, comparison))
    writer.writerows(_sure_lines(contest, sure))
    try:
        path.write_text(text.getvalue(), "utf-8")
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def _lines(contest: "Contest", comparison: "Comparison") -> Iterator[tuple[str | float, ...]]:
    by_name = {contender.name: contender for contender in contest.contenders}
    for standing in comparison.standings:
        score = cell(standing.quantity.title)
        for row in standing.rows:
            contender = by_name.get(row.contender) if standing.of_words else None
            own = dict(zip(standing.keys, row.values.tolist(), strict=True))
            for aid, values in (("", own), *row.aid_values.items()):
                for key, value in sorted(values.items()):
                    told = _of(contest, contender, key)
                    name = cell(contender.name) if contender else ""
                    yield (*told, aid, score, key.feature_id, value, name, "shared" if standing.is_shared else "")


def _sure_lines(contest: "Contest", sure: "Sequence[Sureness]") -> Iterator[tuple[str | float, ...]]:
    by_name = {contender.name: contender for contender in contest.contenders}
    for each in sure:
        contender = by_name[each.contender]
        for key, value in sorted(each.probabilities.items()):
            yield (*_of(contest, contender, key), "", "trust", key.feature_id, value, cell(contender.name), "")


def _of(contest: "Contest", contender: "Contender | None", key: "FeatureKey") -> tuple[str | int, ...]:
    """The run, the block, the method, the explainer and the strength."""
    origin = contest.origins[key.origin]
    of = (cell(", ".join(origin.runs)), "" if origin.layer is None else origin.layer)
    if contender is None:
        return (*of, "", "", "")
    return (*of, cell(contender.method), cell(contender.explainer), cell(contender.strength_in(origin.places)))
