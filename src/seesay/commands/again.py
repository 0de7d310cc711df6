"""How to ask for more of what a run holds in the way in which it was asked for before: the options of a command."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from seesay.split import split_of
from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Run

_LONGEST_SELECTION = 60
"""Characters of `--features` that people would copy."""


def pushed_as(setting: "StoredSetting") -> str:
    """The options by which a feature is pushed as in a setting, each after a blank; empty for none.

    Args:
        setting: of what was said before.
    """
    strength = setting.strength
    pushed = "" if strength is None else f" --strength {strength.value:g} --strength-unit {strength.unit}"
    return pushed + (f" --coarse {setting.coarse}" if setting.coarse != 1 else "")


def said_by(run: "Run", setting: "StoredSetting") -> str:
    """The option by which the same model is asked, after a blank; empty if that is the run's own, or none is asked.

    Args:
        run: may be a stranger's.
        setting: of what was said before.
    """
    if setting.method == "dissect" or setting.explainer == run.subject.get("subject"):
        return ""
    return f" --explainer {shlex.quote(one_line(setting.explainer))}"


def explained_as(run: "Run", setting: "StoredSetting") -> str | None:
    """The options that choose the features that were explained in a setting, each after a blank; empty for all.

    Args:
        run: may be a stranger's.
        setting: of what was said before.

    Returns:
        None if no short selection means them.
    """
    from seesay.store.exemplars import with_exemplars

    ids = explained(run, setting)
    usual = with_exemplars(run, "explaining")
    for part in (None, "test", "validation"):
        of_part = [each for each in usual if part is None or split_of(each) == part]
        split = "" if part is None else f" --split {part}"
        if ids == of_part:
            return split
        if len(ids) > 1 and ids == of_part[: len(ids)]:
            return f"{split} --limit {len(ids)}"
    return _selection(ids)


def scored_as(explained_ids: Collection[int], scored_ids: Collection[int]) -> str | None:
    """The option of `seesay score` that chooses the features that were scored, after a blank; empty for all.

    Args:
        explained_ids: the features that were explained.
        scored_ids: those of them that were scored.

    Returns:
        None if no short selection means them.
    """
    left_out = frozenset(explained_ids) - frozenset(scored_ids)
    return _selection(sorted(scored_ids)) if left_out else ""


def explained(run: "Run", setting: "StoredSetting") -> list[int]:
    """The features that were explained in a setting, in order.

    Args:
        run: may be a stranger's.
        setting: which.
    """
    query = "SELECT DISTINCT feature_id FROM explanations WHERE setting_id = ? ORDER BY feature_id"
    return [int(feature_id) for (feature_id,) in run.rows(query, (setting.setting_id,))]


def _selection(ids: Sequence[int]) -> str | None:
    text = ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in _ranges(ids))
    return f" --features {text}" if 0 < len(text) <= _LONGEST_SELECTION else None


def _ranges(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of ids that follow one another."""
    if not ids:
        return
    first = ids[0]
    for one, following in pairwise(ids):
        if following != one + 1:
            yield first, one
            first = following
    yield first, ids[-1]
