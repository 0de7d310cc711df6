"""Verdicts: people say of what is said of a feature whether it is right, on its page or by a script."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, final, get_args

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from seesay.errors import FeatureNotFound
from seesay.records import Verdict
from seesay.report.features import Statement
from seesay.store.run import Run
from seesay.store.verdicts import LONGEST_NAME, LONGEST_NOTE, Judged, give, take_back, verdicts
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.forms import conflicts, form_of, json_of, told_as_json
from seesay.viewer.interface import LARGEST_NUMBER, Number, refusals

Name = Annotated[str, Field(max_length=4 * LONGEST_NAME)]
"""What people call themselves, before it is made one line."""

_LONGEST_WORDS = 10_000
"""Characters of what is judged; no explainer says as much."""

_REFUSALS = refusals(
    _403="A page of another site asks.",
    _404="There is no such run.",
    _409="The run cannot be written, or its words are others by now.",
    _413="It is too large.",
    _415="It is something else.",
    _422="That was not understood.",
)


class Said(BaseModel):
    """What a form says of an explanation; an empty verdict takes back what the same rater said before."""

    setting_id: Number
    sample: Number
    text: Annotated[str, Field(max_length=_LONGEST_WORDS)]
    rater: Name
    verdict: Verdict | Literal[""]
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""


class SaidOf(Said):
    """What a script says of an explanation."""

    model_config = ConfigDict(extra="forbid")

    feature_id: Number


@final
@dataclass(frozen=True)
class Judgeable:
    """An explanation, and what people say of it.

    Args:
        statement: the explanation.
        given: verdicts, by the names of whoever gave them.
    """

    statement: Statement
    given: Sequence[Judged]

    @property
    def counts(self) -> list[tuple[Verdict, int]]:
        """How many say what, of what anybody says."""
        counted = Counter(each.verdict for each in self.given)
        return [(verdict, counted[verdict]) for verdict in get_args(Verdict) if counted[verdict]]


def judgeable_of(run: Run, feature_id: int, statements: Sequence[Statement]) -> list[Judgeable]:
    """What can be judged of all that is said of a feature: words, and of no control.

    Args:
        run: may be a stranger's.
        feature_id: of the feature.
        statements: all that is said of it.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    own = [each for each in statements if each.status == "ok" and not each.control]
    given = verdicts(run, feature_id) if own else []
    return [
        Judgeable(each, [it for it in given if (it.setting_id, it.sample) == (each.setting_id, each.sample)])
        for each in own
    ]


def judging_of(catalogue: Catalogue) -> APIRouter:
    """Make the addresses.

    Args:
        catalogue: of the runs.
    """
    router = APIRouter()

    @router.post("/runs/{number}/features/{feature_id}/verdicts", include_in_schema=False)
    def judge(number: int, feature_id: int, said: Annotated[Said, Depends(form_of(Said))]) -> RedirectResponse:
        _keep(catalogue, number, feature_id, said)
        return RedirectResponse(f"/runs/{number}/features/{feature_id}#judged", 303)

    @router.get("/api/runs/{number}/verdicts", summary="What people say of a run's words.", responses=_READING)
    def given(number: int) -> list[dict[str, Any]]:
        with Run.open(catalogue.folder(number)) as run:
            return [asdict(each) for each in verdicts(run)]

    @router.post(
        "/api/runs/{number}/verdicts",
        summary="Say of words whether they are right; what people say of the feature comes back.",
        openapi_extra=told_as_json(SaidOf),
        responses=_REFUSALS,
    )
    def say(number: int, said: Annotated[SaidOf, Depends(json_of(SaidOf))]) -> list[dict[str, Any]]:
        _keep(catalogue, number, said.feature_id, said)
        with conflicts(catalogue), Run.open(catalogue.folder(number)) as run:
            return [asdict(each) for each in verdicts(run, said.feature_id)]

    return router


_READING = refusals(_404="There is no such run.", _422="That was not understood.", _500="The run is damaged.")


def _keep(catalogue: Catalogue, number: int, feature_id: int, said: Said) -> None:
    folder = catalogue.folder(number)
    if not 0 <= feature_id <= LARGEST_NUMBER:
        raise FeatureNotFound(f"feature {feature_id}", expected="one of the run")
    with conflicts(catalogue), Run.noting(folder) as run:
        if not said.verdict:
            take_back(run, said.setting_id, feature_id, said.sample, said.rater)
            return
        text = _as_kept(run, feature_id, said)
        give(run, Judged(said.setting_id, feature_id, said.sample, said.rater, text, said.verdict, said.note))


def _as_kept(run: Run, feature_id: int, said: Said) -> str:
    """The words with their lines ended as the run ends them, and not as browsers do when they send a form."""
    query = "SELECT text FROM explanations WHERE setting_id = ? AND feature_id = ? AND sample = ?"
    for (text,) in run.rows(query, (said.setting_id, feature_id, said.sample)):
        if isinstance(text, str) and _lines(text) == _lines(said.text):
            return text
    return said.text


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
