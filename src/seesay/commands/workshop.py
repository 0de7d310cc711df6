"""Where scorers are made: here, or in every worker of a crew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

from seesay.commands.instruments import InstrumentOptions
from seesay.commands.measuring import Bench
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.scorers.config import Need, Score, Scoring

if TYPE_CHECKING:
    from seesay.backends.crew import Crew
    from seesay.pipeline.scoring import Shared
    from seesay.scorers.gallery import HeldOut
    from seesay.scorers.scorer import Scorer
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Noted

SHARED: frozenset[Score] = frozenset({"iou", "clip", "detection", "fuzzing", "faithfulness", "counterfactual"})
"""Scores whose items are shared out. The others look at all images, all features or all of the world's records before
the first item is measured, or at images that are made and kept where the run is: these the command itself computes."""


@final
class Workshop:
    """A bench that is made when it is known which exemplars there are.

    Args:
        make: makes it.
    """

    def __init__(self, make: "Callable[[HeldOut], Bench]") -> None:
        self._make = make
        self._bench: Bench | None = None
        self._last: Score | None = None

    def scorer(self, made: "Making") -> "Scorer":
        """Make a scorer, or find it; what no later score needs is let go of first.

        Args:
            made: which one.

        Raises:
            SeesayError: what it needs cannot be had.
        """
        if self._bench is None:
            self._bench = self._make(made.held_out)
        if self._last not in (None, made.score):
            self._bench.let_go(made.needs)
        self._last = made.score
        self._bench.check_features(made.score, made.feature_ids)
        return self._bench.scorer(made.score, made.setting)


@final
@dataclass(frozen=True, eq=False)
class Making:
    """Makes one scorer in whatever workshop.

    Args:
        score: what it measures.
        setting: whose explanations; None for scores of features.
        held_out: exemplars that no explainer was shown, lent if the workshop is elsewhere.
        needs: of this score and those to come.
        feature_ids: that the subject's SAE must have: the first and the last one.
    """

    score: Score
    setting: "StoredSetting | None"
    held_out: "HeldOut"
    needs: frozenset[Need]
    feature_ids: tuple[int, ...]

    def __call__(self, workshop: Workshop) -> "Scorer":
        """Make it.

        Raises:
            SeesayError: what it needs cannot be had.
        """
        return workshop.scorer(self)


@final
@dataclass(frozen=True)
class Opening:
    """Opens a workshop, wherever it is called; the run need not be there.

    Args:
        run: what it says of itself.
        scoring: how to measure.
        named: with which models.
        common: options of every command.
    """

    run: "Noted"
    scoring: Scoring
    named: InstrumentOptions
    common: Options

    def __call__(self) -> Workshop:
        """Open it; models are loaded when a scorer needs them."""
        return Workshop(self._bench)

    def _bench(self, held_out: "HeldOut") -> Bench:
        common = replace(self.common, json=None)
        return Bench(self.run, held_out, self.scoring, self.named, common, Output(common))


@final
@dataclass(frozen=True, eq=False)
class Workplace:
    """A crew that has workshops, and the exemplars as it can ask for them.

    Args:
        crew: has them.
        held_out: exemplars that no explainer was shown.
    """

    crew: "Crew[Workshop]"
    held_out: "HeldOut"

    @classmethod
    def here(cls, bench: Bench) -> "Workplace":
        """This process.

        Args:
            bench: its own.
        """
        from seesay.backends.local import Local

        return cls(Local(Workshop(lambda _held_out: bench)), bench.held_out)


@final
@dataclass(frozen=True, eq=False)
class Floor:
    """Where scores are computed.

    Args:
        here: in this process.
        shared: by whoever the backend has.
    """

    here: Workplace
    shared: Workplace

    def scorer(
        self, score: Score, setting: "StoredSetting | None", feature_ids: Sequence[int], needs: frozenset[Need]
    ) -> "Shared[Workshop]":
        """A scorer, to be made where its score is computed.

        Args:
            score: what it measures.
            setting: whose explanations; None for scores of features.
            feature_ids: of what is to be measured.
            needs: of this score and those to come.
        """
        from seesay.pipeline.scoring import Shared

        place = self.shared if score in SHARED else self.here
        bounds = (min(feature_ids), max(feature_ids)) if feature_ids else ()
        return Shared(place.crew, Making(score, setting, place.held_out, needs, bounds))
