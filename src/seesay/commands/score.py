"""`seesay score`: how good a run's explanations are."""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from seesay.commands.choices import one_of
from seesay.commands.counts import Count, OptionalCount
from seesay.commands.instruments import InstrumentOptions
from seesay.commands.measuring import Bench
from seesay.commands.names import listed, resolve_methods
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.own_scorers import load_own
from seesay.commands.score_table import IMAGELESS, remarks, rows_of, table_of
from seesay.commands.scoring_tasks import SPEECHLESS, Asked, Task
from seesay.commands.sharing import SharingOptions
from seesay.commands.speaking import stopping
from seesay.commands.workshop import SHARED, Floor, Opening, Workplace
from seesay.errors import FeatureNotFound, InvalidSetting, check_choice
from seesay.images.options import Overlay
from seesay.scorers.config import PAPER, SCORES, Holding, Measure, Need, Score, Scoring

if TYPE_CHECKING:
    from seesay.pipeline.scoring import Scored
    from seesay.store.run import Run

_OF_ANY: tuple[Score, ...] = ("iou", "clip", "auroc")
_OF_ITS_PICTURES: frozenset[Score] = frozenset({"iou", "ground_truth"})
"""What the embedded world's records tell, which know of no other pictures."""

_NOT_ITS_PICTURES = (
    "The images are not the embedded world's, of which alone records tell what is where: iou and ground_truth are left "
    "out. --scores iou --segmenter MODEL looks for words in any images."
)
_OF_THE_WORLD: tuple[Score, ...] = ("ground_truth", *_OF_ANY, "detection", "fuzzing")


