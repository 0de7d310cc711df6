"""What a folder notes of work in steps: what it is of, which steps were done, and what came of each."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from seesay.errors import UnusablePath
from seesay.facts import hash_of
from seesay.files import from_json, write_json

FILE = "notes.json"
_PARTS = ("of", "steps", "features")


@final
@dataclass(frozen=True)
class Work:
    """What is done in a folder.

    Args:
        kind: for people: a reproduction, or what else it is.
        asked: all that its tables depend on but weights and seesay's version, as plain data.
        runs: names of the runs that may be there before there are notes, if the making of the first was killed.
        models: names of all that has weights.
    """

    kind: str
    asked: Mapping[str, Any]
    runs: Sequence[str]
    models: Sequence[str]


@final
class Notes:
    """A folder's notes, written whenever something is added.

    Args:
        out: the folder.
        work: what is done in it.

    Raises:
        UnusablePath: they are damaged, cannot be read or written, or of something else; or there are none in a folder
            that holds something else.
    """

    def __init__(self, out: Path, work: Work) -> None:
        self._path, self._kind = out / FILE, work.kind
        noted = _read(self._path, work.kind)
        if not any(noted.values()):
            _check_free(out, work)
        asked: dict[str, Any] = json.loads(json.dumps(dict(work.asked)))
        of = noted["of"]
        if of and of != asked:
            differs = next((name for name in asked if of.get(name) != asked[name]), next(iter(of)))
            raise UnusablePath(
                f"{out} holds a {work.kind} with another {differs}: {of.get(differs)!r}",
                expected=f"{asked.get(differs)!r}",
                remedy="give another --out",
            )
        self._noted: dict[str, dict[str, Any]] = {**noted, "of": asked}
        self.weights = hash_of({name: _stamp(name) for name in work.models})
        """A hash of the files of weights on this machine, as far as sizes and times tell."""

    def step(self, name: str) -> Mapping[str, Any]:
        """What is known of a step: nothing if it has not been done.

        Args:
            name: of the step.
        """
        return self._noted["steps"].get(name, {})

    def came_of(self, name: str) -> Mapping[str, Any]:
        """What came of a step that was done.

        Args:
            name: of the step.

        Raises:
            UnusablePath: the notes do not say.
        """
        came = self.step(name).get("came")
        if not isinstance(came, dict):
            raise self.damaged(f"what came of {name!r}")
        return came

    def add_step(self, name: str, identity: str, seconds: float, commit: str | None, came: Mapping[str, Any]) -> None:
        """Note that a step was done.

        Args:
            name: of the step.
            identity: hash of what was done.
            seconds: that it took; where it was done before, the longer time stands, as what is done again is soon done.
            commit: of the sources that did it.
            came: what came of it that later steps need, as plain data.
        """
        took = max(seconds, float(self.step(name).get("seconds", 0.0)))
        self._noted["steps"][name] = {"identity": identity, "seconds": took, "commit": commit, "came": dict(came)}
        self._write()

    def forget(self, block: str) -> None:
        """Forget what was done in a block, whose run is gone.

        Args:
            block: its name.
        """
        steps = self._noted["steps"]
        self._noted["steps"] = {name: step for name, step in steps.items() if not name.endswith(f", {block}")}
        self._noted["features"].pop(block, None)
        self._write()

    def features(self, block: str) -> list[int] | None:
        """The features of a block that are explained; None if they have not been chosen.

        Args:
            block: its name.
        """
        return self._noted["features"].get(block)

    def add_features(self, block: str, feature_ids: Sequence[int]) -> None:
        """Note which features of a block are explained.

        Args:
            block: its name.
            feature_ids: in their order.
        """
        self._noted["features"][block] = list(feature_ids)
        self._write()

    def damaged(self, what: str) -> UnusablePath:
        """What is raised for notes that do not say what they should.

        Args:
            what: is wrong.
        """
        return _damage(self._path, self._kind, what)

    def _write(self) -> None:
        write_json(self._path, self._noted)


def _check_free(out: Path, work: Work) -> None:
    """Refuse a folder that is of something else; a first run may be there, if its making was killed."""
    try:
        foreign = next((each.name for each in sorted(out.iterdir()) if each.name not in work.runs), None)
    except FileNotFoundError:
        return
    if foreign is not None:
        raise UnusablePath(
            f"{out} holds {foreign}, and no notes of a {work.kind}",
            expected="a folder that is new or empty",
            remedy="give another --out",
        )


def _stamp(name: str) -> list[list[Any]]:
    """What tells whether weights were changed: sizes and times of files; nothing for what is not on this machine."""
    files = sorted(Path(name).rglob("*.safetensors")) if Path(name).is_dir() else []
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _read(path: Path, kind: str) -> dict[str, dict[str, Any]]:
    try:
        if path.parent.exists() and not path.parent.is_dir():
            raise UnusablePath(f"{path.parent} is a file", expected="a folder: --out DIR")
        found = from_json(path.read_text("utf-8"))
        is_sound = _is_sound(found)
    except FileNotFoundError:
        return {name: {} for name in _PARTS}
    except OSError as error:
        raise UnusablePath(f"{path} cannot be read: {error.strerror}", expected="a folder: --out DIR") from error
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise _damage(path, kind) from error
    if not is_sound:
        raise _damage(path, kind)
    return {name: found.get(name, {}) for name in _PARTS}


def _damage(path: Path, kind: str, what: str = "") -> UnusablePath:
    where = f"{path} is damaged{f': {what}' if what else ''}"
    return UnusablePath(where, expected=f"notes of a {kind}", remedy="remove it")


def _is_sound(found: Mapping[str, Any]) -> bool:
    of, steps, features = (found.get(name, {}) for name in _PARTS)
    return (
        found.keys() <= set(_PARTS)
        and all(isinstance(each, dict) for each in (of, steps, features, *steps.values()))
        and all(_is_sound_step(each) for each in steps.values())
        and all(isinstance(each, int) for several in features.values() for each in several)
    )


def _is_sound_step(step: Mapping[str, Any]) -> bool:
    seconds, commit = step.get("seconds", 0.0), step.get("commit")
    return (
        isinstance(seconds, int | float)
        and math.isfinite(seconds)
        and isinstance(commit, str | None)
        and isinstance(step.get("came", {}), dict)
    )
