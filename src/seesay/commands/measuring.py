"""Scorers for a run, with what they measure with."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, final

from seesay.commands.held_out import as_kept, held_out_of
from seesay.commands.instruments import InstrumentOptions, Instruments
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.own_scorers import OwnClass
from seesay.commands.run_models import RunModels
from seesay.errors import InvalidSetting, NotEnoughMemory
from seesay.explainers.config import METHODS
from seesay.scorers.config import SCORES, KnownScore, Measure, Need, Score, Scoring

if TYPE_CHECKING:
    from seesay.instruments.instrument import Synthesiser
    from seesay.records import Explanation
    from seesay.scorers.gallery import HeldOut
    from seesay.scorers.scorer import Item, Scorer
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Noted, Run
    from seesay.store.synthesised import Synthesised

_SYNTHESISED = "synthesised"


@final
class Bench:
    """Makes the scorers of a run.

    Args:
        run: whose explanations are scored, or what it says of itself.
        held_out: its exemplars that no explainer was shown.
        scoring: how.
        named: with which models.
        common: options of every command.
        output: of the command.
        images: for what goes through them once more; None for where the run says they were.
        own: scorers of the user's own, by the name of the score; None for none.

    Attributes:
        measures: what the scores measure that can be had of it, by name.

    Raises:
        UnusablePath: the run does not say what it is of.
    """

    def __init__(
        self,
        run: "Run | Noted",
        held_out: "HeldOut",
        scoring: Scoring,
        named: InstrumentOptions,
        common: Options,
        output: Output,
        images: str | None = None,
        own: Mapping[Score, OwnClass] | None = None,
    ) -> None:
        self._run, self._scoring = run, as_kept(run, scoring)
        self._output = output
        self.held_out = held_out
        self._own = own or {}
        self.measures: dict[Score, Measure] = {**SCORES, **{name: each.measure for name, each in self._own.items()}}
        self._models = RunModels(run, common, output, images)
        self.of_world, self.shows_world = self._models.of_world, self._models.shows_world
        self._instruments = Instruments(named, self.of_world, common)
        self._synthesised: Synthesised | None = None
        self._scorers: dict[tuple[Score, str, str], Scorer] = {}
        self._synthesiser: Synthesiser | None = None

    @classmethod
    def of(
        cls,
        run: "Run",
        scoring: Scoring,
        named: InstrumentOptions,
        common: Options,
        output: Output,
        images: str | None = None,
        own: Mapping[Score, OwnClass] | None = None,
    ) -> "Bench":
        """The bench of a run that is here; see the class."""
        return cls(run, held_out_of(run, scoring), scoring, named, common, output, images, own)

    @property
    def n_exemplars(self) -> int:
        """Exemplars that words are held against: no more than the run keeps."""
        return self._scoring.n_exemplars

    @property
    def feature_ids(self) -> "Sequence[int]":
        """The features that a score of features is computed for: those with held-out exemplars."""
        return self.held_out.feature_ids()

    def check(self, score: Score) -> None:
        """Check, before anything large is loaded, that a score can be had of this run.

        Args:
            score: which.

        Raises:
            InvalidSetting: it needs the embedded world's records, and the run is not of it; or people.
            MissingExtra: it needs a package that is not installed.
        """
        if "people" in self.measures[score].needs:
            raise InvalidSetting(
                f"{score}, which no model computes",
                expected="people who judge",
                remedy=f"they do so in seesay serve {self._run.folder}, and seesay compare reads what they say",
            )
        if "synthesiser" in self.measures[score].needs:
            self._instruments.check_synthesiser()
        if "world" in self.measures[score].needs and not self.of_world:
            raise InvalidSetting(
                f"{score} for a run of {self._models.subject}",
                expected="a run of the embedded world, the only one whose truth is known",
            )

    def check_features(self, score: Score, feature_ids: Collection[int]) -> None:
        """Check that the subject's SAE has the features that a stranger's run speaks of.

        Args:
            score: that is to be computed; nothing is loaded for one that looks at no activations.
            feature_ids: which.

        Raises:
            FeatureNotFound: it does not.
        """
        if "subject" in self.measures[score].needs and feature_ids:
            self._models.activations.sae.directions((min(feature_ids), max(feature_ids)))

    def scorer(self, score: Score, setting: "StoredSetting | None" = None) -> "Scorer":
        """Make a scorer, or find it: what it has looked at serves all settings that it does not depend on.

        Args:
            score: what it measures.
            setting: whose explanations; None for scores of features.

        Raises:
            SeesayError: what it needs cannot be had.
        """
        if score == "faithfulness" or score == "ground_truth":
            assert setting is not None, f"{score} depends on who said the words"
            key = (score, setting.explainer_hash, setting.method if score == "ground_truth" else "")
            if key not in self._scorers:
                self._scorers[key] = (
                    self._faithfulness(setting) if key[0] == "faithfulness" else self._by_truth(setting)
                )
            return self._scorers[key]
        if (score, "", "") not in self._scorers:
            is_own = score in self._own
            self._scorers[score, "", ""] = self._by_own(score) if is_own else self._scorer(cast("KnownScore", score))
        return self._scorers[score, "", ""]

    def judge_by(self, score: Score, batch_size: int) -> "Callable[[Sequence[Explanation]], list[float]]":
        """A function from explanations to what a score gives them; chance where there is nothing to be measured.

        Args:
            score: one that measures words without the truth.
            batch_size: explanations at a time.
        """

        def judge(said: "Sequence[Explanation]") -> list[float]:
            from seesay.scorers.scorer import Item
            from seesay.vlm.batches import fitting

            items = [Item(each.feature_id, each.text) for each in said]
            if score == "auroc":
                self.synthesise({item.text for item in items}, again=True)
            chance, measure = self.measures[score].chance or 0.0, self.scorer(score).score
            measured = [each for some in fitting(items, batch_size, measure, _too_large) for each in some]
            return [chance if each.value is None else each.value for each in measured]

        return judge

    def synthesise(self, texts: Collection[str], *, again: bool = False) -> None:
        """Make the images that `auroc` needs, as far as the run does not have them; what makes them is then let go of.

        Args:
            texts: what is to be seen.
            again: others will be asked for soon, so that what makes them is kept.

        Raises:
            SeesayError: what makes them cannot be had, or the run cannot be written.
            KeyboardInterrupt: after Ctrl-C, when the batch is written.
        """
        from seesay.store.synthesised import Synthesised, synthesise

        synthesiser = self._synthesiser or self._instruments.synthesiser()
        self._synthesiser = synthesiser if again else None
        self._synthesised = Synthesised(self._run.folder / _SYNTHESISED, synthesiser.facts)
        n = self._scoring.n_images
        wanted = sorted(set(texts) - {""})
        with self._output.progress("synthesising", total=len(wanted) * n) as advance:
            synthesise(self._synthesised, wanted, n, lambda: synthesiser, on_batch=advance)

    def let_go(self, still_needed: frozenset[Need]) -> None:
        """Let go of what no score needs any more, so that two heavy models are in memory only if one score needs both.

        Args:
            still_needed: by the scores to come.
        """
        self._scorers.clear()
        self._instruments.let_go(still_needed)
        self._models.let_go(still_needed)

    def _scorer(self, score: KnownScore) -> "Scorer":
        from seesay.pipeline.surveying import Survey
        from seesay.scorers.clip import Clip
        from seesay.scorers.detection import Detection
        from seesay.scorers.distinctness import Distinctness
        from seesay.scorers.fuzzing import Fuzzing
        from seesay.scorers.iou import IoU
        from seesay.world.scorers.counterfactual import Counterfactual

        held_out, tools, scoring = self.held_out, self._instruments, self._scoring
        match score:
            case "iou":
                return IoU(held_out, tools.segmenter, scoring)
            case "clip":
                return Clip(held_out, tools.embedder, scoring)
            case "auroc":
                return self._auroc()
            case "detection":
                return Detection(held_out, self._models.activations, tools.judge, scoring)
            case "fuzzing":
                return Fuzzing(held_out, self._models.activations, tools.judge, scoring)
            case "distinctness":
                return Distinctness(held_out, tools.embedder, scoring)
            case "monosemanticity":
                return Survey(self._models.images(), self._models.activations, tools.embedder, self._output.progress)
            case "counterfactual":
                return Counterfactual(self._models.activations, scoring)
            case "faithfulness" | "ground_truth":
                raise AssertionError(f"{score} depends on the setting")
            case "people":
                raise AssertionError(f"{score} is refused before anything is loaded")

    def _by_own(self, score: Score) -> "Scorer":
        from seesay.scorers.measures import GIVEN
        from seesay.scorers.own import Own

        own = self._own[score]
        needed: dict[str, Any] = {
            GIVEN[need]: self._models.activations if need == "subject" else getattr(self._instruments, need)
            for need in sorted(own.measure.needs)
        }
        return Own.made(own.made, self.held_out, self._scoring, source=own.source, **needed)

    def _faithfulness(self, setting: "StoredSetting") -> "Scorer":
        from seesay.scorers.faithfulness import Faithfulness

        of = self._models.activations
        return Faithfulness(self.held_out, self._models.explainer_of(setting), of.sae, of.layer, self._scoring)

    def _by_truth(self, setting: "StoredSetting") -> "Scorer":
        from seesay.world.grammar import parse
        from seesay.world.judging import of_nothing
        from seesay.world.scorers.ground_truth import GroundTruth

        says = METHODS[setting.method].generates
        unsteered = of_nothing(self._models.explainer_of(setting), setting.method) if says else ""
        return GroundTruth(self._models.truth, parse(unsteered))

    def _auroc(self) -> "Scorer":
        from seesay.scorers.auroc import Auroc

        kept, n = self._synthesised, self._scoring.n_images
        assert kept is not None, "images are made before they are looked at"
        return Auroc(
            self.held_out, lambda text: kept.read(text, n), self._models.activations, self._scoring, kept.facts
        )


def _too_large(item: "Item") -> NotEnoughMemory:
    return NotEnoughMemory(
        f"feature {item.feature_id} alone does not fit into memory",
        expected="room for one",
        remedy="take a smaller instrument, or --device cpu",
    )
