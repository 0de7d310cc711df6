"""A comparison's numbers as tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from seesay.report.sections import Column, Row, Table

if TYPE_CHECKING:
    from seesay.comparison.contender import AidName
    from seesay.comparison.results import Agreement, Comparison, Group, Kind, Pair, Standing
    from seesay.comparison.sureness import Sureness
    from seesay.statistics import Correlation, Estimate

AIDS: "tuple[AidName, ...]" = ("random", "permuted", "constant")
SURE = 0.05
"""A corrected p value below which a difference counts."""

_NOT_SCORED = "-"
_LARGE, _RARE = 100.0, 0.001


def standing_table(standing: "Standing") -> Table:
    """All contenders by one number, with what stands beside each.

    Args:
        standing: of that number.
    """
    columns = [Column("method" if standing.of_words else "", is_words=True), Column("mean")]
    columns += [Column("95 % interval", is_whole=True), Column("explained")]
    if standing.of_words:
        columns += [Column(aid, is_faint=True) for aid in AIDS]
    is_pooled = any(row.pooled is not None for row in standing.rows)
    if is_pooled:
        columns.append(Column("one ROC", is_whole=True))
    rows: list[Row] = []
    for row in standing.rows:
        found = row.estimate
        cells = [row.contender, number(found.mean), from_to(found), str(row.n_explained)]
        if standing.of_words:
            cells += [_of_aid(row.aids.get(aid), found.n) for aid in AIDS]
        if is_pooled:
            cells.append(_NOT_SCORED if row.pooled is None else number(row.pooled))
        rows.append(Row(tuple(cells)))
    return Table(tuple(columns), tuple(rows))


def pair_table(pairs: "Sequence[Pair]") -> Table:
    """All pairs of contenders, with their tests.

    Args:
        pairs: by one number.
    """
    names = ("mean", "95 % interval", "effect", "p", f"Holm, {len(pairs)} tests")
    rows = [
        Row(
            (
                f"{pair.first} - {pair.second}",
                f"{pair.difference.mean:+.3f}"
                if abs(pair.difference.mean) < _LARGE
                else f"{pair.difference.mean:+.4g}",
                from_to(pair.difference),
                f"{pair.effect:+.2f}",
                probability(pair.p_value),
                probability(pair.adjusted),
            ),
            "strong" if pair.adjusted < SURE else "plain",
        )
        for pair in pairs
    ]
    return Table((Column("difference", is_words=True), *map(Column, names)), tuple(rows))


def group_table(standings: "Sequence[Standing]", kind: "Kind") -> Table:
    """Contenders by parts of the features.

    Args:
        standings: of some numbers, all divided in one way.
        kind: which way.
    """
    names = list(dict.fromkeys(group.name for each in standings for group in each.groups[kind]))
    rows: list[Row] = []
    for standing in standings:
        groups = [{group.name: group for group in standing.groups[kind]}.get(name) for name in names]
        rows.append(Row((standing.title, "features", *map(_n_features, groups)), "faint"))
        rows += [
            Row(("", row.contender, *(_of_group(group, place) for group in groups)))
            for place, row in enumerate(standing.rows)
        ]
    return Table((*_words("score", "method"), *map(Column, names)), tuple(rows))


def agreement_table(agreements: "Mapping[str, Agreement | None]") -> Table:
    """How far each number agrees with the truth, or with people.

    Args:
        agreements: of each number, by its title; numbers without one are left out.
    """
    found = [(title, each) for title, each in agreements.items() if each is not None]
    names = list(dict.fromkeys(name for _, agreement in found for name in agreement.by_contender))
    rows: list[Row] = []
    for title, agreement in found:
        cells = [_of_correlation(agreement.by_contender.get(name)) for name in names]
        # Methods often say the same of a feature, so that its p value would be too small.
        pooled = _NOT_SCORED if agreement.pooled is None else f"{agreement.pooled.rho:+.2f}"
        rows.append(Row((title, str(agreement.n), *cells, pooled)))
    return Table((*_words("score"), *map(Column, ("features", *names, "pooled"))), tuple(rows))


def curve_table(comparison: "Comparison") -> Table:
    """Score against strength.

    Args:
        comparison: what came of comparing.
    """
    rows = [
        Row(
            (
                "" if place else standing.title,
                "" if place else curve.name,
                f"{point.strength:g} {curve.unit}",
                number(point.estimate.mean),
                from_to(point.estimate),
                *(_NOT_SCORED if aid not in point.aids else number(point.aids[aid].mean) for aid in AIDS),
            )
        )
        for standing in comparison.standings
        for curve in standing.curves
        for place, point in enumerate(curve.points)
    ]
    beside = (Column(aid, is_faint=True) for aid in AIDS)
    names = ("strength", "mean", "95 % interval")
    return Table((*_words("score", "method"), *map(Column, names), *beside), tuple(rows))


def sureness_table(sure: "Sequence[Sureness]") -> Table:
    """How many explanations of each contender are how sure.

    Args:
        sure: of each; not empty.
    """
    names = (*(f"{threshold:.0%}" for threshold in sure[0].n_kept), "of", "not known")
    rows = [
        Row(
            (
                each.contender,
                *(f"{n} ({n / each.n:.0%})" for n in each.n_kept.values()),
                str(each.n),
                str(each.n_without),
            )
        )
        for each in sure
    ]
    return Table((*_words("method"), *map(Column, names)), tuple(rows))


def number(value: float) -> str:
    """A score as a text.

    Args:
        value: a finite number.
    """
    return f"{value:.3f}" if abs(value) < _LARGE else f"{value:.4g}"


def probability(value: float) -> str:
    """A p value as a text.

    Args:
        value: 0 to 1.
    """
    return f"< {_RARE}" if value < _RARE else f"{value:.3f}"


def _words(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, is_words=True) for name in names)


def from_to(found: "Estimate") -> str:
    """An interval as a text.

    Args:
        found: of any number of features.
    """
    from seesay.comparison.results import FEW

    if found.n < FEW:
        return "too few"
    return f"{number(found.low)} to {number(found.high)}"


def _interval(found: "Estimate") -> str:
    from seesay.comparison.results import FEW

    if found.n < FEW:
        return f"{number(found.mean)}\nof {found.n}"
    if found.low == found.high:
        return f"{number(found.mean)}\nall alike"
    return f"{number(found.mean)}\n{_short(found.low)} {_short(found.high)}"


def _short(value: float) -> str:
    """The end of an interval, where there is little room."""
    return f"{value:.2f}".replace("0.", ".") if abs(value) < 1 else f"{value:.3g}"


def _of_aid(found: "Estimate | None", n: int) -> str:
    if found is None:
        return _NOT_SCORED
    return _interval(found) + ("" if found.n == n else f" n={found.n}")


def _of_group(group: "Group | None", place: int) -> str:
    found = None if group is None else group.estimates[place]
    if group is None or found is None:
        return _NOT_SCORED
    beside: Mapping[AidName, float] = group.aids[place]
    told = " ".join(_short(beside[aid]) if aid in beside else _NOT_SCORED for aid in AIDS)
    return f"{_interval(found)}\n({told})" if beside else _interval(found)


def _n_features(group: "Group | None") -> str:
    return str(max((each.n for each in group.estimates if each is not None), default=0)) if group else "0"


def _of_correlation(found: "Correlation | None") -> str:
    return _NOT_SCORED if found is None else f"{found.rho:+.2f}\np {probability(found.p_value).replace(' ', '')}"
