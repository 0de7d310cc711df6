"""Explanations in `run.db`, with the settings they were found in.

Without torch. What is read may be a stranger's: everything is checked.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final, get_args

from seesay.facts import hash_of
from seesay.records import Ablation, Control, Explanation, Method, Status, Strength
from seesay.split import split_of
from seesay.store.checks import checked_ids, checked_method, checked_number, checked_strength, checked_text
from seesay.store.database import refusing, transaction
from seesay.store.run import DAMAGE, Run, parsed

_CONTROLS = (None, *get_args(Control), *get_args(Ablation))
_SETTING_COLUMNS = (
    "setting_id, identity, method, control, strength, strength_unit, seed, explainer, explainer_hash, encoder_hash, "
    "prompt_hash, dtype, facts"
)
_COLUMNS = (
    "feature_id, sample, status, text, raw_text, reason, coefficient, mean_log_probability, image_ids, donor_id, "
    "seconds"
)


@final
@dataclass(frozen=True)
class StoredSetting:
    """All that explanations depend on but the feature, as a run keeps it.

    Args:
        setting_id: number in this run.
        identity: hash of `facts`.
        method: how words were found.
        control: what took the place of the feature, or of a part of what it brings.
        strength: how hard it was pushed; None if it was not.
        seed: of random controls; None if nothing was drawn.
        explainer: name of the model that said them, which is no part of its identity.
        explainer_hash: of its weights.
        encoder_hash: of its vision encoder's.
        prompt_hash: of the question.
        dtype: number format of its weights.
        facts: all of it, as plain data.
    """

    setting_id: int
    identity: str
    method: Method
    control: Control | Ablation | None
    strength: Strength | None
    seed: int | None
    explainer: str
    explainer_hash: str
    encoder_hash: str
    prompt_hash: str
    dtype: str
    facts: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Its method, its control, and how far it is approximated, in words."""
        approximated = "" if self.coarse == 1 else f"coarse {self.coarse}"
        return ", ".join(filter(None, [self.method, self.control, approximated]))

    @property
    def coarse(self) -> int:
        """Patches a side that went through the encoder as one; 1 if it is exact."""
        coarse = self.facts.get("coarse", 1)
        return coarse if isinstance(coarse, int) else 1

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, without its number, which means nothing elsewhere."""
        return {name: value for name, value in asdict(self).items() if name != "setting_id"}


def add_setting(run: Run, facts: Mapping[str, Any], explainer: str) -> StoredSetting:
    """Note a setting, or find it.

    Args:
        run: open to be written.
        facts: all that words depend on, as [seesay.pipeline.speakers.Voice.facts_of][] gives them.
        explainer: name of the model.
    """
    with refusing(run.folder), transaction(run.connection):
        return note_setting(run, facts, explainer)


def note_setting(run: Run, facts: Mapping[str, Any], explainer: str) -> StoredSetting:
    """The same as `add_setting`, in a transaction of the caller's.

    Args:
        run: open to be written.
        facts: all that words depend on.
        explainer: name of whoever says them.
    """
    strength = facts.get("strength") or {}
    row = (
        hash_of(facts),
        facts["method"],
        facts["control"],
        strength.get("value"),
        strength.get("unit"),
        facts.get("seed"),
        explainer,
        facts["explainer"],
        facts["encoder"],
        hashlib.sha256((facts["prompt"] or "").encode()).hexdigest(),
        facts["dtype"],
        json.dumps(facts),
    )
    run.connection.execute(
        f"INSERT OR IGNORE INTO settings ({_SETTING_COLUMNS.removeprefix('setting_id, ')}) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        row,
    )
    found = find_setting(run, facts)
    assert found is not None
    return found


def find_setting(run: Run, facts: Mapping[str, Any]) -> StoredSetting | None:
    """A setting, if anything was asked in it.

    Args:
        run: may be a stranger's.
        facts: all that words depend on.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    return identified(run, hash_of(facts))


