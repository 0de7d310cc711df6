"""The command line: parse, dispatch, and turn what went wrong into one line and an exit code.

Exit codes: 0 done, 2 the user's input, 1 anything else, 130 after Ctrl-C.
"""

import inspect
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, runtime_checkable

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from seesay import __version__
from seesay.commands.calibrate import Calibrate
from seesay.commands.collect import Collect
from seesay.commands.compare import Compare
from seesay.commands.demo import Demo
from seesay.commands.doctor import Doctor
from seesay.commands.explain import Explain
from seesay.commands.export import Export
from seesay.commands.features import Features
from seesay.commands.import_words import Import
from seesay.commands.inspect import Inspect
from seesay.commands.label import Label
from seesay.commands.people import People
from seesay.commands.report import Report
from seesay.commands.reproduce import Reproduce
from seesay.commands.score import ScoreCommand
from seesay.commands.serve import Serve
from seesay.commands.show import Show
from seesay.commands.steer import Steer
from seesay.commands.study import StudyCommand
from seesay.commands.teach import Teach
from seesay.commands.train_sae import TrainSAE
from seesay.commands.trust import Trust
from seesay.commands.world import Evaluate, Train, World
from seesay.commands.world import Show as ShowWorld
from seesay.errors import SeesayError
from seesay.texts import one_line


@runtime_checkable
class Command(Protocol):
    """What every command is: parsed arguments that can be run."""

    def run(self) -> int:
        """Do it and return the exit code."""
        ...


COMMANDS: Mapping[str, type[Command]] = {
    "demo": Demo,
    "world train": Train,
    "world show": ShowWorld,
    "world evaluate": Evaluate,
    "inspect": Inspect,
    "train-sae": TrainSAE,
    "collect": Collect,
    "features": Features,
    "calibrate": Calibrate,
    "teach": Teach,
    "explain": Explain,
    "import": Import,
    "show": Show,
    "steer": Steer,
    "score": ScoreCommand,
    "label": Label,
    "compare": Compare,
    "trust": Trust,
    "people": People,
    "report": Report,
    "serve": Serve,
    "reproduce": Reproduce,
    "study": StudyCommand,
    "export": Export,
    "doctor": Doctor,
}
"""Every command by the words that call it."""

_Overview = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[World, subcommand("world")]
    | Annotated[Inspect, subcommand("inspect")]
    | Annotated[TrainSAE, subcommand("train-sae")]
    | Annotated[Collect, subcommand("collect")]
    | Annotated[Features, subcommand("features")]
    | Annotated[Calibrate, subcommand("calibrate")]
    | Annotated[Teach, subcommand("teach")]
    | Annotated[Explain, subcommand("explain")]
    | Annotated[Import, subcommand("import")]
    | Annotated[Show, subcommand("show")]
    | Annotated[Steer, subcommand("steer")]
    | Annotated[ScoreCommand, subcommand("score")]
    | Annotated[Label, subcommand("label")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Trust, subcommand("trust")]
    | Annotated[People, subcommand("people")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Serve, subcommand("serve")]
    | Annotated[Reproduce, subcommand("reproduce")]
    | Annotated[StudyCommand, subcommand("study")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Doctor, subcommand("doctor")]
)
_CONFIG = (OmitSubcommandPrefixes, OmitArgPrefixes, FlagCreatePairsOff)
_ASKS_FOR_HELP = frozenset({"-h", "--help"})
_MAX_HELP_WIDTH = 100

DESCRIPTION = """\
seesay puts the features of a vision encoder into words. A feature, one direction of a sparse autoencoder, is added to
what the encoder makes of an empty image; the language model behind it then says what it sees.

In order of use:
  seesay doctor                   is everything here? versions, devices, weights
  seesay demo                     small models' features, in words and in truth
  seesay world show               the pictures that these small models know
  seesay steer --features 0-9,42  any of its features, at any strength
  seesay collect --images world:2000 --out runs/x    which images activate each
  seesay features runs/x          a table of them
  seesay calibrate runs/x --method hybrid  how hard to push
  seesay teach runs/x             what steering+ reads features by
  seesay explain runs/x --method hybrid    put them into words, and keep these
  seesay import runs/x words.csv  words that were made elsewhere
  seesay show runs/x 42           all that is known of one feature
  seesay score runs/x             how good the words are
  seesay label runs/x             which speak of colours and textures, which of things
  seesay compare runs/x           methods side by side, with tests
  seesay trust runs/x             which words are how sure
  seesay people runs/x            what people say; blind studies
  seesay report runs/x            one file to be read, kept or sent
  seesay serve runs/x             all of it in a browser
  seesay reproduce                the paper's claims, tested
  seesay study steering-plus      words without images, held against methods that look
  seesay export runs/x --out DIR  tables, Neuronpedia's lines, or a dataset of the Hub
  seesay world evaluate           what these models can do, and what they must
  seesay world train              those small models again, from nothing

All of this works offline. With a model of your own (GEMMA stands for
google/gemma-3-4b-it here) and an SAE of its encoder:
  seesay inspect DIR              what an SAE is; with --images, how good
  seesay train-sae --subject GEMMA --layer 16 --images DIR    an SAE of your own
  seesay steer --subject GEMMA --sae DIR --features 42 --strength 200

Every command takes --device --dtype --seed --json -v, and --help explains it. seesay --version says which this is."""

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: as typed after `seesay`; by default those of this process.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        # here rather than at exit, where a reader that has gone could only be complained about
        sys.stdout.flush()
        return code
    except SeesayError as error:
        print(f"seesay: error: {one_line(str(error))}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("seesay: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # what is still buffered must go somewhere, or Python tries it once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"seesay {__version__}")
        return 0
    try:
        command = parse(arguments or ["--help"])
    except SystemExit as stop:
        return int(stop.code or 0)
    return command.run()


def parse(arguments: Sequence[str]) -> Command:
    """Turn arguments into the command that they ask for, without running it.

    Args:
        arguments: as typed after `seesay`.

    Raises:
        SystemExit: after `--help`, and with code 2 for arguments that cannot be parsed.
    """
    for name, command in COMMANDS.items():
        words = name.split()
        if list(arguments[: len(words)]) == words:
            return _parse_as(command, f"seesay {name}", inspect.getdoc(command) or "", arguments[len(words) :])
    return _parse_as(_Overview, "seesay", DESCRIPTION, arguments)


def _parse_as(command: Any, program: str, description: str, arguments: Sequence[str]) -> Command:
    # tyro would leave out a docstring's examples and would not wrap its prose, so the description is printed here
    if _ASKS_FOR_HELP.intersection(arguments):
        print(_wrap(description), end="\n\n")
    return tyro.cli(command, prog=program, description="", args=arguments, config=_CONFIG)


def _wrap(text: str) -> str:
    width = min(shutil.get_terminal_size().columns, _MAX_HELP_WIDTH)
    is_list = "\n  "
    return "\n\n".join(part if is_list in part else textwrap.fill(part, width) for part in text.split("\n\n"))
