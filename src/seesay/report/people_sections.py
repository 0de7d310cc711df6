"""What people say of a run as sections of words and tables."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from seesay.report.comparison_tables import SURE, from_to, number, pair_table, probability
from seesay.report.sections import Column, Row, Section, Sentence, Table

if TYPE_CHECKING:
    from seesay.comparison.opinions import Opinion, Opinions, RaterRecord, StudyRecord

_UNKNOWN = "-"
_BLIND = "Blind ratings"
_OPEN = "Open verdicts"


def people_sections(found: "Sequence[Opinions]", records: "Sequence[StudyRecord]") -> Iterator[Section]:
    """Everything, in the order in which one reads it.

    Args:
        found: what people say of methods.
        records: of studies.
    """
    for each in found:
        yield _of_methods(each)
    for each in records:
        yield _of_study(each)


def _of_methods(found: "Opinions") -> Section:
    title, subtitle = (
        (_BLIND, ", by method: right counts 1, partly 0.5, wrong 0")
        if found.is_blind
        else (_OPEN, ", by method: right counts 1, partly 0.5, wrong 0; whoever gave them saw whose words they are")
    )
    names = ["judged", "raters", "features", "mean", "95 % interval"]
    if found.is_blind:
        names += ["decoys", "above decoys", "p", f"Holm, {len(found.opinions)} tests"]
    rows = tuple(_of_method(each, found.is_blind) for each in found.opinions)
    tables = (Table((Column("method", is_words=True), *map(Column, names)), rows), pair_table(found.pairs))
    return Section(title, subtitle, tables=tables)


def _of_method(found: "Opinion", is_blind: bool) -> Row:
    mean = found.estimate
    cells = [found.contender, str(found.n), str(found.n_raters), str(mean.n), number(mean.mean), from_to(mean)]
    against = found.against
    if is_blind:
        cells.append(_UNKNOWN if found.decoys is None else f"{number(found.decoys.mean)}\nof {found.decoys.n}")
        cells += (
            [_UNKNOWN] * 3
            if against is None or found.adjusted is None
            else [
                f"{against.difference.mean:+.3f}\n{from_to(against.difference)}",
                probability(against.p_value),
                probability(found.adjusted),
            ]
        )
    is_sure = found.adjusted is not None and found.adjusted < SURE
    return Row(tuple(cells), "strong" if is_sure else "plain")


def _of_study(record: "StudyRecord") -> Section:
    names = ("rated", "decoys called right", "seconds each")
    rows = tuple(_of_rater(each, record.n_items) for each in record.raters)
    alpha = record.alpha
    agreement = (
        "Nothing can be said yet of how far raters agree."
        if alpha is None
        else f"Raters agree by an ordinal alpha (Krippendorff's) of {alpha.value:.2f}, {alpha.low:.2f} to "
        f"{alpha.high:.2f}, on {alpha.n} items that are no decoys."
    )
    return Section(
        f"Study {record.name}",
        f", {record.n_items} items of {record.n_features} features, {record.n_decoys} of them decoys",
        sentences=(Sentence(agreement),),
        tables=(Table((Column("rater", is_words=True), *map(Column, names)), rows),),
    )


def _of_rater(found: "RaterRecord", n_items: int) -> Row:
    share = f"{found.n_fooled} of {found.n_decoys}" if found.n_decoys else _UNKNOWN
    seconds = _UNKNOWN if found.seconds is None else f"{found.seconds:.0f}"
    return Row((found.name, f"{found.n} of {n_items}", share, seconds))
