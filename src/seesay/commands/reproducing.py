"""The steps of a reproduction: other commands, in order, each of them done once."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from seesay.commands.calibrate import Calibrate
from seesay.commands.collect import Collect
from seesay.commands.explain import Explain
from seesay.commands.explaining_options import DecodingOptions, ExplainerOptions
from seesay.commands.images import ImageOptions
from seesay.commands.instruments import InstrumentOptions
from seesay.commands.label import Label
from seesay.commands.loading import keeping
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.commands.score import ScoreCommand
from seesay.commands.sharing import SharingOptions
from seesay.commands.step_notes import Notes, Work
from seesay.commands.stepping import Command, Stepper, explaining
from seesay.commands.timing import N_TIMED, Timing
from seesay.reproduction.protocol import CONTROLS, METHODS, Block, Explainer, Protocol

if TYPE_CHECKING:
    from seesay.explainers.config import Setting
    from seesay.records import Control, Method, Strength
    from seesay.reproduction.ablations import Variation
    from seesay.reproduction.reading import Asked
    from seesay.scorers.config import KnownScore
    from seesay.store.run import Run


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
        commit: of seesay's sources, which is noted with each step; None if they are no checkout.
        output: of the command.

    Raises:
        UnusablePath: the folder's notes are damaged, or it holds a reproduction of something else.
    """

    def __init__(
        self,
        out: Path,
        protocol: Protocol,
        means: Means,
        max_features: int | None,
        commit: str | None,
        output: Output,
    ) -> None:
        self._out, self._protocol, self._means, self._output = out, protocol, means, output
        self._max_features = max_features or protocol.max_features
        self._notes = Notes(out, work_of(protocol, self._max_features, means.who, means.common))
        self._stepper = Stepper(self._notes, commit, output)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each step took that is part of what was asked for."""
        return self._stepper.seconds

    @property
    def commits(self) -> list[str]:
        """Of the sources that did the steps, each once."""
        return self._stepper.commits

    def run_of(self, name: str) -> Path:
        """The folder of a run.

        Args:
            name: of its block, or of its images.
        """
        return self._out / name

    @property
    def times(self) -> dict[str, list[tuple[float, float]]]:
        """Seconds that Top-k and the hybrid took, by explainer, in each round."""
        (block, _), found = self._protocol.middle, dict[str, list[tuple[float, float]]]()
        for explainer in self._protocol.explainers:
            rounds = self._stepper.came(_timing(explainer, block), "rounds")
            try:
                found[explainer.title] = [(float(topk), float(hybrid)) for topk, hybrid in rounds]
            except (TypeError, ValueError) as error:
                raise self._notes.damaged("the times") from error
            if not found[explainer.title] or not all(min(pair) > 0 for pair in found[explainer.title]):
                raise self._notes.damaged("the times")
        return found

    @property
    def settings(self) -> "dict[Asked, str]":
        """The identities of the settings in which was explained what claims are judged by."""
        return {
            (block.name, (method, explainer.size, explainer.seed), control): self._stepper.came(
                _saying(method, control, explainer, block), "setting"
            )
            for block in self._protocol.blocks
            for explainer in self._protocol.explainers
            for method in METHODS
            for control in CONTROLS
        }

    @property
    def controls(self) -> dict[str, list[int]]:
        """The features beside which random directions are explained, by block."""
        return {each.name: self._chosen(each)[: self._protocol.n_controls] for each in self._protocol.blocks}

    def strength(self, method: "Method", explainer: Explainer, block: Block) -> "Strength | None":
        """How hard a method pushes, as it was chosen; None for one that does not push.

        Args:
            method: which.
            explainer: who explains.
            block: whose features.

        Raises:
            UnusablePath: the notes are damaged.
        """
        from seesay.store.checks import checked_strength

        if method not in self._protocol.calibrating:
            return None
        name = _calibrating(method, explainer, block)
        chosen = self._stepper.came(name, "strength")
        try:
            return checked_strength(chosen["value"], chosen["unit"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._notes.damaged(f"the strength of {name!r}") from error

    @property
    def features(self) -> dict[str, list[int]]:
        """Those that are explained, by block."""
        return {each.name: self._chosen(each) for each in self._protocol.blocks}

    def n_images(self, block: Block) -> int:
        """How many images a block's run was collected from.

        Args:
            block: which.
        """
        from seesay.pipeline.collecting import STAGE
        from seesay.store.run import Run

        with Run.open(self.run_of(block.name)) as run:
            return int(run.check_finished(STAGE)["n_images"])

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
            self._stepper.do(f"collect, {block.name}", self._collect(block, self.run_of(block.name)))
            self._choose_features(block)
        for explainer in self._protocol.explainers:
            with keeping():
                for block in self._protocol.blocks:
                    for name, command in self._speaking(block, explainer):
                        self._stepper.do(name, command)
                self._measure_time(explainer)

    def score_all(self) -> None:
        """Score what was said, and label it where nobody knows the truth.

        Raises:
            SeesayError: whatever is wrong with the instruments or the runs.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        for block in self._protocol.blocks:
            path, few = self.run_of(block.name), self._protocol.at_most
            usual: list[KnownScore] = [each for each in self._protocol.scores if each not in few]
            self._stepper.do(f"score, {block.name}", self._score(path, usual, block))
            for name, n in few.items():
                if name in self._protocol.scores:
                    score = replace(self._score(path, (name,), block), features=self._ids(block, n))
                    self._stepper.do(f"score {name}, {block.name}", score)
            if self._protocol.labeller is not None:
                label = Label(path, labeller=self._protocol.labeller, common=self._common)
                self._stepper.do(f"label, {block.name}", label)

    def ablate(
        self, block: Block, explainer: Explainer, variations: "Sequence[Variation]", sizes: Sequence[int]
    ) -> list[str]:
        """Explain and score variations.

        Args:
            block: whose features.
            explainer: who explains.
            variations: strengths included.
            sizes: of smaller sets of images, for which runs of their own are made.

        Returns:
            The identities of the settings of all variations, in their order.

        Raises:
            SeesayError: whatever is wrong.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        judged_by, whole = self._protocol.judged_by, self.run_of(block.name)
        shared = self._score(whole, ("iou",), block, words_alone=True)
        if "iou" in judged_by:
            self._stepper.do(f"score on shown images, {whole.name}", replace(shared, split="shared"))
        for n in sizes:
            path = self.smaller(block, n)
            self._stepper.do(f"collect, {path.name}", self._collect(block, path, n))
        found: list[str] = []
        with keeping():
            for each in variations:
                path = whole if each.n_images is None else self.smaller(block, each.n_images)
                if each.factor == "base":
                    name = _saying(each.setting.method, None, explainer, block)
                else:
                    name = f"{each.factor} {each.value}: {each.setting.method}, {explainer.title}, {path.name}"
                    self._stepper.do(name, self._explain(path, each.setting, explainer, block))
                found.append(self._stepper.came(name, "setting"))
        score = replace(self._score(whole, judged_by, block, words_alone=True), controls=True)
        self._stepper.do(f"score variations, {whole.name}", score)
        for n in sizes:
            # other images are held out there, so that only the truth can be compared
            path = self.smaller(block, n)
            self._stepper.do(
                f"score variations, {path.name}", self._score(path, ("ground_truth",), block, words_alone=True)
            )
        return found

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

    def _measure_time(self, explainer: Explainer) -> None:
        """Let Top-k and the hybrid explain the same features in turns, and note how long each took."""
        block, _ = self._protocol.middle
        strength = self.strength("hybrid", explainer, block)
        assert strength is not None
        timing = Timing(
            self.run_of(block.name),
            tuple(self._chosen(block)[:N_TIMED]),
            strength,
            self._protocol.max_new_tokens,
            replace(self._means.who, explainer=explainer.name),
            self._common,
        )
        self._stepper.do(_timing(explainer, block), timing)

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

        if self._notes.features(block.name) is None:
            with Run.open(self.run_of(block.name)) as run:
                found = explainable(run, "test")
                if self._protocol.labeller is None:
                    truth = RunModels(run, self._common, self._output).truth
                    found = [feature_id for feature_id in found if truth.concepts(feature_id)]
            self._notes.add_features(block.name, found)

    def _ids(self, block: Block, at_most: int | None = None) -> str:
        """Features of a block, as the command line takes them."""
        return ",".join(map(str, self._chosen(block)[:at_most]))

    def _chosen(self, block: Block) -> list[int]:
        return (self._notes.features(block.name) or [])[: self._max_features]

    def _speaking(self, block: Block, explainer: Explainer) -> Iterator[tuple[str, Command]]:
        """Of one explainer and block: strengths, and then words."""
        from seesay.reproduction.reading import base

        path = self.run_of(block.name)
        for method, how in self._protocol.calibrating.items():
            yield (
                _calibrating(method, explainer, block),
                Calibrate(
                    path,
                    method=method,  # pyright: ignore[reportArgumentType] (those that can be calibrated)
                    grid=",".join(f"{each:g}" for each in how.grid),
                    strength_unit=how.unit,
                    by=how.by,
                    max_features=self._protocol.n_validation,
                    instruments=self._instruments,
                    who=replace(self._means.who, explainer=explainer.name),
                    words=DecodingOptions(max_new_tokens=self._protocol.max_new_tokens),
                    common=self._common,
                ),
            )
        for method in METHODS:
            strength = self.strength(method, explainer, block)
            for control in CONTROLS:
                setting = replace(base(self._protocol, method, control, self._common.seed), strength=strength)
                yield _saying(method, control, explainer, block), self._explain(path, setting, explainer, block)

    def _explain(self, path: Path, setting: "Setting", explainer: Explainer, block: Block) -> Explain:
        """The command that explains in a setting."""
        decoding = setting.decoding
        return explaining(
            path,
            setting,
            self._ids(block, self._protocol.n_controls if setting.control == "random" else None),
            replace(self._means.who, explainer=explainer.name),
            replace(self._common, seed=decoding.seed if decoding.temperature else setting.seed),
            self._means.sharing,
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
            n_exemplars=self._protocol.n_exemplars,
            n_images=self._protocol.n_synthesised,
            instruments=self._instruments,
            sharing=self._means.sharing,
            common=self._common,
        )


def work_of(protocol: Protocol, max_features: int | None, who: ExplainerOptions, common: Options) -> Work:
    """What a folder is of.

    Args:
        protocol: what is done in it.
        max_features: test features of each block, at most; None for all that can be scored.
        who: options of explaining models.
        common: options of every command.
    """
    saes, explainers = [each.sae for each in protocol.blocks], [each.name for each in protocol.explainers]
    models = list(dict.fromkeys([protocol.subject, *saes, *explainers]))
    asked = {
        "preset": protocol.name,
        "images": f"{protocol.images}, at most {protocol.n_images}",
        "seed": common.seed,
        "models": models,
        "max_features": max_features,
        "n_controls": protocol.n_controls,
        "n_validation": protocol.n_validation,
        "calibrating": {method: asdict(how) for method, how in protocol.calibrating.items()},
        "dtype": common.dtype,
        "prompts": None if who.prompts is None else str(who.prompts),
        "quantize": who.quantize,
    }
    return Work("reproduction", asked, [each.name for each in protocol.blocks], models)


def _calibrating(method: "Method", explainer: Explainer, block: Block) -> str:
    return f"calibrate {method}, {explainer.title}, {block.name}"


def _saying(method: "Method", control: "Control | None", explainer: Explainer, block: Block) -> str:
    return ", ".join(filter(None, (method, control, explainer.title, block.name)))


def _timing(explainer: Explainer, block: Block) -> str:
    return f"time, {explainer.title}, {block.name}"