def identified(run: Run, identity: str) -> StoredSetting | None:
    """A setting by its identity, if anything was asked in it.

    Args:
        run: may be a stranger's.
        identity: hash of all that words depend on.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    rows = run.rows(f"SELECT {_SETTING_COLUMNS} FROM settings WHERE identity = ?", (identity,))
    return _setting(run, rows[0]) if rows else None


def settings(run: Run) -> list[StoredSetting]:
    """All settings that anything was asked in, in the order in which that began.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: what it says is damaged.
    """
    return [_setting(run, row) for row in run.rows(f"SELECT {_SETTING_COLUMNS} FROM settings ORDER BY setting_id")]


def missing(run: Run, setting: StoredSetting, feature_ids: Sequence[int], n_samples: int = 1) -> list[int]:
    """The features that have not got all of their words yet: none, too few samples, or a failure to be retried.

    Args:
        run: may be a stranger's.
        setting: in which.
        feature_ids: those asked for.
        n_samples: answers to each.
    """
    done = {
        feature_id
        for (feature_id,) in run.rows(
            "SELECT feature_id FROM explanations WHERE setting_id = ? AND status != 'failed' "
            "GROUP BY feature_id HAVING count(*) >= ?",
            (setting.setting_id, n_samples),
        )
    }
    return [feature_id for feature_id in feature_ids if feature_id not in done]


def add(run: Run, setting: StoredSetting, explanations: Collection[Explanation]) -> None:
    """Write explanations, all of them or none; they take the place of what failed before.

    Args:
        run: open to be written.
        setting: in which they were found.
        explanations: of any features.
    """
    with refusing(run.folder), transaction(run.connection):
        write(run, setting, explanations)


def write(run: Run, setting: StoredSetting, explanations: Collection[Explanation]) -> None:
    """The same as `add`, in a transaction of the caller's.

    Args:
        run: open to be written.
        setting: in which they were found.
        explanations: of any features.
    """
    rows = [
        (
            setting.setting_id,
            each.feature_id,
            each.sample,
            each.status,
            each.text,
            each.raw_text,
            each.reason,
            each.coefficient,
            each.mean_log_probability,
            json.dumps(each.image_ids),
            each.donor_id,
            each.seconds,
        )
        for each in explanations
    ]
    run.connection.executemany(
        f"INSERT OR REPLACE INTO explanations (setting_id, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows
    )


def explanations(
    run: Run, setting: StoredSetting, feature_ids: Collection[int] | None = None
) -> dict[int, list[Explanation]]:
    """What was said of features in one setting.

    Args:
        run: may be a stranger's.
        setting: which.
        feature_ids: of which features; None for all. A range is read without reading the others.

    Returns:
        By feature, in the order of their ids, all samples.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    query = f"SELECT {_COLUMNS} FROM explanations WHERE setting_id = ?"
    if feature_ids is not None and len(feature_ids) == 1:
        rows = run.rows(f"{query} AND feature_id = ? ORDER BY sample", (setting.setting_id, *feature_ids))
    elif isinstance(feature_ids, range):
        limits = (setting.setting_id, feature_ids.start, feature_ids.stop - 1)
        rows = run.rows(f"{query} AND feature_id BETWEEN ? AND ? ORDER BY feature_id, sample", limits)
    else:
        rows = run.rows(f"{query} ORDER BY feature_id, sample", (setting.setting_id,))
    wanted = feature_ids if feature_ids is None or isinstance(feature_ids, range) else frozenset(feature_ids)
    found: dict[int, list[Explanation]] = {}
    for row in rows:
        if wanted is None or row[0] in wanted:
            explanation = _explanation(run, setting, row)
            found.setdefault(explanation.feature_id, []).append(explanation)
    return found


