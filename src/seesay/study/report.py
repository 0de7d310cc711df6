"""What a study tells: whether its target is reached, and all that speaks for and against it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from seesay.comparison.results import plain
from seesay.records import Control, Method, Strength
from seesay.report.comparison_tables import from_to, number, probability
from seesay.report.sections import Column, Row, Section, Sentence, Table
from seesay.scorers.config import SCORES, KnownScore
from seesay.statistics import Estimate, holm
from seesay.study.parts import Parts
from seesay.study.protocol import (
    CHOSEN_BY,
    CONTROLS,
    JUDGED_BY,
    MANY,
    MOST_ABOVE_CHANCE,
    OURS,
    RIVALS,
    TARGET_SIZES,
    TESTED,
    Study,
    bound_of,
    most_by_controls,
)
from seesay.study.reading import ALL, Group, Lead, Reading

_GROUPS: Mapping[Group, str] = {
    "held_out": "of concepts that were held out",
    "apart": "like no feature that was looked at before",
}
_NOT_THERE = "-"


@final
@dataclass(frozen=True)
class Standing:
    """What a method's words got.

    Args:
        score: by which.
        method: that explained.
        size: of the explainer.
        mean: over test features; for lenses of several seeds, of each feature's mean.
        controls: what random directions and other features' words got.
    """

    score: KnownScore
    method: Method
    size: str
    mean: Estimate
    controls: Mapping[Control, Estimate]


@final
@dataclass(frozen=True)
class Target:
    """Whether our way is as good as the hybrid, by one score and explainer.

    Args:
        lead: over the hybrid.
        bound: that the lower end of its interval must lie above.
        controls: of our way.
        is_reached: whether it does, and no control gets more than it may.
    """

    lead: Lead
    bound: float
    controls: Mapping[Control, Estimate]
    is_reached: bool


@final
@dataclass(frozen=True)
class Tried:
    """A candidate on validation features.

    Args:
        name: of it.
        means: by score.
    """

    name: str
    means: Mapping[KnownScore, Estimate]


@final
@dataclass(frozen=True, eq=False)
class Report:
    """All that is told.

    Args:
        study: the protocol.
        targets: that were set.
        standings: of every score, method and explainer.
        leads: of our way, over all blocks and within each.
        seeds: means of our way by score, explainer and lens.
        tried: candidates, on validation features.
        strengths: that were chosen, by method, explainer and block.
        parts: how many features there are of each, by block.
        costs: seconds a feature, by method and explainer.
        taught: seconds that a lens takes, by explainer.
        seconds: that each step took.
        commits: of the sources that did the steps.
        cut: in what there was less of it than the protocol says, in a sentence; empty for nothing.
    """

    study: Study
    targets: Sequence[Target]
    standings: Sequence[Standing]
    leads: Sequence[Lead]
    seeds: Mapping[tuple[KnownScore, str, int], Estimate]
    tried: Sequence[Tried]
    strengths: Mapping[tuple[Method, str, str], Strength]
    parts: Mapping[str, Mapping[str, int]]
    costs: Mapping[tuple[Method, str], float]
    taught: Mapping[str, float]
    seconds: Mapping[str, float]
    commits: Sequence[str]
    cut: str = ""

    @classmethod
    def of(
        cls,
        study: Study,
        reading: Reading,
        strengths: Mapping[tuple[Method, str, str], Strength],
        parts: Mapping[str, Parts],
        seconds: Mapping[str, float],
        commits: Sequence[str],
        cut: str = "",
    ) -> "Report":
        """Gather it.

        Args:
            study: the protocol.
            reading: of its runs.
            strengths: that were chosen.
            parts: of the features.
            seconds: that each step took.
            commits: of the sources that did the steps.
            cut: in what there was less of it than the protocol says, in a sentence; empty for nothing.
        """
        sizes = [each.size for each in study.explainers]
        blocks = [each.name for each in study.blocks]
        standings = [
            Standing(score, method, size, mean, _controls(reading, score, method, size))
            for score in study.scores
            for method in TESTED
            for size in sizes
            if (mean := reading.mean(reading.values(score, method, size)))
        ]
        asked: list[tuple[KnownScore, str, Method, str, Group]] = [
            *((score, size, rival, ALL, "test") for score in study.scores for size in sizes for rival in RIVALS),
            *((score, size, "hybrid", block, "test") for score in JUDGED_BY for size in sizes for block in blocks),
            *((score, size, "hybrid", ALL, group) for score in JUDGED_BY for size in sizes for group in _GROUPS),
        ]
        return cls(
            study=study,
            targets=list(_targets(reading, sizes)),
            standings=standings,
            leads=[lead for each in asked if (lead := reading.lead(*each))],
            seeds={
                (score, size, seed): mean
                for score in JUDGED_BY
                for size in sizes
                for seed in range(study.n_seeds)
                if (mean := reading.mean(reading.values(score, OURS, size, seed=seed)))
            },
            tried=[
                Tried(
                    each.name,
                    {score: mean for score in JUDGED_BY if (mean := reading.mean(reading.tried(score, each.name)))},
                )
                for each in study.candidates
            ],
            strengths=strengths,
            parts={block: {name: len(ids) for name, ids in vars(found).items()} for block, found in parts.items()},
            costs={(method, size): reading.seconds(method, size) for method in TESTED for size in sizes},
            taught={size: _mean_of(seconds, f"teach, {size}, ") for size in sizes},
            seconds=seconds,
            commits=commits,
            cut=cut,
        )

    @property
    def best(self) -> str:
        """The candidate that is the best on validation features."""
        return max(self.tried, key=lambda each: each.means[CHOSEN_BY].mean if CHOSEN_BY in each.means else 0.0).name

    def in_short(self) -> Iterator[Section]:
        """Whether the target is reached."""
        columns = (
            Column("score", is_words=True),
            Column("explainer", is_words=True),
            Column("difference"),
            Column("95 % interval", is_whole=True),
            Column("controls"),
            Column("reached", is_words=True),
        )
        rows = tuple(
            Row(
                (
                    each.lead.score,
                    each.lead.size,
                    f"{each.lead.found.difference.mean:+.3f}",
                    from_to(each.lead.found.difference),
                    number(max((mean.mean for mean in each.controls.values()), default=0.0)),
                    "yes" if each.is_reached else "no",
                ),
                "strong",
            )
            for each in self.targets
        )
        told = (
            "Target: without an image set, words at least as good as the hybrid's. The interval of the difference, "
            f"over test features of all blocks, must lie above {bound_of(0):g}, with {MANY} of them above "
            f"{bound_of(MANY):g}; and random directions and other features' words, of which the better are told, must "
            f"get at most {MOST_ABOVE_CHANCE:g} more than words that say nothing."
        )
        sentences = (Sentence(told), *((Sentence(self.cut),) if self.cut else ()))
        yield Section("The target", sentences=sentences, tables=(Table(columns, rows),))

    def sections(self) -> Iterator[Section]:
        """Everything, in the order in which one reads it."""
        yield from self.in_short()
        for score in self.study.scores:
            yield self._of_score(score)
        yield self._leads(
            "Against the others", "test features of all blocks", [each for each in self.leads if _is_whole(each)]
        )
        yield self._leads("By block", "against the hybrid", [each for each in self.leads if each.block != ALL])
        for group, what in _GROUPS.items():
            found = [each for each in self.leads if each.group == group]
            yield self._leads(f"Test features {what}", "against the hybrid", found)
        yield self._seeds()
        yield self._tried()
        yield self._costs()
        yield from self._protocol()

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "targets": [plain(each) for each in self.targets],
            "standings": [plain(each) for each in self.standings],
            "leads": [plain(each) for each in self.leads],
            "seeds": [
                {"score": score, "size": size, "seed": seed, **plain(mean)}
                for (score, size, seed), mean in self.seeds.items()
            ],
            "tried": [plain(each) for each in self.tried],
            "best": self.best,
            "strengths": [
                {"method": method, "size": size, "block": block, **plain(strength)}
                for (method, size, block), strength in self.strengths.items()
            ],
            "parts": {block: dict(found) for block, found in self.parts.items()},
            "seconds_a_feature": [
                {"method": method, "size": size, "seconds": seconds} for (method, size), seconds in self.costs.items()
            ],
            "seconds_a_lens": dict(self.taught),
            "seconds": dict(self.seconds),
            "commits": list(self.commits),
            "cut": self.cut,
        }

    def _of_score(self, score: KnownScore) -> Section:
        columns = (
            Column("method", is_words=True),
            Column("explainer", is_words=True),
            Column("mean"),
            Column("95 % interval", is_whole=True),
            Column("features"),
            *(Column(name, is_faint=True) for name in CONTROLS),
        )
        rows = tuple(
            Row(
                (
                    each.method,
                    each.size,
                    number(each.mean.mean),
                    from_to(each.mean),
                    str(each.mean.n),
                    *(number(each.controls[name].mean) if name in each.controls else _NOT_THERE for name in CONTROLS),
                ),
                "strong" if each.method == OURS else "plain",
            )
            for each in self.standings
            if each.score == score
        )
        return Section(f"{score}: {SCORES[score].what}", tables=(Table(columns, rows),))

    def _leads(self, title: str, subtitle: str, leads: Sequence[Lead]) -> Section:
        columns = (
            Column("score", is_words=True),
            Column("explainer", is_words=True),
            Column("block", is_words=True),
            Column(f"{OURS} less", is_words=True),
            Column("difference"),
            Column("95 % interval", is_whole=True),
            Column("p"),
            Column("features"),
        )
        p_values = holm([each.found.p_value for each in leads])
        rows = tuple(
            Row((
                each.score,
                each.size,
                each.block,
                each.rival,
                f"{each.found.difference.mean:+.3f}",
                from_to(each.found.difference),
                probability(p_value),
                str(each.found.n),
            ))
            for each, p_value in zip(leads, p_values, strict=True)
        )  # fmt: skip
        told = Sentence("p by Wilcoxon's signed-rank test, corrected by Holm within this table.", "faint")
        return Section(title, f", {subtitle}", (told,), (Table(columns, rows),))

    def _seeds(self) -> Section:
        seeds = range(self.study.n_seeds)
        columns = (
            Column("score", is_words=True),
            Column("explainer", is_words=True),
            *(Column(f"lens {seed}") for seed in seeds),
        )
        rows = tuple(
            Row((
                score,
                each.size,
                *(
                    number(self.seeds[score, each.size, seed].mean)
                    if (score, each.size, seed) in self.seeds
                    else _NOT_THERE
                    for seed in seeds
                ),
            ))
            for score in JUDGED_BY
            for each in self.study.explainers
        )  # fmt: skip
        return Section("Lenses", ", each taught by other patches", tables=(Table(columns, rows),))

    def _tried(self) -> Section:
        columns = (
            Column("candidate", is_words=True),
            *(column for score in JUDGED_BY for column in (Column(score), Column("95 % interval", is_whole=True))),
            Column("features"),
        )
        rows = tuple(
            Row(
                (
                    each.name,
                    *(cell for score in JUDGED_BY for cell in _mean_cells(each.means.get(score))),
                    str(each.means[CHOSEN_BY].n if CHOSEN_BY in each.means else 0),
                ),
                "strong" if each.name == self.best else "plain",
            )
            for each in self.tried
        )
        told = Sentence(
            f"Explainer {self.study.tried_on.size}, validation features of all blocks; what pushes does so as hard as "
            f"is best for steering as published. Best, by {CHOSEN_BY}: {self.best}. Tested, as {OURS}: the lens."
        )
        return Section("What was tried", "", (told,), (Table(columns, rows),))

    def _costs(self) -> Section:
        sizes = [each.size for each in self.study.explainers]
        columns = (Column("", is_words=True), *(Column(f"explainer {size}") for size in sizes))
        rows = [Row((method, *(f"{self.costs[method, size]:.4f}" for size in sizes))) for method in TESTED]
        rows.append(Row(("a lens, once for each block", *(f"{self.taught[size]:.0f}" for size in sizes)), "strong"))
        told = Sentence("Seconds a feature, without loading models; features in batches of 64.")
        return Section("What it costs", "", (told,), (Table(columns, tuple(rows)),))

    def _protocol(self) -> Iterator[Section]:
        study = self.study
        names = tuple(next(iter(self.parts.values())))
        columns = (Column("block", is_words=True), *map(Column, (name.replace("_", " ") for name in names)))
        rows = tuple(Row((block, *(str(found[name]) for name in names))) for block, found in self.parts.items())
        told = (
            f"Features are linked if their directions have a cosine above {study.max_cosine:g} in one block, or their "
            f"activations on {study.n_linked_by} images a correlation above {study.max_correlation:g} in two; what "
            "links join, directly or by others, is a cluster, and belongs to one part whole."
        )
        yield Section("Features", "", (Sentence(told),), (Table(columns, rows),))
        blocks = [each.name for each in study.blocks]
        strengths = tuple(
            Row((method, each.size, *(_strength(self.strengths.get((method, each.size, block))) for block in blocks)))
            for method in study.grids
            for each in study.explainers
        )
        columns = (
            Column("method", is_words=True),
            Column("explainer", is_words=True),
            *(Column(f"block {block}") for block in blocks),
        )
        minutes = sum(self.seconds.values()) / 60
        commit = f" Commit {' and '.join(self.commits)}." if self.commits else ""
        made = Sentence(f"The whole study took {minutes:.0f} minutes.{commit}")
        yield Section("Strengths", ", chosen on validation features", (), (Table(columns, strengths),), (made,))


def _targets(reading: Reading, sizes: Sequence[str]) -> Iterator[Target]:
    for score in JUDGED_BY:
        for size in sizes:
            lead = reading.lead(score, size, "hybrid")
            if lead is None or size not in TARGET_SIZES:
                continue
            controls, bound = _controls(reading, score, OURS, size), bound_of(lead.found.n)
            is_quiet = len(controls) == len(CONTROLS) and all(
                each.mean <= most_by_controls(score) for each in controls.values()
            )
            yield Target(lead, bound, controls, lead.found.difference.low > bound and is_quiet)


def _controls(reading: Reading, score: KnownScore, method: Method, size: str) -> dict[Control, Estimate]:
    return {
        control: mean
        for control in CONTROLS
        if score in JUDGED_BY and (mean := reading.mean(reading.values(score, method, size, control)))
    }


def _is_whole(lead: Lead) -> bool:
    return lead.block == ALL and lead.group == "test"


def _mean_of(seconds: Mapping[str, float], start: str) -> float:
    found = [each for name, each in seconds.items() if name.startswith(start)]
    return sum(found) / max(1, len(found))


def _mean_cells(mean: Estimate | None) -> tuple[str, str]:
    return (_NOT_THERE, _NOT_THERE) if mean is None else (number(mean.mean), from_to(mean))


def _strength(strength: Strength | None) -> str:
    return _NOT_THERE if strength is None else f"{strength.value:g} {strength.unit}"
