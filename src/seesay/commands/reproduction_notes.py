"""What a folder notes of a reproduction: what it is of, what was done, and what came of it beside the runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from seesay.errors import UnusablePath
from seesay.facts import hash_of
from seesay.files import write_json
from seesay.reproduction.protocol import Protocol

FILE = "notes.json"
_PARTS = ("steps", "features", "times")


@final
class Notes:
    """A folder's notes, written whenever something is added.

    Args:
        out: the folder.
        protocol: what is done in it.
        seed: of everything random.

    Raises:
        UnusablePath: they are damaged, cannot be written, or of a reproduction of something else.
    """

    def __init__(self, out: Path, protocol: Protocol, seed: int) -> None:
        self._path = out / FILE
        noted = _read(self._path)
        saes, explainers = [each.sae for each in protocol.blocks], [each.name for each in protocol.explainers]
        models = list(dict.fromkeys([protocol.subject, *saes, *explainers]))
        asked: dict[str, Any] = {"preset": protocol.name, "images": protocol.images, "seed": seed, "models": models}
        of = noted.get("of", {})
        if of and of != asked:
            differs = next(name for name in asked if of.get(name) != asked[name])
            raise UnusablePath(
                f"{out} holds a reproduction with another {differs}: {of.get(differs)!r}",
                expected=f"{asked[differs]!r}",
                remedy="give another --out",
            )
        self._noted: dict[str, dict[str, Any]] = {"of": asked, **{name: noted.get(name, {}) for name in _PARTS}}
        self.weights = hash_of({name: _stamp(name) for name in models})
        """A hash of the files of weights on this machine, as far as sizes and times tell."""

    def step(self, name: str) -> Mapping[str, Any]:
        """What is known of a step; nothing if it has not been done.

        Args:
            name: of the step.
        """
        return self._noted["steps"].get(name, {})

    def add_step(self, name: str, identity: str, seconds: float, commit: str | None) -> None:
        """Note that a step was done.

        Args:
            name: of the step.
            identity: hash of what was done.
            seconds: that it took; where it was done before, the longer time stands, as what is done again is soon done.
            commit: of the sources that did it.
        """
        took = max(seconds, float(self.step(name).get("seconds", 0.0)))
        self._noted["steps"][name] = {"identity": identity, "seconds": took, "commit": commit}
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

    @property
    def times(self) -> dict[str, list[tuple[float, float]]]:
        """Seconds that Top-k and the hybrid took, by explainer, in each round."""
        return {name: [(topk, hybrid) for topk, hybrid in rounds] for name, rounds in self._noted["times"].items()}

    def add_times(self, explainer: str, rounds: Sequence[Sequence[float]]) -> None:
        """Note how long Top-k and the hybrid took.

        Args:
            explainer: in words.
            rounds: seconds of either.
        """
        self._noted["times"][explainer] = [list(each) for each in rounds]
        self._write()

    def _write(self) -> None:
        write_json(self._path, self._noted)


def _stamp(name: str) -> list[list[Any]]:
    """What tells whether weights were changed: sizes and times of files; nothing for what is not on this machine."""
    files = sorted(Path(name).rglob("*.safetensors")) if Path(name).is_dir() else []
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _read(path: Path) -> dict[str, Any]:
    if path.parent.exists() and not path.parent.is_dir():
        raise UnusablePath(f"{path.parent} is a file", expected="a folder: --out DIR")
    damaged = UnusablePath(f"{path} is damaged", expected="notes of a reproduction", remedy="remove it")
    try:
        found = json.loads(path.read_text("utf-8"))
        if not found.keys() <= {"of", "steps", "features", "times"}:
            raise damaged
        of, steps, features, times = (found.get(name, {}) for name in ("of", "steps", "features", "times"))
        is_sound = all(isinstance(each, dict) for each in (of, steps, features, times, *steps.values()))
        is_sound &= all(isinstance(each.get("seconds", 0.0), int | float) for each in steps.values())
        is_sound &= all(isinstance(each, int) for several in features.values() for each in several)
        is_sound &= all(
            isinstance(each, int | float) and each > 0
            for rounds in times.values()
            for pair in rounds
            for each in (pair[0], pair[1])
        )
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise damaged from error
    if not is_sound:
        raise damaged
    return found
