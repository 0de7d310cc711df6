"""The comparison of the runs' methods as the viewer shows it: computed beside the pages, once for each state."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np

from seesay.comparison.reading import Contest
from seesay.comparison.results import Standing
from seesay.errors import SeesayError, UnusablePath
from seesay.report.comparison_figures import figure_of
from seesay.report.evidence import read_evidence
from seesay.report.sections import as_html
from seesay.store.run import Run
from seesay.viewer.catalogue import Catalogue

_N_DIFFERING = 12
_SAID = "SELECT count(*), max(given_at), total(unicode(verdict)) FROM {}"


@final
@dataclass(frozen=True)
class Differing:
    """The features on which two methods differ most by a score.

    Args:
        score: its title.
        first: name of one method.
        second: name of the other.
        features: number of the run, the feature, and what each method has.
    """

    score: str
    first: str
    second: str
    features: Sequence[tuple[int, int, float, float]]


@final
@dataclass(frozen=True)
class Compared:
    """What came of it.

    Args:
        short: what tests say, as HTML in which all is escaped.
        tables: as HTML in which all is escaped.
        figure: plotly's, as JSON; None if there is nothing to be drawn.
        numbers: all of it as plain data.
        differing: for each score and pair of methods.
        problem: why there is nothing; empty if there is.
    """

    short: str = ""
    tables: str = ""
    figure: str | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    differing: Sequence[Differing] = ()
    problem: str = ""


@final
class Comparer:
    """Compares when somebody asks, and again only after something has changed.

    Args:
        catalogue: of the runs.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._found: tuple[object, Compared] | None = None
        self._is_running = False

    def found(self) -> tuple[Compared | None, bool]:
        """What was found last, None before the first time, and whether it is of the present state.

        Where it is not, it is being computed when this returns.
        """
        state = self._catalogue.version, *map(_said_in, self._catalogue.folders)
        with self._lock:
            is_new = self._found is not None and self._found[0] == state
            if not is_new and not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, args=(state,), name="comparing", daemon=True).start()
            return (self._found[1] if self._found else None), is_new

    def _run(self, state: object) -> None:
        found = Compared(problem="comparing failed; the terminal tells why")
        try:
            found = _compared(self._catalogue.folders, self._catalogue.names)
        except SeesayError as error:
            found = Compared(problem=self._catalogue.told(error))
        finally:
            with self._lock:  # both at once, or whoever asks in between would start it again
                self._found, self._is_running = (state, found), False


def _said_in(folder: Path) -> object:
    """Something else whenever people say something of a run, of which the catalogue knows nothing."""
    try:
        with Run.open(folder) as run:
            return [run.rows(_SAID.format(table)) for table in ("verdicts", "ratings")]
    except UnusablePath:
        return None


def _compared(folders: Sequence[Path], names: Sequence[str]) -> Compared:
    with ExitStack() as stack:
        evidence = read_evidence([stack.enter_context(Run.open(folder)) for folder in folders], names=names)
    told = evidence.compared()
    contest, comparison = told.contest, told.comparison
    of_words = [standing for standing in comparison.standings if standing.of_words]
    differing = [each for standing in of_words for each in _differing(contest, standing)]
    figure = figure_of(contest, comparison).to_json()
    short, tables = as_html(told.in_short()), as_html(told.sections(with_summary=False))
    return Compared(short, tables, figure, comparison.as_json(), differing)


def _differing(contest: Contest, standing: Standing) -> list[Differing]:
    values = {row.contender: row.values for row in standing.rows}
    found: list[Differing] = []
    for pair in standing.pairs:
        first, second = values[pair.first], values[pair.second]
        apart = np.abs(first - second)
        order = [place for place in np.argsort(-apart, kind="stable").tolist() if apart[place] > 0][:_N_DIFFERING]
        features = [
            (
                contest.origins[standing.keys[place].origin].places[0],
                standing.keys[place].feature_id,
                float(first[place]),
                float(second[place]),
            )
            for place in order
        ]
        found.append(Differing(standing.title, pair.first, pair.second, features))
    return found
