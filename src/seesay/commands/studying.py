"""The steps of a study: what is chosen on validation features first, and then, once, what is judged."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from seesay.commands.collect import Collect
from seesay.commands.explain import Explain
from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.loading import keeping
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.parting import Parting
from seesay.commands.score import ScoreCommand
from seesay.commands.step_notes import Notes, Work
from seesay.commands.stepping import Stepper, explaining
from seesay.commands.teach import Teach
from seesay.facts import hash_of
from seesay.study.protocol import CHOSEN_BY, CONTROLS, JUDGED_BY, OURS, TESTED, Study, setting_of

if TYPE_CHECKING:
    from seesay.explainers.config import Setting
    from seesay.records import Control, Method, Strength
    from seesay.reproduction.protocol import Block, Explainer
    from seesay.study.parts import Parts
    from seesay.study.report import Report


@final
class Studying:
    """Does a study in a folder, each step once.

    Args:
        out: the folder.
        study: the protocol.
        common: options of every command.
        commit: of seesay's sources; None if they are no checkout.
        output: of the command.
        pupils: that each lens is taught by; None for as many as usual.
        at_most: features of each part of each block; None for all.

    Raises:
        UnusablePath: the folder's notes are damaged, or it holds something else.
    """

    def __init__(
        self,
        out: Path,
        study: Study,
        common: Options,
        commit: str | None,
        output: Output,
        *,
        pupils: int | None,
        at_most: int | None,
    ) -> None:
        self._out, self._study, self._common = out, study, replace(common, json=None)
        self._pupils, self._at_most = pupils, at_most
        models = [study.subject, *(each.sae for each in study.blocks), *(each.name for each in study.explainers)]
        asked = {
            "protocol": hash_of({"study": repr(replace(study, n_seeds=1, candidates=()))}),
            "pupils": pupils,
            "max_features": at_most,
            "seed": common.seed,
            "dtype": common.dtype,
        }
        runs = [self._name(block, seed) for block in study.blocks for seed in range(study.n_seeds)]
        self._notes = Notes(out, Work("study", asked, runs, list(dict.fromkeys(models))))
        self._stepper = Stepper(self._notes, commit, output)
        self._strengths: dict[tuple[Method, str, str], Strength] = {}

    def choose(self) -> None:
        """Collect, part, and do all that validation features decide; lenses are taught for it.

        Raises:
            SeesayError: whatever is wrong with the folder.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        for block, seed in self._runs():
            self._stepper.do(f"collect, {self._name(block, seed)}", self._collect(block, seed))
        self._stepper.do("part", Parting(self._out, replace(self._study, n_seeds=1, candidates=()), self._common))
        for explainer in self._study.explainers:
            with keeping():
                for block in self._study.blocks:
                    for method, strength in self._grid():
                        setting = setting_of(self._study, method, strength)
                        name = self._trying(method, strength, explainer, block)
                        self._stepper.do(name, self._explain(block, setting, explainer, self._validation(block)))
        for block in self._study.blocks:
            score = self._score(block, 0, (CHOSEN_BY,), self._validation(block))
            self._stepper.do(f"score strengths, {block.name}", replace(score, tried=True))
        for explainer in self._study.explainers:
            with keeping():
                for block, seed in self._runs():
                    self._stepper.do(self._teaching(explainer, block, seed), self._teach(block, seed, explainer))
        with keeping():
            for block in self._study.blocks:
                self._stepper.do(self._adapting(block), self._teach_adapter(block))
            for block in self._study.blocks:
                for name, setting in self._candidates(block):
                    command = self._explain(block, setting, self._study.tried_on, self._validation(block))
                    self._stepper.do(f"try {name}, {block.name}", command, after=self._after(setting, block))
        for block in self._study.blocks:
            score = replace(self._score(block, 0, JUDGED_BY, self._validation(block)), tried=True, controls=True)
            tried = [self._came(f"try {name}, {block.name}") for name, _ in self._candidates(block)]
            self._stepper.do(f"score candidates, {block.name}", score, after=tried)

    def test(self) -> None:
        """Explain test features, and score what is said of them.

        Raises:
            SeesayError: whatever is wrong with the folder.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        for explainer in self._study.explainers:
            with keeping():
                for block, seed in self._runs():
                    for method, control in self._asked(seed):
                        ids = self.parts(block).test
                        setting = setting_of(self._study, method, self._strength(method, explainer, block), control)
                        command = self._explain(
                            block, setting, explainer, ids[: self._study.n_controls] if control else ids, seed
                        )
                        after = [self._taught(explainer, block, seed)] if setting.way.reads else []
                        self._stepper.do(self._saying(method, control, explainer, block, seed), command, after=after)
        for block, seed in self._runs():
            ids, few = self.parts(block).test, self._study.at_most
            name = self._name(block, seed)
            usual = replace(self._score(block, seed, JUDGED_BY, ids), controls=True)
            self._stepper.do(f"score, {name}", usual)
            for score in self._study.scores if seed == 0 else ():
                if score in few:
                    command = self._score(block, 0, (score,), ids[: few[score]])
                    self._stepper.do(f"score {score}, {name}", command)

    def report(self, cut: str = "") -> "Report":
        """What came of it.

        Args:
            cut: in what there was less of it than the protocol says, in a sentence.

        Raises:
            UnusablePath: what was noted is not there.
        """
        from seesay.store.run import Run
        from seesay.study.reading import Reading
        from seesay.study.report import Report

        study = self._study
        with ExitStack() as stack:
            runs = {
                (block.name, seed): stack.enter_context(Run.open(self._run(block, seed)))
                for block, seed in self._runs()
            }
            said: dict[tuple[str, Method, Control | None, str, int], str] = {
                (block.name, method, control, explainer.size, seed): self._came(
                    self._saying(method, control, explainer, block, seed)
                )
                for block, seed in self._runs()
                for method, control in self._asked(seed)
                for explainer in study.explainers
            }
            tried = {
                (block.name, candidate.name): self._came(f"try {candidate.name}, {block.name}")
                for block in study.blocks
                for candidate in study.candidates
            }
            parts = {block.name: self.parts(block) for block in study.blocks}
            reading = Reading(study, runs, parts, said, tried, seed=self._common.seed)
            strengths: dict[tuple[Method, str, str], Strength] = {
                (method, explainer.size, block.name): chosen
                for method in study.grids
                for explainer in study.explainers
                for block in study.blocks
                if (chosen := self._strength(method, explainer, block))
            }
            seconds = self._stepper.seconds
            return Report.of(study, reading, strengths, parts, seconds, self._stepper.commits, cut)

    def parts(self, block: "Block") -> "Parts":
        """The features of a block, by what they are for.

        Args:
            block: which.
        """
        from seesay.study.parts import Parts

        try:
            found = Parts.read_from(self._stepper.came("part", "parts")[block.name])
        except (KeyError, TypeError, ValueError) as error:
            raise self._notes.damaged("the parts") from error
        most = self._at_most
        kept = replace(found, **{name: getattr(found, name)[:most] for name in ("teaching", "validation", "test")})
        judged = frozenset(kept.test)
        return replace(
            kept,
            held_out=[each for each in kept.held_out if each in judged],
            apart=[each for each in kept.apart if each in judged],
        )

    def _runs(self) -> "Iterator[tuple[Block, int]]":
        for seed in range(self._study.n_seeds):
            for block in self._study.blocks:
                yield block, seed

    def _asked(self, seed: int) -> "Iterator[tuple[Method, Control | None]]":
        """What is said of test features: by the lenses of further seeds, in our way alone."""
        for method in TESTED if seed == 0 else (OURS,):
            for control in (None, *CONTROLS):
                yield method, control

    def _grid(self) -> "Iterator[tuple[Method, Strength]]":
        from seesay.records import Strength

        for method, grid in self._study.grids.items():
            for value in grid.values:
                yield method, Strength(value, grid.unit)

    def _candidates(self, block: "Block") -> "Iterator[tuple[str, Setting]]":
        for candidate in self._study.candidates:
            setting, method = candidate.setting, candidate.setting.method
            if setting.strength is None and setting.control != "none":
                setting = replace(setting, strength=self._strength(method, self._study.tried_on, block))
            yield candidate.name, setting

    def _strength(self, method: "Method", explainer: "Explainer", block: "Block") -> "Strength | None":
        """The strength by which most of what is said of validation features is true; of equals the weakest."""
        from seesay.explainers.config import METHODS

        like = METHODS[method].like or method
        if like not in self._study.grids:
            return None
        of = (like, explainer.size, block.name)
        if of not in self._strengths:
            self._strengths[of] = self._best(like, explainer, block)
        return self._strengths[of]

    def _best(self, method: "Method", explainer: "Explainer", block: "Block") -> "Strength":
        from seesay.store.run import Run
        from seesay.study.reading import known, shelf_of

        with Run.open(self._run(block, 0)) as run:
            shelf = shelf_of(run, self._validation(block))
            found = {
                strength: known(run, shelf, self._came(self._trying(method, strength, explainer, block)), CHOSEN_BY)
                for name, strength in self._grid()
                if name == method
            }
        return max(found, key=lambda strength: sum(found[strength].values()) / max(1, len(found[strength])))

    def _came(self, name: str) -> str:
        """The identity of the setting that a step explained in."""
        return str(self._stepper.came(name, "setting"))

    def _validation(self, block: "Block") -> Sequence[int]:
        return self.parts(block).validation

    def _name(self, block: "Block", seed: int) -> str:
        return f"{block.name}-{seed}" if seed else block.name

    def _run(self, block: "Block", seed: int) -> Path:
        return self._out / self._name(block, seed)

    def _adapting(self, block: "Block") -> str:
        return f"teach adapter, {self._study.tried_on.size}, {block.name}"

    def _taught(self, explainer: "Explainer", block: "Block", seed: int) -> str:
        """The identity of a lens."""
        return str(self._stepper.came(self._teaching(explainer, block, seed), "taught"))

    def _after(self, setting: "Setting", block: "Block") -> list[str]:
        """What a candidate needs that was taught for it."""
        if setting.way.reads:
            return [self._taught(self._study.tried_on, block, 0)]
        return [] if setting.adapter is None else [str(self._stepper.came(self._adapting(block), "taught"))]

    def _teaching(self, explainer: "Explainer", block: "Block", seed: int) -> str:
        return f"teach, {explainer.size}, {self._name(block, seed)}"

    def _trying(self, method: "Method", strength: "Strength", explainer: "Explainer", block: "Block") -> str:
        return f"{method} at {strength.value:g}, {explainer.size}, {block.name}"

    def _saying(
        self, method: "Method", control: "Control | None", explainer: "Explainer", block: "Block", seed: int
    ) -> str:
        return ", ".join(filter(None, (method, control, explainer.size, self._name(block, seed))))

    def _collect(self, block: "Block", seed: int) -> Collect:
        return Collect(
            images=self._study.images,
            out=self._run(block, seed),
            subject=self._study.subject,
            sae=block.sae,
            layer=block.layer,
            n_images=self._study.n_images,
            common=self._common,
        )

    def _teach(self, block: "Block", seed: int, explainer: "Explainer") -> Teach:
        strength = self._strength("steering", explainer, block)
        assert strength is not None
        command = Teach(
            self._run(block, seed),
            features=_ids(self.parts(block).teaching),
            strength=strength.value,
            strength_unit=strength.unit,
            anew=True,
            who=ExplainerOptions(explainer=explainer.name),
            common=replace(self._common, seed=self._common.seed + seed),
        )
        return command if self._pupils is None else replace(command, pupils=self._pupils)

    def _teach_adapter(self, block: "Block") -> Teach:
        strength = self._strength("hybrid", self._study.tried_on, block)
        assert strength is not None
        command = self._teach(block, 0, self._study.tried_on)
        return replace(command, adapter=True, pupils=Teach.pupils, teacher_strength=strength.value)

    def _explain(
        self, block: "Block", setting: "Setting", explainer: "Explainer", feature_ids: Sequence[int], seed: int = 0
    ) -> Explain:
        who = ExplainerOptions(explainer=explainer.name)
        return explaining(self._run(block, seed), setting, _ids(feature_ids), who, self._common)

    def _score(self, block: "Block", seed: int, scores: Sequence[str], feature_ids: Sequence[int]) -> ScoreCommand:
        return ScoreCommand(
            self._run(block, seed),
            scores=",".join(scores),
            features=_ids(feature_ids),
            words_alone=True,
            common=self._common,
        )


def _ids(feature_ids: Sequence[int]) -> str:
    return ",".join(map(str, feature_ids))
