"""A blind study as it stands: how far its raters are, what they say, and what comes of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

from seesay.comparison.judgements import judgements
from seesay.comparison.opinions import opinions, study_records
from seesay.comparison.reading import read
from seesay.comparison.results import plain
from seesay.report.people_sections import people_sections
from seesay.report.sections import as_html
from seesay.store.run import Run
from seesay.store.studies import Rater, Rating, Study, StudyItem, raters, ratings, study_items


@final
@dataclass(frozen=True)
class Progress:
    """How far a rater is.

    Args:
        rater: who.
        n: items that the rater judged.
    """

    rater: Rater
    n: int


@final
@dataclass(frozen=True)
class Opened:
    """A study, and what was said in it.

    Args:
        study: which.
        items: what is judged.
        raters: who judges, and how far they are.
        ratings: what they say of these items.
    """

    study: Study
    items: Sequence[StudyItem]
    raters: Sequence[Progress]
    ratings: Sequence[Rating]

    @classmethod
    def of(cls, run: Run, study: Study) -> "Opened":
        """Read it.

        Args:
            run: may be a stranger's.
            study: of the run.

        Raises:
            UnusablePath: what the run says is damaged.
        """
        items = study_items(run, study.study_id)
        numbers = {each.number for each in items}
        said = [each for each in ratings(run, study.study_id) if each.item in numbers]
        counts = Counter(each.rater for each in said)
        progress = [Progress(each, counts[each.name]) for each in raters(run, study.study_id)]
        return cls(study, items, progress, said)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data, without what opens raters' pages."""
        return {
            **asdict(self.study),
            "items": [{**asdict(each), "is_decoy": each.is_decoy} for each in self.items],
            "raters": [{"name": each.rater.name, "n": each.n} for each in self.raters],
            "ratings": [asdict(each) for each in self.ratings],
        }


@final
@dataclass(frozen=True)
class Results:
    """What comes of a study.

    Args:
        tables: as HTML in which all is escaped.
        numbers: all of it as plain data.
        problem: why there is nothing; empty if there is.
    """

    tables: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    problem: str = ""

    @classmethod
    def of(cls, run: Run, study: Study) -> "Results":
        """Sum up what raters say.

        Args:
            run: may be a stranger's.
            study: of the run, in which something is judged.

        Raises:
            SeesayError: the run's words are gone, or damaged.
        """
        said = judgements(run, study)
        found = opinions(read([run], {"people"}, part="all", said=[said]), said)
        records = study_records(run, study)
        numbers = {"methods": plain(found), "studies": plain(records)}
        return cls(as_html(people_sections(found, records)), numbers)
