"""The steps of a reproduction: other commands, in order, each of them done once."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from rich.text import Text

from seesay import __version__
from seesay.commands.calibrate import Calibrate
from seesay.commands.collect import Collect
from seesay.commands.explain import Explain
from seesay.commands.explaining_options import DecodingOptions, ExplainerOptions, ShowingOptions, SteeringOptions
from seesay.commands.images import ImageOptions
from seesay.commands.instruments import InstrumentOptions
from seesay.commands.label import Label
from seesay.commands.loading import keeping
from seesay.commands.options import Options
from seesay.commands.output import Output, muted
from seesay.commands.sae_options import SAEOptions
from seesay.commands.score import ScoreCommand
from seesay.commands.sharing import SharingOptions
from seesay.errors import UnusablePath
from seesay.facts import hash_of
from seesay.files import write_json
from seesay.reproduction.protocol import METHODS, Block, Explainer, Protocol

if TYPE_CHECKING:
    from seesay.explainers.config import Setting
    from seesay.records import Control
    from seesay.reproduction.ablations import Variation
    from seesay.scorers.config import KnownScore
    from seesay.store.run import Run

_DONE = "steps.json"
_FEATURES = "features.json"
_CONTROLS: "tuple[Control | None, ...]" = (None, "random")


Command = Collect | Calibrate | Explain | ScoreCommand | Label
"""What a step does."""


@final
@dataclass(frozen=True)
class Means:
    """What steps are done with, whatever they are.

    Args:
        who: options of explaining models, of which none is named.
        sharing: where they are.
        common: options of every command.
    """

    who: ExplainerOptions
    sharing: SharingOptions
    common: Options


@final
class Steps:
    """Does steps in a folder, each once: which are done is noted there, so that they go on after a kill.

    Args:
        out: the folder.
        protocol: what is to be done.
        means: what it is done with.
        max_features: test features of each block, at most; None for as many as the protocol says.
        output: of the command.

    Raises:
        UnusablePath: the folder's notes are damaged.
    """

    def __init__(self, out: Path, protocol: Protocol, means: Means, max_features: int | None, output: Output) -> None:
        self._out, self._protocol, self._means, self._output = out, protocol, means, output
        self._max_features = max_features or protocol.max_features
        self._done: dict[str, Any] = _read(out / _DONE)
        self._features: dict[str, Any] = _read(out / _FEATURES)

    def run_of(self, name: str) -> Path:
        """The folder of a run.

        Args:
            name: of its block, or of its images.
        """
        return self._out / name

    @property
    def seconds(self) -> dict[str, float]:
        """How long each step took that was done."""
        return {name: each["seconds"] for name, each in self._done.items()}

    def opened(self, stack: ExitStack) -> "dict[str, Run]":
        """The runs of all blocks, open to be read.

        Args:
            stack: closes them.
        """
        from seesay.store.run import Run

        return {each.name: stack.enter_context(Run.open(self.run_of(each.name))) for each in self._protocol.blocks}

    def explain_all(self) -> None:
        """Collect, calibrate, explain; everything that costs a model of the protocol.

        Raises:
            SeesayError: whatever is wrong with the models, the images or the folder.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        for block in self._protocol.blocks:
            self._do(f"collect, {block.name}", self._collect(block, self.run_of(block.name)))
            self._choose_features(block)
        for explainer in self._protocol.explainers:
            with keeping():
                for block in self._protocol.blocks:
                    for name, command in self._speaking(block, explainer):
                        self._do(f"{name}, {explainer_title(explainer)}, {block.name}", command)

    def score_all(self) -> None:
        """Score what was said, and label it where nobody knows the truth.

        Raises:
            SeesayError: whatever is wrong with the instruments or the runs.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        for block in self._protocol.blocks:
            path, few = self.run_of(block.name), self._protocol.at_most
            usual: list[KnownScore] = [each for each in self._protocol.scores if each not in few]
            self._do(f"score, {block.name}", self._score(path, usual, block))
            for name, n in few.items():
                if name in self._protocol.scores:
                    score = replace(self._score(path, (name,), block), features=self._ids(block, n))
                    self._do(f"score {name}, {block.name}", score)
            if self._protocol.labeller is not None:
                label = Label(path, labeller=self._protocol.labeller, common=self._common)
                self._do(f"label, {block.name}", label)

    def ablate(
        self, block: Block, explainer: Explainer, variations: "Sequence[Variation]", sizes: Sequence[int]
    ) -> None:
        """Explain and score variations.

        Args:
            block: whose features.
            explainer: who explains.
            variations: strengths included.
            sizes: of smaller sets of images, for which runs of their own are made.

        Raises:
            SeesayError: whatever is wrong.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        judged_by, who = self._protocol.judged_by, f"{explainer_title(explainer)}, {block.name}"
        whole = self.run_of(block.name)
        shared = self._score(whole, ("iou",), block, words_alone=True)
        if "iou" in judged_by:
            self._do(f"score on shown images, {who}", replace(shared, split="shared"))
        for n in sizes:
            self._do(f"collect {n} images, {block.name}", self._collect(block, self.smaller(block, n), n))
        with keeping():
            for each in variations:
                if each.factor == "base":
                    continue
                path = whole if each.n_images is None else self.smaller(block, each.n_images)
                command = self._explain(path, each.setting, explainer, block)
                self._do(f"{each.factor} {each.value}: {each.setting.method}, {who}", command)
        for path in (whole, *(self.smaller(block, n) for n in sizes)):
            score = self._score(path, judged_by, block, words_alone=True)
            self._do(f"score variations, {path.name}", replace(score, controls=True))

    def smaller(self, block: Block, n_images: int) -> Path:
        """The folder of a run on fewer images.

        Args:
            block: whose features.
            n_images: how many.
        """
        return self.run_of(f"{block.name}-{n_images}")

    @property
    def _common(self) -> Options:
        return replace(self._means.common, json=None)

    def _do(self, name: str, command: Command) -> None:
        identity = hash_of({"version": __version__, "command": repr(command)})
        known = self._done.get(name)
        if known is not None and known.get("identity") == identity:
            return
        started = time.monotonic()
        with self._output.progress(name, total=None), muted():
            command.run()
        seconds = round(time.monotonic() - started, 1)
        self._done[name] = {"identity": identity, "seconds": seconds}
        write_json(self._out / _DONE, self._done)
        self._output.console.print(Text(f"{name}: {seconds:.0f} s"))

    def _collect(self, block: Block, out: Path, n_images: int | None = None) -> Collect:
        protocol = self._protocol
        return Collect(
            images=protocol.images,
            out=out,
            subject=protocol.subject,
            sae=block.sae,
            layer=block.layer,
            n_images=n_images or protocol.n_images,
            finding=SAEOptions(sae_subfolder=block.subfolder),
            sharing=self._means.sharing,
            common=self._common,
            reading=ImageOptions(split=protocol.images_split),
        )

    def _choose_features(self, block: Block) -> None:
        """Note which test features are explained: of those that the images activate, the ones that can be judged."""
        from seesay.commands.run_models import RunModels
        from seesay.store.gallery import explainable
        from seesay.store.run import Run

        if block.name not in self._features:
            with Run.open(self.run_of(block.name)) as run:
                found = explainable(run, "test")
                if self._protocol.labeller is None:
                    truth = RunModels(run, self._common, self._output).truth
                    found = [feature_id for feature_id in found if truth.concepts(feature_id)]
            self._features[block.name] = found
            write_json(self._out / _FEATURES, self._features)

    def _ids(self, block: Block, at_most: int | None = None) -> str:
        """Features of a block, as the command line takes them."""
        return ",".join(map(str, self._features[block.name][: self._max_features][:at_most]))

    def _speaking(self, block: Block, explainer: Explainer) -> Iterator[tuple[str, Command]]:
        """Of one explainer and block: strengths, and then words."""
        from seesay.reproduction.reading import base

        path, name = self.run_of(block.name), explainer.name
        for method, how in self._protocol.calibrating.items():
            yield (
                f"calibrate {method}",
                Calibrate(
                    path,
                    method=method,  # pyright: ignore[reportArgumentType] (those that can be calibrated)
                    grid=",".join(f"{each:g}" for each in how.grid),
                    strength_unit=how.unit,
                    by=how.by,
                    max_features=self._protocol.n_validation,
                    instruments=self._instruments,
                    who=replace(self._means.who, explainer=name),
                    words=DecodingOptions(max_new_tokens=self._protocol.max_new_tokens),
                    common=self._common,
                ),
            )
        for method in METHODS:
            for control in _CONTROLS:
                setting = base(self._protocol, method, control, self._common.seed)
                told = f"{method}, {control}" if control else method
                yield told, self._explain(path, setting, explainer, block)

    def _explain(self, path: Path, setting: "Setting", explainer: Explainer, block: Block) -> Explain:
        """The command that explains in a setting."""
        way, decoding, strength = setting.way, setting.decoding, setting.strength
        plain_showing, plain_steering = ShowingOptions(), SteeringOptions()
        steering = replace(plain_steering, mode=setting.mode if way.steers else None)
        if not way.shows:
            steering = replace(steering, empty=setting.empty, positions=setting.positions)
        return Explain(
            path,
            method=setting.method,
            features=self._ids(block),
            strength=None if strength is None else strength.value,
            strength_unit=None if strength is None else strength.unit,
            control=setting.control,
            who=replace(self._means.who, explainer=explainer.name),
            steering=steering,
            showing=ShowingOptions(setting.n_images, setting.overlay, setting.selection)
            if way.shows
            else plain_showing,
            words=DecodingOptions(
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                top_k=decoding.top_k or None,
                max_new_tokens=decoding.max_new_tokens,
            ),
            sharing=self._means.sharing,
            common=replace(self._common, seed=decoding.seed if decoding.temperature else setting.seed),
        )

    @property
    def _instruments(self) -> InstrumentOptions:
        return InstrumentOptions(**self._protocol.instruments)

    def _score(
        self, path: Path, scores: "Sequence[KnownScore]", block: Block, *, words_alone: bool = False
    ) -> ScoreCommand:
        return ScoreCommand(
            path,
            scores=",".join(scores),
            features=self._ids(block),
            words_alone=words_alone,
            instruments=self._instruments,
            sharing=self._means.sharing,
            common=self._common,
        )


def explainer_title(explainer: Explainer) -> str:
    """An explainer for people.

    Args:
        explainer: of a protocol.
    """
    return explainer.size + (f"-{explainer.seed}" if explainer.seed else "")


def _read(path: Path) -> dict[str, Any]:
    """What was noted earlier."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UnusablePath(f"{path} is damaged", expected="notes of steps", remedy="remove it") from error
    if not isinstance(found, dict):
        raise UnusablePath(f"{path} is damaged", expected="notes of steps", remedy="remove it")
    return found
