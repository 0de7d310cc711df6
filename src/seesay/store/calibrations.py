"""The strengths that were chosen for a run, in `run.db`; without torch, and checked, as it may be a stranger's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, final

from seesay.records import Method, Strength
from seesay.store.checks import checked_method, checked_strength, checked_text
from seesay.store.database import refusing, transaction
from seesay.store.run import DAMAGE, Run, parsed


@final
@dataclass(frozen=True)
class Calibration:
    """A strength that was chosen, and how.

    Args:
        key: identity of the setting, without strength and control.
        method: it is for.
        explainer: name of the model.
        score: by which it was chosen.
        strength: the choice.
        curve: what was tried, as plain data: one entry for each strength.
    """

    key: str
    method: Method
    explainer: str
    score: str
    strength: Strength
    curve: Sequence[Mapping[str, Any]]


def add_calibration(run: Run, calibration: Calibration) -> None:
    """Store a choice; it takes the place of an earlier one for the same.

    Args:
        run: open to be written.
        calibration: the choice, with its curve.
    """
    row = (
        calibration.key,
        calibration.method,
        calibration.explainer,
        calibration.score,
        calibration.strength.value,
        calibration.strength.unit,
        json.dumps(calibration.curve, allow_nan=False),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with refusing(run.folder), transaction(run.connection):
        run.connection.execute("INSERT OR REPLACE INTO calibrations VALUES (?,?,?,?,?,?,?,?)", row)


def calibrations(run: Run, key: str | None = None) -> list[Calibration]:
    """The choices that were made.

    Args:
        run: may be a stranger's.
        key: only that for one setting, see [seesay.store.calibrations.Calibration][]; None for all.

    Raises:
        UnusablePath: what it says is damaged.
    """
    query = "SELECT key, method, explainer, score, strength, strength_unit, curve FROM calibrations"
    rows = run.rows(f"{query} WHERE key = ?", (key,)) if key else run.rows(f"{query} ORDER BY made_at, key")
    found: list[Calibration] = []
    for name, method, explainer, score, value, unit, curve in rows:
        try:
            points = [dict(point) for point in parsed(curve)]
            name, explainer, score = map(checked_text, (name, explainer, score))
            strength = checked_strength(value, unit)
            found.append(Calibration(name, checked_method(method), explainer, score, strength, points))
        except DAMAGE as error:
            raise run.damaged(f"the calibration of {method!r}", error) from error
    return found
