"""Blind studies as whoever runs them sees them: begun, handed to raters by links, and what comes of them."""

import csv
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from io import StringIO
from threading import Lock
from typing import Annotated, Any, Literal, final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from seesay.comparison.blind import StudyConfig, begin
from seesay.comparison.judgements import judgements, lines
from seesay.errors import InvalidSetting, SeesayError, UnusablePath
from seesay.explainers.config import METHODS
from seesay.records import Method
from seesay.store.explanations import settings
from seesay.store.run import Run
from seesay.store.studies import add_rater, ratings, sound_studies, study_of
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.forms import conflicts, form_of
from seesay.viewer.guard import LOOPBACK, RATING
from seesay.viewer.interface import Number, refusals
from seesay.viewer.judging import Name
from seesay.viewer.pages import Pages
from seesay.viewer.studied import Opened, Results

_REFUSALS = refusals(_404="There is no such study.", _422="That was not understood.", _500="The run is damaged.")
_TABLE: dict[int | str, dict[str, Any]] = {
    **_REFUSALS,
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
}

_MOST_KEPT = 64
"""Studies whose results are kept."""


class Begun(BaseModel):
    """What the form asks for that begins a study; see [seesay.comparison.blind.StudyConfig][]."""

    run: Number = 0
    name: Name = ""
    n_features: Number = StudyConfig.n_features
    n_images: Number = StudyConfig.n_images
    n_decoys: Number = StudyConfig.n_decoys
    methods: tuple[Method, ...] = ()
    seed: Number = StudyConfig.seed

    def config(self) -> StudyConfig:
        """The same as a study takes it; no method stands for all of them.

        Raises:
            InvalidSetting: a number that cannot be.
        """
        methods = tuple(dict.fromkeys(self.methods)) or None
        return StudyConfig(self.name, self.n_features, self.n_images, self.n_decoys, methods, self.seed)


class Invited(BaseModel):
    """Who is to judge, and whether it is the one who asks."""

    name: Name
    then: Literal["judge", "link"] = "link"


