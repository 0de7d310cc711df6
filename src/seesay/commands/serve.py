"""`seesay serve`: look at runs in a browser."""

import math
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.instruments import InstrumentOptions, Instruments
from seesay.commands.names import is_world
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import InvalidSetting, UnusablePath
from seesay.texts import each_once

if TYPE_CHECKING:
    from seesay.viewer.brought import Brought
    from seesay.viewer.catalogue import Catalogue
    from seesay.viewer.guard import Guard
    from seesay.viewer.laboratory import Laboratory
    from seesay.viewer.meaning import Meaning

_MOST_DEEP = 3
_LARGEST_PORT = 65535


@final
@dataclass(frozen=True)
class Serve:
    """Look at runs in a browser: all features in words and pictures, searched, filtered and sorted.

    What others write to them meanwhile is shown; written itself is only what people say: verdicts, studies, bookmarks.
    Without a run those below this folder are listed.

    With its model loaded it answers: which features a picture of your own activates, and what is said when features
    are pushed, on an empty image or on yours.

    Nobody but this machine is answered, unless --host names another address: then whoever asks must know a token, which
    stands in the address that is printed.

    Examples:
      seesay serve runs/x
      seesay serve runs/x --with-model
      seesay serve runs/early runs/late --port 9000
    """

    path: Positional[
        Annotated[
            tuple[Path, ...], arg(metavar="[RUN ...]", help_behavior_hint="(default: those below here are listed)")
        ]
    ] = ()
    """The runs' folders."""

    host: str = "127.0.0.1"
    """The address to listen on."""

    port: int = 8765
    """Its port."""

    embedder: Annotated[str | None, arg(metavar="MODEL")] = None
    """Puts pictures and phrases into one space, so that features are found by what is meant: CLIP, SigLIP or SigLIP 2,
    such as openai/clip-vit-large-patch14. By default the embedded world's own for runs of it; for others only words
    are searched, unless one is named."""

    with_model: bool = False
    """Load the model and the SAE of each run, so that they can be asked what a picture activates, and what is said when
    a feature is pushed."""

    time_limit: Annotated[float, arg(metavar="SECONDS")] = 120.0
    """How long an answer of the model may take."""

    who: Annotated[ExplainerOptions, OmitArgPrefixes] = field(default_factory=ExplainerOptions)

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Serve until Ctrl-C.

        Raises:
            SeesayError: whatever is wrong with the runs, or with where they are to be served.
        """
        output = Output(self.common)
        self.who.check_alone("serve")
        if not self.path:
            return self._listed(output, runs_below(Path()))
        if not 0 < self.port <= _LARGEST_PORT:
            raise InvalidSetting(f"--port {self.port}", expected=f"1 to {_LARGEST_PORT}")
        from seesay.store.run import exists
        from seesay.viewer.brought import Brought
        from seesay.viewer.catalogue import Catalogue
        from seesay.viewer.guard import Guard
        from seesay.viewer.serving import ending_well, serve

        if not 0 < self.time_limit < math.inf:
            raise InvalidSetting(f"--time-limit {self.time_limit}", expected="seconds, more than 0")
        usual = (self.who, self.time_limit) == (ExplainerOptions(), Serve.time_limit)
        if not usual and not self.with_model:
            raise InvalidSetting("options of a model for a viewer that asks none", expected="--with-model beside them")
        for path in self.path:
            below = [] if exists(path) else runs_below(path)
            if below:
                raise UnusablePath(f"{path} is no run, but a folder of some", expected=" or ".join(map(str, below[:3])))
        guard, brought = Guard.of(self.host), Brought()
        with ending_well(), ExitStack() as stack:
            catalogue = stack.enter_context(closing(Catalogue(each_once(self.path))))
            meaning = self._meaning(catalogue, brought)
            laboratory = self._laboratory(catalogue, brought, output)
            if laboratory is not None:
                stack.callback(laboratory.close)
            told = Text(f"Open {self._address(guard)}   (Ctrl-C ends it)")

            def on_ready() -> None:
                output.console.print(told, soft_wrap=True)

            serve(catalogue, guard, self.host, self.port, meaning, laboratory, on_ready=on_ready)
        return 0

    def _address(self, guard: "Guard") -> str:
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        address = f"http://{f'[{name}]' if ':' in name else name}:{self.port}/"
        return address if guard.token is None else f"{address}?token={guard.token}"

    def _laboratory(self, catalogue: "Catalogue", brought: "Brought", output: Output) -> "Laboratory | None":
        if not self.with_model:
            return None
        from seesay.commands.laboratory import laboratory_of

        return laboratory_of(catalogue, brought, self.who, self.common, output, self.time_limit)

    def _meaning(self, catalogue: "Catalogue", brought: "Brought") -> "Meaning | None":
        from seesay.store.run import Run
        from seesay.viewer.meaning import Meaning

        subjects: list[dict[str, Any]] = []
        for folder in catalogue.folders:
            with Run.open(folder) as run:
                subjects.append(run.subject)
        of_world = all(is_world(str(of.get("sae"))) and is_world(str(of.get("subject"))) for of in subjects)
        tools = Instruments(InstrumentOptions(embedder=self.embedder), of_world, self.common)
        if self.embedder is not None:
            _ = tools.embedder  # now: whoever named it wants to know at once if it cannot be had
        elif not of_world:
            return None
        return Meaning(catalogue, lambda: tools.embedder, brought)

    def _listed(self, output: Output, found: Sequence[Path]) -> int:
        if not found:
            raise UnusablePath(
                "no run below this folder", expected="seesay serve RUN", remedy="make one by seesay collect --out"
            )
        output.console.print(Text("Runs below this folder:"))
        for path in found:
            output.console.print(Text(f"  {path}"), soft_wrap=True)
        output.finish(
            {"runs": [str(path) for path in found]}, next_steps=[f"seesay serve {found[0]}   one of them, in a browser"]
        )
        return 0


def runs_below(folder: Path) -> list[Path]:
    """The runs in a folder, and in those within it, not too deep.

    Args:
        folder: where to look.
    """
    patterns = ("*/" * depth + "run.db" for depth in range(_MOST_DEEP + 1))
    return sorted(found.parent for pattern in patterns for found in folder.glob(pattern) if found.is_file())
