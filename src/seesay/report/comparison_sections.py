"""A comparison as sections of words and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from seesay.report.comparison_tables import (
    AIDS,
    SURE,
    agreement_table,
    curve_table,
    group_table,
    number,
    pair_table,
    standing_table,
    sureness_table,
)
from seesay.report.sections import Section, Sentence

if TYPE_CHECKING:
    from seesay.comparison.reading import Contest
    from seesay.comparison.results import Comparison, Kind, Standing
    from seesay.comparison.sureness import Sureness

SHARED = "Computed on images that were shared with the explainers (the paper's habit): too high to be true."
UNINFORMATIVE = "Uninformative here: feature by feature, no method is above all that stands beside it."
_BY: "Mapping[Kind, str]" = {
    "level": "By level of what features stand for",
    "layer": "By block: other features in each, so that methods compare within a column, not across",
    "frequency": "By how often a feature is active",
}
_TOLD_BY = {
    "truth": "of the concept that holds",
    "records": "of most of what is said of them, by the scenes' records",
    "model": "of most of what is said of them, as a language model labels it",
}


@final
@dataclass(frozen=True)
class Told:
    """All that is told of a comparison.

    Args:
        subjects: what each run is of, by its folder.
        contest: who was compared.
        comparison: what came of it.
        labeller: who told levels; empty if nobody did.
        sure: how sure one can be of contenders' words.
        trusted: how good these probabilities are, by the run's folder, as it keeps them.
    """

    subjects: Mapping[str, Mapping[str, Any]]
    contest: "Contest"
    comparison: "Comparison"
    labeller: str = ""
    sure: "Sequence[Sureness]" = ()
    trusted: Mapping[str, Mapping[str, Any]] | None = None

    def in_short(self) -> Iterator[Section]:
        """What tests say; nothing where they say nothing."""
        told = summary(self.comparison)
        if told:
            title = "In short (5 %, corrected within each score, not over all of them)"
            yield Section(title, sentences=tuple(map(Sentence, told)))

    def sections(self, *, with_summary: bool = True) -> Iterator[Section]:
        """Everything, in the order in which one reads it.

        Args:
            with_summary: with what is said in short, which pages show before anything else.
        """
        yield Section("", sentences=tuple(self._opening()))
        yield from (self._of_standing(each) for each in self.comparison.standings)
        yield from self._by_parts()
        if with_summary:
            yield from self.in_short()
        for title, table in (
            (
                "Rank correlation with ground_truth over features: the measure of the measures",
                agreement_table({each.title: each.truth for each in self.comparison.standings}),
            ),
            (
                "Rank correlation with people over features: which scores see what people see",
                agreement_table({each.title: each.people for each in self.comparison.standings}),
            ),
            ("Score against strength", curve_table(self.comparison)),
        ):
            if table.rows:
                yield Section(title, tables=(table,))
        if self.sure:
            title = "Trust: explanations that are at least so probably right"
            yield Section(title, tables=(sureness_table(self.sure),), remarks=tuple(self._how_good()))

    def _opening(self) -> Iterator[Sentence]:
        for folder, of in self.subjects.items():
            yield Sentence(f"{folder}: {of.get('subject')}, block {of.get('layer')}, {of.get('sae')}")
        if self.contest.part != "test" and any(each.strengths for each in self.contest.contenders):
            yield Sentence(
                "Strengths are chosen on validation features: figures come from --split test.", tone="warning"
            )
        for note in self.comparison.notes:
            yield Sentence(f"{note}.", tone="faint")

    def _of_standing(self, standing: "Standing") -> Section:
        part = "" if self.contest.part == "all" else f"{self.contest.part} "
        return Section(
            standing.title,
            f", {len(standing.keys)} {part}features: {standing.what}",
            tuple(_captions(standing)),
            (standing_table(standing), pair_table(standing.pairs)),
        )

    def _by_parts(self) -> Iterator[Section]:
        for kind, title in _BY.items():
            shown = [each for each in self.comparison.standings if each.quantity.is_primary and each.groups.get(kind)]
            if not shown:
                continue
            by = f": {_TOLD_BY[self.labeller.partition(':')[0]]}" if kind == "level" and self.labeller else ""
            beside = any(any(group.aids) for each in shown for group in each.groups[kind])
            remarks = (Sentence(f"In brackets: {', '.join(AIDS)}.", tone="faint"),) if beside else ()
            yield Section(title + by, tables=(group_table(shown, kind),), remarks=remarks)

    def _how_good(self) -> Iterator[Sentence]:
        for folder, facts in (self.trusted or {}).items():
            test = facts.get("test")
            if isinstance(test, dict) and {"n", "calibration_error"} <= test.keys():
                yield Sentence(
                    f"{folder}: expected calibration error {test['calibration_error']}, on {test['n']} explanations of "
                    f"test features whose truth is known by {facts.get('truth')}.",
                    tone="faint",
                )


def summary(comparison: "Comparison") -> list[str]:
    """What tests say, a line for each score that tells words from what stands beside them.

    Args:
        comparison: what came of comparing.
    """
    found: list[str] = []
    for standing in comparison.standings:
        sure = [each for each in standing.pairs if each.adjusted < SURE]
        if not standing.quantity.is_primary or not standing.pairs:
            continue
        if standing.is_informative is False:
            found.append(
                f"{standing.title}: does not tell words from what stands beside them, and so no two methods apart"
            )
            continue
        ahead = [
            f"{each.first} above {each.second}" if each.difference.mean > 0 else f"{each.second} above {each.first}"
            for each in sure
        ]
        best = max(standing.rows, key=lambda row: row.estimate.mean)
        told = "; ".join(ahead) or "no difference that tests are sure of"
        below = [
            f"{row.contender} below its {' and '.join(row.is_below)} words" for row in standing.rows if row.is_below
        ]
        told = "; ".join((told, *below))
        found.append(f"{standing.title}: {best.contender} is highest, {number(best.estimate.mean)}; {told}")
    return found


def _captions(standing: "Standing") -> Iterator[Sentence]:
    if standing.is_shared:
        yield Sentence(SHARED, "warning")
    if standing.is_informative is False:
        yield Sentence(UNINFORMATIVE, "warning")
    if standing.chance is not None:
        yield Sentence(f"Words that say nothing get {standing.chance:g}.", "faint")
    for note in standing.notes:
        yield Sentence(f"{note}.", "faint")