@final
class _Kept:
    """What came of a study, and when; whoever computes it holds the lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.state: object = None
        self.results = Results()


@final
class Studies:
    """The studies of some runs.

    Args:
        catalogue: of the runs.
        pages: that they are shown on.
    """

    def __init__(self, catalogue: Catalogue, pages: Pages) -> None:
        self._catalogue, self._pages = catalogue, pages
        self._kept: OrderedDict[tuple[int, int], _Kept] = OrderedDict()
        self._finding = Lock()

    def all(self, asked: Begun | None = None, problem: str = "") -> str:
        """The studies of all runs, and a form to begin another one.

        Args:
            asked: what the form holds.
            problem: why what it held could not be begun.
        """
        found: list[tuple[int, Sequence[Opened], Sequence[str]]] = []
        for number, folder in enumerate(self._catalogue.folders):
            try:
                with Run.open(folder) as run:
                    opened, problems = _sound(run)
            except UnusablePath as error:  # of one run, which keeps no other from being shown
                opened, problems = [], [error]
            found.append((number, opened, [self._catalogue.told(each) for each in problems]))
        methods = self._catalogue.present().methods
        return self._pages.rendered(
            "studies.html",
            found=found,
            asked=asked or Begun(),
            problem=problem,
            methods=[method for method in METHODS if method in methods],
        )

    def begin(self, asked: Begun) -> str:
        """Begin a study.

        Args:
            asked: which.

        Returns:
            The address of its page.

        Raises:
            SeesayError: it cannot be.
        """
        with Run.noting(self._catalogue.folder(asked.run)) as run:
            study = begin(run, asked.config())
        return f"/runs/{asked.run}/studies/{study.study_id}"

    def read(self, number: int, study_id: int) -> Opened:
        """Read a study.

        Args:
            number: of the run.
            study_id: of the study.

        Raises:
            FeatureNotFound: there is none.
            UnusablePath: what the run says is damaged.
        """
        with Run.open(self._catalogue.folder(number)) as run:
            return Opened.of(run, study_of(run, study_id))

    def one(self, number: int, study_id: int, request: Request) -> str:
        """A study's page.

        Args:
            number: of the run.
            study_id: of the study.
            request: by which it is asked for: links to raters' pages begin the same way.

        Raises:
            FeatureNotFound: there is none.
            UnusablePath: what the run says is damaged.
        """
        opened = self.read(number, study_id)
        return self._pages.rendered(
            "study.html",
            number=number,
            opened=opened,
            results=self.results(number, opened),
            facts=_told(opened.study.facts),
            address=str(request.base_url).rstrip("/") + RATING,
            is_local=request.url.hostname in LOOPBACK,
        )

    def results(self, number: int, opened: Opened) -> Results:
        """What comes of a study, computed again only after something has changed, once for all who ask meanwhile.

        Args:
            number: of the run.
            opened: the study.
        """
        if not opened.ratings:
            return Results()
        kept = self._kept_of(number, opened.study.study_id)
        with kept.lock:
            try:
                with Run.open(self._catalogue.folder(number)) as run:
                    # Read again: whoever waited would compute what is past by now.
                    state = (self._catalogue.version, tuple(ratings(run, opened.study.study_id)))
                    if kept.state != state:
                        kept.results = self._computed(run, opened)
                        kept.state = state
            except UnusablePath as error:
                return Results(problem=self._catalogue.told(error))
            return kept.results

    def _kept_of(self, number: int, study_id: int) -> "_Kept":
        with self._finding:
            kept = self._kept.setdefault((number, study_id), _Kept())
            self._kept.move_to_end((number, study_id))
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return kept

    def _computed(self, run: Run, opened: Opened) -> Results:
        try:
            return Results.of(run, opened.study)
        except (InvalidSetting, UnusablePath) as error:
            return Results(problem=self._catalogue.told(error))

    def table(self, number: int, study_id: int | None = None) -> str:
        """All that people say as lines for spreadsheets and scripts.

        Args:
            number: of the run.
            study_id: of the study; None for all of them, and verdicts that were given openly.

        Raises:
            FeatureNotFound: there is none.
            UnusablePath: what the run says is damaged.
        """
        study = None if study_id is None else self.read(number, study_id).study
        with Run.open(self._catalogue.folder(number)) as run:
            rows = list(lines(judgements(run, study), settings(run)))
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def invite(self, number: int, study_id: int, invited: Invited) -> str:
        """Let somebody judge.

        Args:
            number: of the run.
            study_id: of the study.
            invited: who.

        Returns:
            The address to go on at.

        Raises:
            FeatureNotFound: there is no such study.
            HTTPException: the run cannot be written.
        """
        self.read(number, study_id)
        with conflicts(self._catalogue), Run.noting(self._catalogue.folder(number)) as run:
            rater = add_rater(run, study_id, invited.name)
        return f"{RATING}{rater.key}" if invited.then == "judge" else f"/runs/{number}/studies/{study_id}#raters"

    def told(self, error: SeesayError) -> str:
        """See [seesay.viewer.catalogue.Catalogue.told][]."""
        return self._catalogue.told(error)


def studying_of(found: Studies) -> APIRouter:
    """Make the addresses.

    Args:
        found: the studies.
    """
    router = APIRouter()
    of_one = "/runs/{number}/studies/{study_id}"

    @router.get("/studies", include_in_schema=False)
    def shelf() -> HTMLResponse:
        return HTMLResponse(found.all())

    @router.post("/studies", include_in_schema=False, response_model=None)
    def begun(asked: Annotated[Begun, Depends(form_of(Begun))]) -> HTMLResponse | RedirectResponse:
        try:
            return RedirectResponse(found.begin(asked), 303)
        except SeesayError as error:  # what was typed is not lost
            status = 409 if isinstance(error, UnusablePath) else 422
            return HTMLResponse(found.all(asked, found.told(error)), status)

    @router.get(of_one, include_in_schema=False)
    def page(number: int, study_id: int, request: Request) -> HTMLResponse:
        return HTMLResponse(found.one(number, study_id, request))

    @router.post(f"{of_one}/raters", include_in_schema=False)
    def invited(number: int, study_id: int, who: Annotated[Invited, Depends(form_of(Invited))]) -> RedirectResponse:
        return RedirectResponse(found.invite(number, study_id, who), 303)

    @router.get(
        f"/api{of_one}.csv",
        summary="What raters say in a blind study, a line for each time.",
        response_class=Response,
        responses=_TABLE,
    )
    def table(number: int, study_id: int) -> Response:
        return _as_table(found.table(number, study_id), f"study-{number}-{study_id}.csv")

    @router.get(
        "/api/runs/{number}/judgements.csv",
        summary="All that people say of a run's words, openly and blindly, a line for each time.",
        response_class=Response,
        responses=_TABLE,
    )
    def everything(number: int) -> Response:
        return _as_table(found.table(number), f"judgements-{number}.csv")

    @router.get(f"/api{of_one}", summary="A blind study, and what raters say in it.", responses=_REFUSALS)
    def data(number: int, study_id: int) -> dict[str, Any]:
        opened = found.read(number, study_id)
        return {**opened.as_json(), "results": found.results(number, opened).numbers}

    return router


def _sound(run: Run) -> tuple[list[Opened], list[UnusablePath]]:
    """All studies but those that are damaged, and what is wrong with these."""
    found: list[Opened] = []
    there, problems = sound_studies(run)
    for each in there:
        try:
            found.append(Opened.of(run, each))
        except UnusablePath as error:
            problems.append(error)
    return found, problems


def _as_table(text: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv", headers=headers)


def _told(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How items were chosen, as far as a line tells it; facts may be a stranger's."""
    return [
        (name.removeprefix("n_").replace("_", " "), str(value))
        for name, value in facts.items()
        if isinstance(value, int | float | str)
    ]
