"""The report: claims with what speaks for and against them, what was done, and what explanations hang on."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from seesay.comparison.results import plain
from seesay.report.comparison_tables import from_to, number, probability
from seesay.report.sections import Column, Row, Section, Sentence, Table
from seesay.reproduction.changes import Change
from seesay.reproduction.claims import ALL, Claim, Figure
from seesay.reproduction.protocol import Protocol, called
from seesay.reproduction.reading import Beside, Measured
from seesay.scorers.config import SCORES
from seesay.statistics import Estimate

_NOT_THERE = "-"


@final
@dataclass(frozen=True, eq=False)
class Made:
    """What made a report.

    Args:
        version: of seesay.
        commits: of the sources that did the steps; empty if they are no checkout.
        seed: of everything random.
        machine: number format, device and threads, in words.
        seconds: that each step took.
    """

    version: str
    commits: tuple[str, ...]
    seed: int
    machine: str
    seconds: Mapping[str, float]


@final
@dataclass(frozen=True, eq=False)
class Report:
    """All that is reported.

    Args:
        protocol: that was followed.
        claims: that were judged.
        measured: of every score.
        strengths: that were chosen, in words, by block and way.
        changes: of the ablations; empty if they were not asked for.
        ablated: the block and the explainer of the ablations, in words.
        made: by whom and how.
    """

    protocol: Protocol
    claims: Sequence[Claim]
    measured: Sequence[Measured]
    strengths: Mapping[str, Mapping[str, str]]
    changes: Sequence[Change]
    ablated: str
    made: Made

    def in_short(self) -> Iterator[Section]:
        """The claims, and what decides them."""
        yield Section("The claims", sentences=(self._opening(),), tables=(_verdicts(self.claims),))
        for claim in self.claims:
            yield _of_claim(claim)

    def sections(self) -> Iterator[Section]:
        """Everything, in the order in which one reads it."""
        yield from self.in_short()
        for claim in self.claims:
            others = [each for each in claim.figures if not each.decides]
            if others:
                yield Section(f"Claim {claim.number}, by block and explainer", tables=(_figures(others),))
        for each in self.measured:
            yield self._of_score(each)
        yield self._features()
        if self.changes:
            yield from self._ablations()
        yield from self._protocol()

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "claims": [{**plain(each), "figures": [plain(figure) for figure in each.figures]} for each in self.claims],
            "scores": {
                each.numbers.score: {
                    "n": len(each.numbers.blocks),
                    "n_by_block": {block: int(each.numbers.within(block).sum()) for block in each.numbers.parts},
                    "ways": [_as_json(beside) for beside in each.standings],
                }
                for each in self.measured
            },
            "ablations": [plain(each) for each in self.changes],
            "strengths": {block: dict(found) for block, found in self.strengths.items()},
            "protocol": plain(self.protocol),
            "made_by": asdict(self.made),
        }

    def _opening(self) -> Sentence:
        seeds = self.protocol.n_seeds
        explained = ", ".join(self.protocol.sizes)
        trained = f"{seeds} trainings of each size" if seeds > 1 else "one training of each size"
        return Sentence(
            f"Claims of arXiv 2603.22593, on {self.protocol.name}: explainers {explained} ({trained}), blocks "
            f"{', '.join(each.name for each in self.protocol.blocks)}. The rules stand in the code and were fixed"
            " before the run; all figures are of test features, on which nothing was chosen."
        )

    def _of_score(self, found: Measured) -> Section:
        score = found.numbers.score
        rows = [
            Row((*_way(each), number(each.mean.mean), from_to(each.mean), *_aids(each))) for each in found.standings
        ]
        columns = (
            Column("method", is_words=True),
            Column("explainer", is_words=True),
            Column("mean"),
            Column("95 % interval", is_whole=True),
            *(Column(aid, is_faint=True) for aid in ("random", "permuted", "constant")),
        )
        measure, n = SCORES[score], len(found.numbers.blocks)
        chance = measure.chance
        told = () if chance is None else (Sentence(f"Words that say nothing get {chance:g}.", "faint"),)
        fewer = {aid: each.n for beside in found.standings for aid, each in beside.aids.items() if each.n < n}
        told += tuple(Sentence(f"{aid}: of {n_aid} of these features.", "faint") for aid, n_aid in fewer.items())
        return Section(f"{score}: {measure.what}", f", {n} features", told, (Table(columns, tuple(rows)),))

    def _features(self) -> Section:
        """How many features there are of each level, by block."""
        if not self.measured:
            return Section("Features")
        numbers = self.measured[0].numbers
        levels = tuple(dict.fromkeys(numbers.levels))
        rows: list[Row] = []
        for block in numbers.parts:
            is_in = numbers.within(block)
            counts = [
                sum(bool(here) and each == level for here, each in zip(is_in, numbers.levels, strict=True))
                for level in levels
            ]
            rows.append(Row((block, str(int(is_in.sum())), *map(str, counts))))
        columns = (
            Column("block", is_words=True),
            Column("features"),
            *(Column(each or "not known") for each in levels),
        )
        by = "of the concept that fits best" if self.protocol.labeller is None else "of most of what is said of them"
        return Section(f"Test features with {numbers.score}, by level {by}", tables=(Table(columns, tuple(rows)),))

    def _ablations(self) -> Iterator[Section]:
        scores = tuple(dict.fromkeys(each.score for each in self.changes))
        columns = (Column("changed", is_words=True), Column("to", is_words=True), Column("method", is_words=True))
        for score in scores:
            names = (score, "difference", "95 % interval", "features")
            found = [each for each in self.changes if each.score == score]
            yield Section(
                f"One thing changed, by {score}",
                f", {self.ablated}",
                (Sentence("Differences are from the same method as the protocol has it, on the same features."),),
                (Table((*columns, *map(Column, names)), tuple(map(_change, found))),),
            )

    def _protocol(self) -> Iterator[Section]:
        protocol, made = self.protocol, self.made
        total = sum(made.seconds.values())
        commit = f", commit {' and '.join(made.commits)}" if made.commits else ""
        told = [
            f"seesay {made.version}{commit}, seed {made.seed}.",
            f"Subject {protocol.subject}; images {protocol.images}, at most {protocol.n_images}; strengths on at most "
            f"{protocol.n_validation} validation features; answers of at most {protocol.max_new_tokens} tokens.",
            f"Computed on {made.machine} in {total / 60:.0f} minutes; times differ from run to run, all else does not.",
        ]
        explainers = tuple(dict.fromkeys(way for found in self.strengths.values() for way in found))
        rows = [Row((way, *(found.get(way, _NOT_THERE) for found in self.strengths.values()))) for way in explainers]
        columns = (Column("strength", is_words=True), *(Column(f"block {block}") for block in self.strengths))
        yield Section("How it was made", "", tuple(map(Sentence, told)), (Table(columns, tuple(rows)),))
        kinds: Counter[str] = Counter()
        for name, seconds in made.seconds.items():
            kinds[name.split(",")[0].split(":")[0]] += round(seconds)
        steps = tuple(Row((name, str(seconds))) for name, seconds in kinds.items())
        said = Sentence("With loading models, and in the step that first asks for it with looking up the truth.")
        yield Section("What it took", "", (said,), (Table((Column("step", is_words=True), Column("seconds")), steps),))


def _as_json(beside: Beside) -> dict[str, Any]:
    method, size, seed = beside.way
    return {
        "method": method,
        "explainer": size,
        "seed": seed,
        "mean": plain(beside.mean),
        "beside": {aid: plain(each) for aid, each in beside.aids.items()},
    }


def _verdicts(claims: Sequence[Claim]) -> Table:
    columns = (Column("", is_words=True), Column("claim", is_words=True), Column("verdict", is_words=True))
    return Table(columns, tuple(Row((str(each.number), each.claim, each.verdict), "strong") for each in claims))


def _of_claim(claim: Claim) -> Section:
    told = (Sentence(claim.rule, "faint"), *(Sentence(f"{each}.") for each in claim.reasons))
    decisive = [each for each in claim.figures if each.decides]
    remarks: list[Sentence] = []
    if claim.ratios:
        ratios = ", ".join(
            f"{middle:.2f} ({least:.2f} to {most:.2f}; {'all explainers' if size == ALL else size})"
            for size, (least, middle, most) in claim.ratios.items()
        )
        remarks.append(
            Sentence(
                f"Seconds that the hybrid takes, as multiples of Top-k's: {ratios}; the middle of some rounds, with the"
                " least and the largest. Choosing its strength, once for each explainer and block, comes on top."
            )
        )
    return Section(
        f"Claim {claim.number}: {claim.verdict}", f". {claim.claim}", told, (_decisive(decisive),), tuple(remarks)
    )


def _decisive(figures: Sequence[Figure]) -> Table:
    """What a rule looks at, all of it of all blocks and explainers."""
    names = ("mean", "95 % interval", "p", "features")
    columns = (Column("all blocks and explainers", is_words=True), *map(Column, names))
    rows = (_figure(each) for each in figures)
    scores = dict.fromkeys(each.score for each in figures)
    told = [f"{each.what}, {each.score}" if len(scores) > 1 else each.what for each in figures]
    return Table(columns, tuple(Row((what, *row.cells[4:])) for what, row in zip(told, rows, strict=True)))


def _figures(figures: Sequence[Figure]) -> Table:
    columns = (
        Column("difference", is_words=True),
        Column("score", is_words=True),
        Column("blocks", is_words=True),
        Column("explainer", is_words=True),
        Column("mean"),
        Column("95 % interval", is_whole=True),
        Column("p"),
        Column("features"),
    )
    return Table(columns, tuple(map(_figure, figures)))


def _figure(figure: Figure) -> Row:
    where = (figure.what, figure.score, figure.block, figure.explainer)
    found = figure.difference
    if found is None:
        return Row((*where, _NOT_THERE, _NOT_THERE, _NOT_THERE, "0"))
    p_value = _NOT_THERE if figure.p_value is None else probability(figure.p_value)
    interval = from_to(found) if found.n else _NOT_THERE
    return Row((*where, f"{found.mean:+.3f}", interval, p_value, str(found.n or _NOT_THERE)))


def _change(change: Change) -> Row:
    found: Estimate | None = change.difference
    told = (_NOT_THERE, _NOT_THERE) if found is None else (f"{found.mean:+.3f}", from_to(found))
    cells = (change.factor, change.value, change.method, number(change.mean.mean), *told, str(change.mean.n))
    return Row(cells, "strong" if change.factor == "base" else "plain")


def _way(beside: Beside) -> tuple[str, str]:
    method, size, seed = beside.way
    return method, called(size, seed)


def _aids(beside: Beside) -> tuple[str, ...]:
    return tuple(
        number(beside.aids[aid].mean) if aid in beside.aids else _NOT_THERE
        for aid in ("random", "permuted", "constant")
    )