def of_feature(run: Run, feature_id: int) -> list[tuple[StoredSetting, list[Explanation]]]:
    """All that was said of one feature, by setting, in the order in which settings were first asked in.

    Args:
        run: may be a stranger's.
        feature_id: of the feature.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    by_id = {setting.setting_id: setting for setting in settings(run)}
    query = f"SELECT setting_id, {_COLUMNS} FROM explanations WHERE feature_id = ? ORDER BY setting_id, sample"
    found: dict[int, list[Explanation]] = {}
    for setting_id, *row in run.rows(query, (feature_id,)):
        if setting_id not in by_id:
            raise run.damaged(f"an explanation of feature {feature_id}", ValueError(f"no setting {setting_id!r}"))
        found.setdefault(setting_id, []).append(_explanation(run, by_id[setting_id], row))
    return [(by_id[setting_id], said) for setting_id, said in found.items()]


def shown_images(run: Run) -> frozenset[int]:
    """The images that any explainer was shown for any explanation.

    Args:
        run: may be a stranger's.

    Raises:
        UnusablePath: what it says is damaged.
    """
    try:
        rows = run.rows("SELECT DISTINCT image_ids FROM explanations")
        return frozenset(image_id for (image_ids,) in rows for image_id in checked_ids(image_ids))
    except DAMAGE as error:
        raise run.damaged("the images that were shown", error) from error


def of_test_features(said: Mapping[int, object]) -> bool:
    """Whether anything was said of a test feature; strengths that calibrating tries are tried on validation ones alone.

    Args:
        said: by feature.
    """
    return any(split_of(feature_id) == "test" for feature_id in said)


def n_explained(run: Run, setting: StoredSetting) -> dict[Status, int]:
    """How many explanations of each status there are.

    Args:
        run: may be a stranger's.
        setting: in which.
    """
    query = "SELECT status, count(*) FROM explanations WHERE setting_id = ? GROUP BY status"
    found = dict(run.rows(query, (setting.setting_id,)))
    return {status: int(found.get(status, 0)) for status in get_args(Status)}


def _setting(run: Run, row: Sequence[Any]) -> StoredSetting:
    setting_id, identity, method, control, value, unit, seed, *texts, facts = row
    try:
        checked_method(method)
        if control not in _CONTROLS:
            raise ValueError(f"control {control!r}")
        explainer, explainer_hash, encoder_hash, prompt_hash, dtype = map(checked_text, texts)
        return StoredSetting(
            setting_id=int(setting_id),
            identity=checked_text(identity),
            method=method,
            control=control,
            strength=None if value is None else checked_strength(value, unit),
            seed=None if seed is None else int(seed),
            explainer=explainer,
            explainer_hash=explainer_hash,
            encoder_hash=encoder_hash,
            prompt_hash=prompt_hash,
            dtype=dtype,
            facts=dict(parsed(facts)),
        )
    except DAMAGE as error:
        raise run.damaged(f"setting {setting_id!r}", error) from error


def _explanation(run: Run, setting: StoredSetting, row: Sequence[Any]) -> Explanation:
    feature_id, sample, status, text, raw_text, reason, alpha, log_probability, image_ids, donor_id, seconds = row
    try:
        if status not in get_args(Status):
            raise ValueError(f"status {status!r}")
        if int(feature_id) < 0:
            raise ValueError(f"feature {feature_id!r}")
        return Explanation(
            feature_id=int(feature_id),
            method=setting.method,
            control=setting.control,
            text=checked_text(text),
            raw_text=checked_text(raw_text),
            status=status,
            strength=setting.strength,
            coefficient=checked_number(alpha),
            mean_log_probability=checked_number(log_probability),
            sample=int(sample),
            image_ids=checked_ids(image_ids),
            donor_id=None if donor_id is None else int(donor_id),
            seconds=checked_number(seconds) or 0.0,
            encoder_differs_in=str(setting.facts.get("encoder_differs_in", "")),
            reason=checked_text(reason),
            coarse=setting.coarse,
        )
    except DAMAGE as error:
        raise run.damaged(f"an explanation of feature {feature_id!r}", error) from error
