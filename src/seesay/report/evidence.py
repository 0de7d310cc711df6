"""What runs say of who is compared, read at once for whoever tells of it: the terminal, a page, the viewer."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from seesay.comparison.comparing import compare
from seesay.comparison.contender import FeatureKey
from seesay.comparison.levels import levels_of
from seesay.comparison.quantities import Quantity, quantities
from seesay.comparison.reading import Contest, Part, read
from seesay.comparison.sureness import Sureness, sureness
from seesay.records import Level, Method
from seesay.report.comparison_sections import Told
from seesay.scorers.config import Holding, Score
from seesay.store.run import Run
from seesay.store.trust import trust_facts


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """All that a comparison is computed from; runs need be open no longer.

    Args:
        subjects: what each run is of, by its name.
        contest: who is compared.
        labeller: who told levels; empty if nobody did.
        levels: of features.
        sure: how sure one can be of contenders' words.
        trusted: how good these probabilities are, by the run's name.
    """

    subjects: Mapping[str, Mapping[str, Any]]
    contest: Contest
    labeller: str
    levels: Mapping[FeatureKey, Level]
    sure: Sequence[Sureness]
    trusted: Mapping[str, Mapping[str, Any]]

    def compared(
        self,
        wanted: Sequence[Quantity] | None = None,
        *,
        seed: int = 0,
        on_number: Callable[[int], None] = lambda _n: None,
    ) -> Told:
        """Compare.

        Args:
            wanted: by which numbers; None for the scores that there are.
            seed: of intervals.
            on_number: told after each of them.

        Raises:
            InvalidSetting: a number that nobody has.
        """
        numbers = quantities(self.contest.measures) if wanted is None else wanted
        comparison = compare(self.contest, numbers, levels=self.levels, seed=seed, on_number=on_number)
        return Told(self.subjects, self.contest, comparison, self.labeller, self.sure, self.trusted)


def read_evidence(
    runs: Sequence[Run],
    scores: Collection[Score] | None = None,
    *,
    names: Sequence[str] | None = None,
    part: Part = "test",
    methods: Collection[Method] | None = None,
    explainer: str | None = None,
    holding: Holding | None = None,
    by: Literal["truth", "records", "model"] | None = None,
) -> Evidence:
    """Read what runs hold; for the options see [seesay.comparison.reading.read][].

    Args:
        runs: open; may be strangers'.
        scores: that are to be compared.
        names: what the runs are called; None for their folders.
        part: which features.
        methods: only these.
        explainer: only this model's words.
        holding: only scores on such images.
        by: who shall tell levels; None for whoever knows best.

    Raises:
        UnusablePath: a run has no explanations, or is damaged.
        InvalidSetting: nobody is left, or what is asked for is not there.
    """
    contest = read(runs, scores, part=part, methods=methods, explainer=explainer, holding=holding)
    labeller, levels = levels_of(runs, contest, by)
    called = dict(zip(names or [str(run.folder) for run in runs], runs, strict=True))
    return Evidence(
        {name: run.subject for name, run in called.items()},
        contest,
        labeller,
        levels,
        sureness(runs, contest),
        {name: facts for name, run in called.items() if (facts := trust_facts(run))},
    )
