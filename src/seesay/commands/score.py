"""`seesay score`: how good a run's explanations are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final, get_args

from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.counts import Count
from seesay.commands.instruments import InstrumentOptions
from seesay.commands.measuring import Bench
from seesay.commands.options import Options
from seesay.commands.output import Output, one_line
from seesay.commands.speaking import stopping
from seesay.errors import UnusablePath, check_choice
from seesay.explainers.config import METHODS
from seesay.images.options import Overlay
from seesay.records import Aid
from seesay.scorers.config import PAPER, SCORES, Holding, Need, Score, Scoring
from seesay.selection import parse_features

if TYPE_CHECKING:
    from seesay.pipeline.scoring import Scored
    from seesay.scorers.scorer import Item
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Run

_OF_ANY: tuple[Score, ...] = ("iou", "clip", "auroc")
_OF_THE_WORLD: tuple[Score, ...] = ("ground_truth", *_OF_ANY, "detection", "fuzzing")
_AIDS: tuple[Aid | None, ...] = (None, *get_args(Aid))


@final
@dataclass(frozen=True)
class _Task:
    """One score of one setting's explanations, or of what stands in their place."""

    score: Score
    setting: "StoredSetting"
    aid: Aid | None
    items: "Sequence[Item]"


@final
@dataclass(frozen=True)
class ScoreCommand:
    """Measure how good a run's explanations are, and keep the numbers in the run.

    Scores: iou (words segmented in images, against the heatmap), clip (words against masked images), auroc (images made
    from the words), detection and fuzzing (a judge looks), faithfulness; in the embedded world ground_truth and
    counterfactual; and of features themselves, whatever is said of them: monosemanticity and distinctness.

    Images that an explainer was shown are never looked at: scores are computed on the other half. Beside the words
    themselves, permuted and constant ones are scored, so that one sees what a score is worth.

    Only what is missing is computed, and the same command goes on after a stop or a kill.

    Examples:
      seesay score runs/x
      seesay score runs/x --scores iou,clip --methods steering,hybrid --segmenter DINO+SAM
      seesay score runs/x --scores monosemanticity,distinctness
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    scores: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Which scores; by default iou, clip and auroc, the paper's, and in the embedded world also ground_truth, detection
    and fuzzing."""

    methods: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None
    """Only the explanations of these methods."""

    controls: bool = False
    """Also score the explanations of all controls and ablations; by default only random ones, beside the methods."""

    tried: bool = False
    """Also score what was said at strengths that seesay calibrate tried, of validation features alone."""

    features: Annotated[str | None, arg(metavar="IDS")] = None
    """Ids and inclusive ranges with commas between: 42 or 0-499,777; by default all that are explained."""

    words_alone: bool = False
    """Leave out what is scored beside the words, for tables to compare with: permuted explanations and a constant
    one."""

    split: Holding = "held-out"
    """On which images: held-out ones, which no explainer was shown; or shared, the paper's habit: five of the ten most
    activating ones, five of which its explainer was shown. Tables then say so."""

    paper: bool = False
    """The published protocol: shared images, five exemplars, three images made from each explanation, the first mask
    alone."""

    n_exemplars: Annotated[Count | None, arg(metavar="N")] = None
    """Exemplars that words are held against; 10."""

    n_images: Annotated[Count | None, arg(metavar="N")] = None
    """Images made from each explanation, and as many control images; 20."""

    n_positives: Annotated[Count | None, arg(metavar="N")] = None
    """Images with the feature that a judge is shown, and as many without it; 10."""

    overlay: Annotated[Overlay, arg(metavar="mask|heatmap")] = "mask"
    """How a judge is shown what is highlighted."""

    images: Annotated[str | None, arg(metavar="SRC")] = None
    """The images, for monosemanticity, which goes through them once more; by default where the run says they were."""

    batch_size: Count = 64
    """Features at a time; halved as often as memory asks for it."""

    instruments: Annotated[InstrumentOptions, OmitArgPrefixes] = field(default_factory=InstrumentOptions)
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
        with Run.writing(self.path) as run, stopping(output):
            run.check_finished("collect")
            bench = Bench(run, scoring, self.instruments, self.common, output, self.images)
            names = self._names(bench)
            of_words: list[Score] = [name for name in names if SCORES[name].of_words]
            tasks = self._tasks(run, of_words)
            done = self._of_words(run, bench, tasks, output)
            done += self._of_features(run, bench, [name for name in names if not SCORES[name].of_words], output)
            titles = {each.setting_id: f"{each.title} by {each.explainer}" for each in settings(run)}
            rows = [_row(run, scored, titles) for scored in done]
        output.console.print(_table(rows))
        n_failed = sum(scored.n_failed for scored in done)
        if n_failed:
            output.console.print(f"{n_failed} did not fit into memory: the same command tries them again.")
        output.finish({"run": str(self.path), "scores": rows}, next_steps=self._next_steps(rows))
        return 0

    def _scoring(self) -> Scoring:
        given = {"n_exemplars": self.n_exemplars, "n_images": self.n_images, "n_positives": self.n_positives}
        begun = PAPER if self.paper else Scoring(holding=self.split)
        changed = {name: n for name, n in given.items() if n is not None}
        return replace(begun, overlay=self.overlay, seed=self.common.seed, **changed)

    def _names(self, bench: Bench) -> list[Score]:
        if self.scores is None:
            return list(_OF_THE_WORLD if bench.of_world else _OF_ANY)
        names = {name.strip() for name in self.scores.split(",")}
        for name in sorted(names):
            check_choice(name, SCORES, "score")
        found: list[Score] = [score for score in SCORES if score in names]
        for score in found:
            bench.check(score)
        return found

    def _tasks(self, run: "Run", names: Sequence[Score]) -> list[_Task]:
        """What is to be scored, one heavy model after the other."""
        from seesay.pipeline.scoring import items_to_score
        from seesay.store.explanations import settings

        if not names:
            return []
        methods = self._methods()
        chosen = [
            each
            for each in settings(run)
            if each.method in methods
            and (self.controls or each.control in (None, "random"))
            and (self.tried or _has_test_features(run, each))
        ]
        if not chosen:
            raise UnusablePath(
                f"no explanations in {self.path}" + (f" by {self.methods}" if self.methods else ""),
                expected="some to be scored",
                remedy=f"seesay explain {self.path} --method {(self.methods or 'steering').split(',')[0]}",
            )
        wanted = None if self.features is None else frozenset(parse_features(self.features))
        tasks: list[_Task] = []
        for setting in chosen:
            for aid in (None,) if self.words_alone or setting.control else _AIDS:
                items = items_to_score(run, setting, aid, seed=self.common.seed)
                kept = [item for item in items if wanted is None or item.feature_id in wanted]
                tasks += [_Task(name, setting, aid, kept) for name in names]
        return sorted(tasks, key=lambda task: list(SCORES).index(task.score))

    def _methods(self) -> frozenset[str]:
        if self.methods is None:
            return frozenset(METHODS)
        names = frozenset(name.strip() for name in self.methods.split(","))
        for name in sorted(names):
            check_choice(name, METHODS, "method")
        return names

    def _of_words(self, run: "Run", bench: Bench, tasks: Sequence[_Task], output: Output) -> "list[Scored]":
        from seesay.pipeline.scoring import score

        if any(task.score == "auroc" for task in tasks):
            bench.synthesise({item.text for task in tasks if task.score == "auroc" for item in task.items})
        done: list[Scored] = []
        for number, task in enumerate(tasks):
            scorer = bench.scorer(task.score, task.setting)
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
                        batch_size=self.batch_size,
                        on_batch=advance,
                    )
                )
            if number + 1 == len(tasks) or tasks[number + 1].score != task.score:
                bench.let_go(_needs([each.score for each in tasks[number + 1 :]]))
        return done

    def _of_features(self, run: "Run", bench: Bench, names: Sequence[Score], output: Output) -> "list[Scored]":
        from seesay.pipeline.scoring import score
        from seesay.scorers.scorer import Item

        done: list[Scored] = []
        for name in names:
            scorer = bench.scorer(name)
            items = [Item(feature_id) for feature_id in bench.feature_ids]
            with output.progress(name, total=len(items)) as advance:
                done.append(score(run, name, scorer, items, batch_size=self.batch_size, on_batch=advance))
        return done

    def _next_steps(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        return [f"seesay compare {self.path}   methods side by side, with tests"] if rows else []


def _has_test_features(run: "Run", setting: "StoredSetting") -> bool:
    from seesay.split import split_of
    from seesay.store.explanations import explanations

    return any(split_of(feature_id) == "test" for feature_id in explanations(run, setting))


def _row(run: "Run", scored: "Scored", titles: Mapping[int, str]) -> dict[str, Any]:
    """One line of the table, as plain data; its mean is over test features, as strengths are chosen on the others."""
    import numpy as np

    from seesay.split import split_of
    from seesay.statistics import estimate
    from seesay.store.scores import scores, seconds_of

    stored = scored.scoring
    rows = [each for samples in scores(run, stored).values() for each in samples]
    values = [each.measured.value for each in rows if split_of(each.item.feature_id) == "test"]
    known = [value for value in values if value is not None]
    found = estimate(np.array(known)) if known else None
    return {
        "score": stored.score,
        "of": "features" if stored.setting_id is None else titles[stored.setting_id],
        "aid": stored.aid,
        "mean": None if found is None else round(found.mean, 4),
        "interval": None if found is None else [round(found.low, 4), round(found.high, 4)],
        "n": len(known),
        "n_test": len(values),
        "n_scored": len(rows),
        "seconds": round(seconds_of(run, stored), 1),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Scores of test features, on average", title_justify="left", header_style="bold")
    for name in ("score", "of"):
        table.add_column(name, overflow="fold")
    for name in ("mean", "95 % interval", "features"):
        table.add_column(name, justify="right")
    for row in rows:
        low, high = row["interval"] or (None, None)
        table.add_row(
            row["score"],
            Text(one_line(row["of"] + (f", {row['aid']}" if row["aid"] else ""))),
            "-" if row["mean"] is None else f"{row['mean']:.3f}",
            "-" if low is None else f"{low:.3f} to {high:.3f}",
            f"{row['n']} of {row['n_test']}",
            style="dim" if row["aid"] else "",
        )
    return table


def _needs(names: Sequence[Score]) -> frozenset[Need]:
    return frozenset().union(*(SCORES[name].needs for name in names))
