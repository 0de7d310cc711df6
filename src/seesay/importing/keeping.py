"""Words that were made elsewhere into a run: all of them or none, under the name of whoever said them."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, final

from seesay.errors import UnreadableWords, UnusablePath
from seesay.explainers.config import IMPORTED
from seesay.facts import hash_of
from seesay.importing.rows import Row, checked_name, checked_number, checked_text
from seesay.records import Ablation, Control, Explanation, Status
from seesay.store.database import refusing, transaction
from seesay.store.explanations import StoredSetting, n_explained, note_setting, write
from seesay.store.run import Run

Change = Literal["new", "same", "replaced"]
"""What became of a setting: it was not there, it holds the same words as before, or others."""

_ALGORITHM = 1
"""Raised when the same rows would give other words."""

_AT_ONCE = 10_000
_NO_TEXT = "its words"


@final
@dataclass(frozen=True)
class Kept:
    """What came of one name and control.

    Args:
        setting: under which the words are in the run.
        counts: explanations by how they came out.
        change: against what the run held before.
    """

    setting: StoredSetting
    counts: Mapping[Status, int]
    change: Change


def keep(
    run: Run,
    words: Mapping[int, str | Sequence[str]],
    name: str,
    *,
    control: Control | None = None,
    replace: bool = False,
) -> StoredSetting:
    """Keep words of one's own in a run, beside those of the methods, to be scored and compared like these.

    Args:
        run: open to be written.
        words: by feature; several are samples. An empty text says that nothing was found to say.
        name: of whoever says them; words of another name live beside them.
        control: what took the place of the features, where these are a control of the same name's words.
        replace: whether they may take the place of other words of the same name and control.

    Returns:
        The setting, under which [seesay.store.explanations.explanations][] finds the words.

    Raises:
        UnreadableWords: a text is too long, the run has no such feature, or there are no words at all.
        UnusablePath: the run holds other words of that name, or cannot be written.
    """
    rows = (
        Row(
            f"words[{feature_id}]",
            checked_number(feature_id, "feature", "words"),
            checked_text(text, f"words[{feature_id}]"),
            sample,
            checked_name(name, _NO_TEXT),
            control,
        )
        for feature_id, samples in words.items()
        for sample, text in enumerate([samples] if isinstance(samples, str) else samples)
    )
    (kept,) = bring(run, rows, replace=replace)
    return kept.setting


def bring(
    run: Run,
    rows: Iterable[Row],
    *,
    placeholder: str | None = None,
    replace: bool = False,
    on_rows: Callable[[int], None] = lambda _n: None,
) -> list[Kept]:
    """Write rows into a run, in one transaction: if one of them cannot be taken, none is.

    The same rows once more change nothing.

    Args:
        run: open to be written.
        rows: with names.
        placeholder: a text that stands for no explanation.
        replace: whether they may take the place of other words of the same name and control.
        on_rows: told how many more are written.

    Returns:
        One for each name and control, in the order in which they come.

    Raises:
        UnreadableWords: a row is of a feature that the run does not have, or the second of its kind; or there is none.
        UnusablePath: the run holds other words of that name, or cannot be written.
    """
    known = frozenset(feature_id for (feature_id,) in run.rows("SELECT feature_id FROM features"))
    found: dict[tuple[str, Control | Ablation | None], _Place] = {}
    iterator = iter(rows)
    with refusing(run.folder), transaction(run.connection):
        while some := list(islice(iterator, _AT_ONCE)):
            said: dict[tuple[str, Control | Ablation | None], list[Explanation]] = defaultdict(list)
            for row in some:
                key = (row.name, row.control)
                if key not in found:
                    found[key] = _Place.cleared(run, *key)
                _check(run, row, known, found[key])
                said[key].append(_explanation(row, placeholder))
            for key, explanations in said.items():
                write(run, found[key].setting, explanations)
            on_rows(len(some))
        if not found:
            raise UnreadableWords("there is no row", expected="at least one explanation")
        changes: dict[tuple[str, Control | Ablation | None], Change] = {
            key: _change(run, place, replace) for key, place in found.items()
        }
    return [Kept(place.setting, n_explained(run, place.setting), changes[key]) for key, place in found.items()]


@final
@dataclass(frozen=True)
class _Place:
    """Where words of one name and control go.

    Args:
        setting: of the run.
        before: a hash of what it held; None if that was nothing.
        taken: features and samples that are there, in one number, as there may be millions.
    """

    setting: StoredSetting
    before: str | None
    taken: set[int] = field(default_factory=set[int])

    @classmethod
    def cleared(cls, run: Run, name: str, control: Control | Ablation | None) -> "_Place":
        setting = note_setting(run, facts_of(name, control), name)
        before = _content(run, setting)
        run.connection.execute("DELETE FROM explanations WHERE setting_id = ?", (setting.setting_id,))
        return cls(setting, before)


def facts_of(name: str, control: Control | Ablation | None) -> dict[str, Any]:
    """All that is known of how words were made elsewhere: who said them, and in whose place.

    The words themselves are no part of it, nor is the file that they came from: the same name in the runs of several
    blocks is one contender.

    Args:
        name: of whoever said them.
        control: what took the place of the features.
    """
    return {
        "method": IMPORTED,
        "control": control,
        "explainer": hash_of({"name": name}),
        "encoder": "",
        "prompt": None,
        "dtype": "",
        "algorithm": _ALGORITHM,
    }


def _check(run: Run, row: Row, known: frozenset[int], place: _Place) -> None:
    if known and row.feature_id not in known:
        raise UnreadableWords(
            f"{row.place}: feature {row.feature_id}",
            expected=f"one of the {len(known)} features of {run.folder}, {min(known)} to {max(known)}",
            remedy="nothing was imported: are these words of another SAE?",
        )
    key = row.feature_id << 32 | row.sample
    if key in place.taken:
        raise UnreadableWords(
            f"{row.place}: feature {row.feature_id}, sample {row.sample} by {row.name} for the second time",
            expected="each once",
            remedy="nothing was imported: number several explanations of a feature in a column sample, from 0",
        )
    place.taken.add(key)


def _explanation(row: Row, placeholder: str | None) -> Explanation:
    status, text, reason = row.outcome(placeholder)
    return Explanation(
        feature_id=row.feature_id,
        method=IMPORTED,
        control=row.control,
        text=text,
        raw_text=row.text if row.raw is None else row.raw,
        status=status,
        strength=None,
        coefficient=None,
        sample=row.sample,
        reason=reason,
    )


def _change(run: Run, place: _Place, replace: bool) -> Change:
    if place.before is None:
        return "new"
    if place.before == _content(run, place.setting):
        return "same"
    if not replace:
        raise UnusablePath(
            f"{run.folder} holds other words by {place.setting.explainer} ({place.setting.title})",
            expected="the same, or another name",
            remedy="give another name, or replace them (--replace)",
        )
    return "replaced"


def _content(run: Run, setting: StoredSetting) -> str | None:
    """A hash of what a run holds in a setting; None if that is nothing."""
    found, n_rows = hashlib.sha256(), 0
    query = (
        "SELECT feature_id, sample, status, text, raw_text, reason FROM explanations WHERE setting_id = ? "
        "ORDER BY feature_id, sample"
    )
    for row in run.connection.execute(query, (setting.setting_id,)):
        found.update(json.dumps(row).encode())
        n_rows += 1
    return found.hexdigest() if n_rows else None
