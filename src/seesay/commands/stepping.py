"""Steps of long work: other commands, each of them done once, whatever kills it in between."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from rich.text import Text

from seesay import __version__
from seesay.commands.calibrate import Calibrate
from seesay.commands.collect import Collect
from seesay.commands.explain import Explain
from seesay.commands.explaining_options import ExplainerOptions, explaining_options
from seesay.commands.label import Label
from seesay.commands.options import Options
from seesay.commands.output import Output, muted
from seesay.commands.parting import Parting
from seesay.commands.score import ScoreCommand
from seesay.commands.sharing import SharingOptions
from seesay.commands.step_notes import Notes
from seesay.commands.teach import Teach
from seesay.commands.timing import Timing
from seesay.facts import hash_of

if TYPE_CHECKING:
    from seesay.explainers.config import Setting

Command = Collect | Calibrate | Teach | Explain | ScoreCommand | Label | Timing | Parting
"""What a step does."""


@final
class Stepper:
    """Does steps, each once: which are done is noted in a folder, so that they go on after a kill.

    Args:
        notes: the folder's.
        commit: of seesay's sources, which is noted with each step; None if they are no checkout.
        output: of the command.
    """

    def __init__(self, notes: Notes, commit: str | None, output: Output) -> None:
        self._notes, self._commit, self._output = notes, commit, output
        self._own: dict[str, None] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """How long each step took that is part of what was asked for."""
        return {name: float(self._notes.step(name).get("seconds", 0.0)) for name in self._own}

    @property
    def commits(self) -> list[str]:
        """Of the sources that did the steps, each once."""
        return sorted({each for name in self._own if (each := self._notes.step(name).get("commit"))})

    def do(self, name: str, command: Command, *, after: Sequence[str] = ()) -> None:
        """Do a step, unless it was done with all that its numbers depend on.

        Args:
            name: of the step.
            command: that does it.
            after: identities of what earlier steps made, on which its numbers depend, too.

        Raises:
            SeesayError: whatever is wrong with what it needs.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        from seesay.store.run import exists

        folder = command.out if isinstance(command, Collect) else command.path
        if isinstance(command, Collect) and self._notes.step(name) and not exists(folder):
            self._notes.forget(folder.name)
        is_there = not isinstance(command, Teach) or self._is_taught(name, folder)
        asked = repr(_as_far_as_numbers_go(command))
        facts = {"version": __version__, "command": asked, "weights": self._notes.weights}
        identity = hash_of({**facts, "after": list(after)} if after else facts)
        self._own[name] = None
        if is_there and self._notes.step(name).get("identity") == identity:
            return
        started = time.monotonic()
        with self._output.progress(name, total=None), muted() as told:
            command.run()
        seconds = round(time.monotonic() - started, 1)
        self._notes.add_step(name, identity, seconds, self._commit, _came_of(command, told))
        self._output.console.print(Text(f"{name}: {seconds:.0f} s"))

    def _is_taught(self, name: str, run: Path) -> bool:
        """Whether the run still has what a step taught, and nothing else in its place."""
        from seesay.store.taught import holds

        came = self._notes.step(name).get("came", {})
        return holds(run, str(came.get("file")), str(came.get("taught")))

    def came(self, name: str, what: str) -> Any:
        """Something that came of a step, whose kind is whatever the notes say.

        Args:
            name: of the step, which was done.
            what: that came of it.

        Raises:
            UnusablePath: the notes do not say.
        """
        return self._notes.came_of(name).get(what)


def explaining(
    path: Path,
    setting: "Setting",
    features: str,
    who: ExplainerOptions,
    common: Options,
    sharing: SharingOptions = SharingOptions(),  # noqa: B008 (frozen)
) -> Explain:
    """The command that explains in a setting.

    Args:
        path: of the run.
        setting: the way to explain, but for its seed.
        features: ids, as the command line takes them.
        who: explains.
        common: options of every command, the seed among them.
        sharing: where it is done.
    """
    steering, showing, words = explaining_options(setting)
    return Explain(
        path,
        method=setting.method,
        features=features,
        strength=None if setting.strength is None else setting.strength.value,
        strength_unit=None if setting.strength is None else setting.strength.unit,
        control=setting.control,
        who=who,
        steering=steering,
        showing=showing,
        words=words,
        sharing=sharing,
        common=common,
    )


def _as_far_as_numbers_go(command: Command) -> Command:
    """The same without what changes no number: where the folder lies, where it is computed, and what is printed."""
    common = Options(dtype=command.common.dtype, seed=command.common.seed)
    if isinstance(command, Collect):
        return replace(command, out=Path(command.out.name), common=common, sharing=SharingOptions())
    path = Path(command.path.name)
    if isinstance(command, Explain | ScoreCommand):
        return replace(command, path=path, common=common, sharing=SharingOptions())
    return replace(command, path=path, common=common)


def _came_of(command: Command, told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What later steps need of a command's result."""
    match command:
        case Calibrate():
            return {"strength": told[-1]["strength"]}
        case Explain():
            return {"setting": told[-1]["identity"]}
        case Timing():
            return {"rounds": command.rounds}
        case Teach():
            return {"taught": told[-1]["identity"], "file": Path(told[-1]["path"]).name}
        case Parting():
            return {"parts": command.parts}
        case _:
            return {}
