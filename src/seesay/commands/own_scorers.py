"""Scorers of users' own on the command line: a class in a file, or in a package that is installed.

Their code runs because whoever types the command names it; nothing that stands in a run is ever run.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, final

from seesay.errors import SeesayError, UnusableScorer
from seesay.scorers.config import Measure, Score

_EXPECTED = "FILE.py:CLASS or package.module:CLASS"


@final
@dataclass(frozen=True, eq=False)
class OwnClass:
    """A class of a user's own that makes a scorer.

    Args:
        made: the class.
        source: the text that it was made of; None if its module was imported.
        measure: what it measures.
    """

    made: Callable[..., Any]
    source: str | None
    measure: Measure


def load_own(given: Sequence[str]) -> dict[Score, OwnClass]:
    """Load what `--scorer` names.

    Args:
        given: as on the command line.

    Returns:
        By the name of the score, in the order given.

    Raises:
        UnusableScorer: there is no such class, its file cannot be run, or it is no scorer.
    """
    found, files = dict[Score, OwnClass](), dict[Path, tuple[ModuleType, str]]()
    for each in dict.fromkeys(given):
        own = _loaded(each, files)
        if own.measure.value in found:
            raise UnusableScorer(f"two scorers of {own.measure.value}", expected="each score once")
        found[own.measure.value] = own
    return found


def _loaded(given: str, files: dict[Path, tuple[ModuleType, str]]) -> OwnClass:
    """One class; a file that has several is run once."""
    from seesay.scorers.own import checked_measure

    place, _, name = given.rpartition(":")
    if not place or not name.isidentifier():
        raise UnusableScorer(f"--scorer {given}", expected=_EXPECTED)
    file = Path(place)
    if place.endswith(".py") and file not in files:
        files[file] = _of_file(file)
    module, source = files[file] if file in files else (_imported(place, given), None)
    made = getattr(module, name, None)
    if not isinstance(made, type):
        raise UnusableScorer(f"no class {name} in {place}", expected=_EXPECTED)
    return OwnClass(made, source, checked_measure(made, name))


def _of_file(file: Path) -> tuple[ModuleType, str]:
    """Run a file, and the text that was run, which a second look at the file might not find any more."""
    try:
        source = file.read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UnusableScorer(f"--scorer {file}: {reason}", expected=_EXPECTED) from error
    module = ModuleType(f"seesay_scorer_{sha256(source.encode()).hexdigest()[:16]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses, and whoever asks a class for its module, look it up
    _running(str(file), lambda: exec(compile(source, str(file), "exec"), module.__dict__))
    return module, source


def _imported(name: str, given: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UnusableScorer(f"--scorer {given}", expected=_EXPECTED)
    return _running(name, lambda: import_module(name))


def _running(what: str, run: Callable[[], Any]) -> Any:
    from seesay.scorers.own import told_of

    try:
        return run()
    except SeesayError:
        raise
    except (Exception, SystemExit) as error:  # of code of which nothing is known
        raise UnusableScorer(f"--scorer {what}: {told_of(error)}", expected="code that can be run") from error
