"""Names on the command line: `world:L`, `world:middle` and `world:4000` stand for what is shipped or drawn.

All else is a path or a hub id.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import InvalidSetting, InvalidStrength, UnreadableImages, check_choice

if TYPE_CHECKING:
    from seesay.explainers.config import Setting
    from seesay.images.sources import ImageSource
    from seesay.pipeline.speakers import Voice
    from seesay.records import Method, Strength, StrengthUnit
    from seesay.store.run import Run

_WORLD = "world"
_TRAINING = "training.json"
"""Beside the models that a training of the embedded world made."""


def is_world(name: str) -> bool:
    """Whether a name stands for a part of the embedded world."""
    return name == _WORLD or name.startswith(f"{_WORLD}:")


def is_of_world(name: str) -> bool:
    """Whether a name stands for a part of the embedded world, be it of a training of one's own.

    Args:
        name: of a model or an SAE, which may be a folder's.
    """
    return is_world(name) or (Path(name).is_dir() and (Path(name).parent.parent / _TRAINING).is_file())


def listed(text: str) -> list[str]:
    """What a flag names with commas between, each once, in the order given.

    Args:
        text: as on the command line.

    Raises:
        InvalidSetting: it names nothing.
    """
    names = [word.strip() for word in text.split(",") if word.strip()]
    if not names:
        raise InvalidSetting(f"{text!r}, which names nothing", expected="names with commas between")
    return list(dict.fromkeys(names))


def resolve_methods(text: str | None) -> "list[Method] | None":
    """Turn `--methods` into methods.

    Args:
        text: as on the command line; None if it was not given.

    Raises:
        UnknownChoice: one that there is not.
    """
    from seesay.explainers.config import METHODS

    if text is None:
        return None
    names = listed(text)
    for name in names:
        check_choice(name, METHODS, "method")
    return [method for method in METHODS if method in names]


def resolve_subject(name: str) -> str:
    """Turn `--subject` into what `load_vlm` takes.

    Args:
        name: `world`, `world:S`, a path, or a hub id.

    Raises:
        UnreadableModel: if the name stands for a part of the world that there is not.
    """
    if not is_world(name):
        return name
    from seesay import world

    return str(world.checkpoint(name))


def resolve_sae(name: str) -> str:
    """Turn `--sae` into what `load_sae` takes.

    Args:
        name: `world:middle`, or a folder.

    Raises:
        UnreadableSAE: if the name stands for a part of the world that there is not.
    """
    if not is_world(name):
        return name
    from seesay import world

    return str(world.sae(name))


def resolve_images(
    name: str,
    *,
    split: str | None = None,
    column: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    id_column: str | None = None,
) -> "ImageSource":
    """Open what `--images` names.

    Args:
        name: `world:4000` for pictures of the embedded world, or whatever `open_source` takes.
        split: of a dataset, as are the others; see [seesay.images.sources.open_source][].
        column: the one of images.
        revision: branch, tag or commit on the hub.
        streaming: fetch rows when they are needed.
        id_column: whose values are the ids.

    Raises:
        UnreadableImages: if there are none.
    """
    if not is_world(name):
        from seesay.images.sources import open_source

        return open_source(
            name, split=split, column=column, revision=revision, streaming=streaming, id_column=id_column
        )
    if split or column or revision or streaming or id_column:
        raise UnreadableImages(f"{name} is no dataset: it has no splits or columns", expected="its name alone")
    from seesay.world.pictures import pictures

    return pictures(name)


def given_strength(value: float | None, unit: "StrengthUnit | None") -> "Strength | None":
    """What `--strength` and `--strength-unit` say; None if nothing was given.

    Args:
        value: as given.
        unit: None means `coefficient` if a value is given.

    Raises:
        InvalidStrength: if the value is not finite, or a unit is given without a value.
    """
    from seesay.records import Strength

    if value is not None:
        if not math.isfinite(value):
            raise InvalidStrength(f"--strength {value}", expected="a finite number")
        return Strength(value, unit or "coefficient")
    if unit is not None:
        raise InvalidStrength(f"--strength-unit {unit} without a strength", expected="--strength NUMBER beside it")
    return None


def resolve_run_strength(run: "Run", voice: "Voice", setting: "Setting", sae_name: str) -> "tuple[Strength, str]":
    """The strength that was chosen for a setting: by `seesay calibrate` on this run, or with the world's SAEs.

    Args:
        run: whose calibrations are looked at.
        voice: of who explains.
        setting: what is to be done, without a strength.
        sae_name: the run's SAE.

    Returns:
        The strength, and in words where it comes from.

    Raises:
        InvalidStrength: none was.
    """
    from seesay import world
    from seesay.store.calibrations import calibrations

    for method in filter(None, (setting.method, setting.way.like)):
        found = calibrations(run, voice.calibration_key(replace(setting, method=method)))
        if found:
            return found[0].strength, f"calibrated for {method} in this run, by {found[0].score.replace('_', ' ')}"
    if is_world(sae_name) and is_world(voice.name):
        return world.strength(sae_name, voice.name, setting.method), "which comes with the world's SAE"
    raise InvalidStrength(
        f"no strength given, and none is calibrated for {setting.method} by {voice.name}, asked and shown this way, "
        f"in {run.folder}",
        expected="--strength NUMBER",
        remedy=f"give one, or choose it by seesay calibrate {run.folder} --method {setting.method} and these options",
    )


def resolve_strength(
    value: float | None, unit: "StrengthUnit | None", sae_name: str, subject: str, method: "Method" = "steering"
) -> "Strength":
    """Turn `--strength` and `--strength-unit` into a strength.

    Args:
        value: None asks for the calibrated one, which only the embedded world has.
        unit: None means `coefficient` if a value is given.
        sae_name: as given to `--sae`.
        subject: as given to `--explainer` or `--subject`.
        method: what it is for.

    Raises:
        InvalidStrength: if the value is not finite, if none is given and none is calibrated, or if a unit is given
            without a value.
    """
    given = given_strength(value, unit)
    if given is not None:
        return given
    if not is_world(sae_name) or not is_world(subject):
        raise InvalidStrength(
            f"no strength given, and none is calibrated for {subject} on {sae_name}",
            expected="--strength NUMBER",
            remedy="try --strength 1 --strength-unit residual_norm first, then stronger and weaker",
        )
    from seesay import world

    return world.strength(sae_name, subject, method)