@final
@dataclass(frozen=True)
class ScoreCommand:
    """Measure how good a run's explanations are, and keep the numbers in the run.

    Scores: iou (words segmented in images, against the heatmap), clip (words against masked images), auroc (images made
    from the words), detection and fuzzing (a judge looks), faithfulness; in the embedded world ground_truth and
    counterfactual; and of features themselves, whatever is said of them: monosemanticity and distinctness. What people
    say is no model's to compute: seesay people.

    Images that an explainer was shown are never looked at: scores are computed on the other half. Beside the words
    themselves, permuted and constant ones are scored, so that one sees what a score is worth.

    Only what is missing is computed, and the same command goes on after a stop or a kill.

    Examples:
      seesay score runs/x
      seesay score runs/x --scores iou,clip --methods steering,hybrid --segmenter DINO+SAM
      seesay score runs/x --scores monosemanticity,distinctness
      seesay score runs/x --scorer my_scorer.py:Brevity
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    scores: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Which scores; by default iou, clip and auroc, the paper's, and in the embedded world also ground_truth, detection
    and fuzzing."""

    scorer: Annotated[tuple[str, ...], UseAppendAction, arg(metavar="FILE.py:CLASS")] = ()
    """A scorer of your own, whose code is then run: a class in a file, or package.module:CLASS. May be given several
    times, and without --scores stands alone; it is computed here, not by a cluster. See docs/own-scorer.md."""

    methods: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Only the explanations of these methods."""

    controls: bool = False
    """Also score the explanations of all controls and ablations; by default only random ones, beside the methods."""

    tried: bool = False
    """Also score what was said at strengths that seesay calibrate tried, of validation features alone."""

    features: Annotated[str | None, arg(metavar="IDS")] = None
    """Ids and inclusive ranges with commas between: 42 or 0-499,777; by default all that are explained."""

    words_alone: bool = False
    """Leave out what is scored beside the words, for tables to compare with: permuted explanations, a constant one, and
    those of random directions."""

    split: Annotated[Holding | None, one_of(Holding)] = None
    """On which images: held-out ones (the default), which no explainer was shown; or shared, the paper's habit: five of
    the ten most activating ones, five of which its explainer was shown. Tables then say so."""

    paper: bool = False
    """The published protocol: shared images, five exemplars, three images made from each explanation, the first mask
    alone."""

    n_exemplars: OptionalCount = None
    """Exemplars that words are held against; 10."""

    n_images: OptionalCount = None
    """Images made from each explanation, and as many control images; 20."""

    n_positives: OptionalCount = None
    """Images with the feature that a judge is shown, and as many without it; 10."""

    overlay: Annotated[Overlay, arg(metavar="mask|heatmap")] = "mask"
    """How a judge is shown what is highlighted."""

    images: Annotated[str | None, arg(metavar="SRC")] = None
    """The images, for monosemanticity, which goes through them once more; by default where the run says they were."""

    batch_size: Count = 64
    """Features at a time; halved as often as memory asks for it."""

    instruments: Annotated[InstrumentOptions, OmitArgPrefixes] = field(default_factory=InstrumentOptions)
    sharing: Annotated[SharingOptions, OmitArgPrefixes] = field(default_factory=SharingOptions)
    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Load, measure, print.

        Raises:
            SeesayError: whatever is wrong with the run, the models or what is asked for.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        from seesay.store.explanations import settings
        from seesay.store.run import Run

        output = Output(self.common)
        scoring = self._scoring()
        self.sharing.check(self.common)
        methods, own = resolve_methods(self.methods), load_own(self.scorer)
        with Run.writing(self.path) as run, stopping(output):
            bench = Bench.of(run, scoring, self.instruments, self.common, output, self.images, own)
            if self.n_exemplars is not None and bench.n_exemplars < self.n_exemplars:
                told = (
                    f"The run keeps {bench.n_exemplars} exemplars of each half (collect --top): no more are looked at."
                )
                output.console.print(told)
            names = self._names(bench, own.keys(), output)
            # A user's own may look at words alone; but where images are being read, not at a part of them.
            if not IMAGELESS.issuperset(names.keys() - own.keys()) or (own and run.configured("collect")):
                run.check_finished("collect")
            of_words, of_features = (
                {name: measure for name, measure in names.items() if measure.of_words == is_of_words}
                for is_of_words in (True, False)
            )
            asked = Asked(methods, self.features, self.controls, self.tried, self.words_alone, self.common.seed)
            tasks = asked.tasks(run, of_words)
            there = {each.method for each in settings(run)}
            for method in (each for each in SPEECHLESS if "faithfulness" in names and each in there):
                output.console.print(f"faithfulness is nothing for {method}: it has no language model to ask.")
            if any(task.score == "auroc" for task in tasks):
                bench.synthesise({item.text for task in tasks if task.score == "auroc" for item in task.items})
            with self._floor(run, bench, scoring, names) as floor:
                done = self._of_words(run, floor, tasks, of_words, output)
                done += self._of_features(run, floor, bench, of_features, asked.feature_ids, output)
            rows = rows_of(run, done)
        output.console.print(table_of(rows))
        for remark in remarks(rows):
            output.console.print(Text(remark))
        n_failed = sum(scored.n_failed for scored in done)
        if n_failed:
            output.console.print(f"{n_failed} did not fit into memory: the same command tries them again.")
        output.finish({"run": str(self.path), "scores": rows}, next_steps=self._next_steps(rows))
        return 0

    def _scoring(self) -> Scoring:
        given = {"n_exemplars": self.n_exemplars, "n_images": self.n_images, "n_positives": self.n_positives}
        if self.paper and self.split == "held-out":
            raise InvalidSetting("--paper on held-out images", expected="--paper alone: it shares them, as published")
        begun = PAPER if self.paper else Scoring(holding=self.split or "held-out")
        changed = {name: n for name, n in given.items() if n is not None}
        return replace(begun, overlay=self.overlay, seed=self.common.seed, **changed)

    def _names(self, bench: Bench, own: Collection[Score], output: Output) -> dict[Score, Measure]:
        """What is asked for, in the order in which it is computed; a user's own last."""
        usual = () if own else _OF_THE_WORLD if bench.of_world else _OF_ANY
        if usual and self.scores is None and bench.of_world and not bench.shows_world:
            usual = tuple(each for each in usual if each not in _OF_ITS_PICTURES)
            output.console.print(Text(_NOT_ITS_PICTURES))
        asked = usual if self.scores is None else listed(self.scores)
        for name in asked:
            with_it = [score for score, measure in SCORES.items() if name in measure.others]
            if with_it and name not in SCORES:
                raise InvalidSetting(f"score {name!r}", expected=f"{with_it[0]}, with which it comes")
            check_choice(name, bench.measures, "score")
        found = {score: measure for score, measure in bench.measures.items() if score in asked or score in own}
        for score in found if self.scores is not None else ():
            bench.check(score)
        return found

    @contextmanager
    def _floor(self, run: "Run", bench: Bench, scoring: Scoring, names: Collection[Score]) -> "Generator[Floor]":
        """Where scores are computed: here, and those that can be shared out by the backend that was asked for."""
        here = Workplace.here(bench)
        if self.sharing.is_local or SHARED.isdisjoint(names):
            yield Floor(here, here)
            return
        opening = Opening(run.noted(), scoring, self.instruments, self.common)
        with self.sharing.crew(opening, self.common) as crew:
            yield Floor(here, Workplace(crew, crew.lend(bench.held_out)))

    def _of_words(
        self, run: "Run", floor: Floor, tasks: Sequence[Task], measures: Mapping[Score, Measure], output: Output
    ) -> "list[Scored]":
        from seesay.pipeline.scoring import score

        done: list[Scored] = []
        for number, task in enumerate(tasks):
            needs = _needs(measures[each.score] for each in tasks[number:])
            scorer = floor.scorer(task.score, task.setting, [item.feature_id for item in task.items], needs)
            what = f"{task.score}: {task.setting.title}" + (f", {task.aid}" if task.aid else "")
            with output.progress(what, total=len(task.items)) as advance:
                done.append(
                    score(
                        run,
                        task.score,
                        scorer,
                        task.items,
                        setting=task.setting,
                        aid=task.aid,
                        seed=self.common.seed,
                        batch_size=self.batch_size,
                        on_batch=advance,
                    )
                )
        return done

    def _of_features(
        self,
        run: "Run",
        floor: Floor,
        bench: Bench,
        measures: Mapping[Score, Measure],
        wanted: frozenset[int] | None,
        output: Output,
    ) -> "list[Scored]":
        from seesay.pipeline.scoring import score
        from seesay.scorers.scorer import Item

        if not measures:
            return []
        feature_ids = [each for each in bench.feature_ids if wanted is None or each in wanted]
        if not feature_ids:
            raise FeatureNotFound(
                f"no feature with held-out exemplars in {self.path}"
                + (f" among {self.features}" if self.features else ""),
                expected="some",
                remedy="collect more images" + (", or give other --features" if self.features else ""),
            )
        done: list[Scored] = []
        for number, name in enumerate(measures):
            scorer = floor.scorer(name, None, feature_ids, _needs(list(measures.values())[number:]))
            with output.progress(name, total=len(feature_ids)) as advance:
                items = [Item(feature_id) for feature_id in feature_ids]
                done.append(score(run, name, scorer, items, batch_size=self.batch_size, on_batch=advance))
        return done

    def _next_steps(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        return [f"seesay compare {self.path}   methods side by side, with tests"] if rows else []


def _needs(measures: Iterable[Measure]) -> frozenset[Need]:
    return frozenset().union(*(measure.needs for measure in measures))
