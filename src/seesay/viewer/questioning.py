"""The addresses at which the models are asked: answers come line by line, as they are found."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from seesay.errors import FeatureNotFound, UnreadableImage
from seesay.explainers.config import Empty, Positions
from seesay.records import MOST_SIGHTED, Method, Mode, SightingOrder, Strength, StrengthUnit
from seesay.store.bookmarks import LONGEST_TITLE, bookmark, bookmarks, no_bookmark, remove_bookmark
from seesay.store.run import Run
from seesay.viewer.brought import Brought
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.forms import json_of, told_as_json
from seesay.viewer.interface import LARGEST_NUMBER, NONE_IF_EMPTY, MaybeHash, Number, refusals
from seesay.viewer.laboratory import Laboratory
from seesay.viewer.pages import Pages
from seesay.viewer.pushes import LONGEST_PROMPT, Push, push_of
from seesay.viewer.worker import Job

LINES = "application/x-ndjson"

_log = logging.getLogger(__name__)

_InPath = Annotated[int, Path(ge=0, le=LARGEST_NUMBER)]
_HASH = "^[0-9a-f]{64}$"
_SENT = refusals(_403="A page of another site asks.", _413="It is too large.", _415="It is something else.")
_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line of JSON for each thing that is told: waiting (a place in the queue), what is found so "
        "far, and at last the result, or why there is none (refused).",
        "content": {LINES: {"schema": {"type": "string"}}},
    },
    **_SENT,
    **refusals(_429="Too many wait: ask again later."),
}
_KEPT = {**_SENT, **refusals(_409="The run cannot be written.")}


class Question(BaseModel):
    """What a picture activates."""

    model_config = ConfigDict(extra="forbid")

    picture: Annotated[str, Field(pattern=_HASH)]
    run: Number = 0
    n: Annotated[int, Field(ge=1, le=MOST_SIGHTED)] = 30
    order: SightingOrder = "activation"


class Found(BaseModel):
    """What is to be kept."""

    model_config = ConfigDict(extra="forbid")

    result: Annotated[str, Field(max_length=40)]
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_TITLE)]


class Begun(BaseModel):
    """What the address of the laboratory begins with; see [seesay.viewer.pushes.Push][]."""

    run: Number = 0
    feature: Number = 0
    strength: Annotated[float, Field(allow_inf_nan=False)] | None = None
    unit: StrengthUnit | None = None
    along: Annotated[str, Field(max_length=400)] = ""
    layer: Annotated[Number | None, NONE_IF_EMPTY] = None
    method: Method = "steering"
    mode: Annotated[Mode | None, NONE_IF_EMPTY] = None
    empty: Empty = "white"
    positions: Positions = "all"
    picture: MaybeHash = ""
    prompt: Annotated[str, Field(max_length=LONGEST_PROMPT)] = ""
    random: bool = False
    temperature: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    max_new_tokens: int = 64
    seed: int = 0

    def push(self, usual: Strength) -> Push:
        """The same with one strength.

        Args:
            usual: the strength, where none is given.
        """
        given = self.model_dump(exclude={"strength", "unit"})
        value = usual.value if self.strength is None else self.strength
        return Push(**given, strengths=(value,), unit=self.unit or usual.unit)


def questioning_of(catalogue: Catalogue, pages: Pages, brought: Brought, laboratory: Laboratory | None) -> APIRouter:
    """Make the addresses.

    Args:
        catalogue: of the runs.
        pages: for people.
        brought: pictures of people's own.
        laboratory: asks the models; None if they are not loaded: what was kept can be looked at, and nothing asked.
    """
    router = APIRouter(
        responses=refusals(_404="There is none.", _422="That was not understood.", _500="It is damaged.")
    )
    _add_pages(router, catalogue, pages, brought, laboratory)
    _add_bookmarks(router, catalogue)
    if laboratory is not None:
        _add_questions(router, laboratory)
    return router


def _add_questions(router: APIRouter, laboratory: Laboratory) -> None:
    def told(request: Request, job: Job) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            async for news in laboratory.worker.follow(job, request.is_disconnected):
                yield json.dumps(news, allow_nan=False) + "\n"

        return StreamingResponse(lines(), media_type=LINES)

    @router.post(
        "/api/ask",
        summary="Which features a picture activates.",
        openapi_extra=told_as_json(Question),
        responses=_LINES,
        response_class=Response,
    )
    def ask(request: Request, question: Annotated[Question, Depends(json_of(Question))]) -> StreamingResponse:
        return told(request, laboratory.ask(question.run, question.picture, question.n, question.order))

    @router.post(
        "/api/steer",
        summary="What is said when a feature is pushed.",
        openapi_extra=told_as_json(Push),
        responses=_LINES,
        response_class=Response,
    )
    def steer(request: Request, push: Annotated[Push, Depends(json_of(Push))]) -> StreamingResponse:
        return told(request, laboratory.steer(push))

    @router.post("/api/bookmarks", summary="Keep what was said.", openapi_extra=told_as_json(Found), responses=_KEPT)
    def keep(found: Annotated[Found, Depends(json_of(Found))]) -> dict[str, int]:
        push = laboratory.answered(found.result).push
        kept = laboratory.keep(found.result, found.name)
        return {"run": push.run, "bookmark_id": kept.bookmark_id}


def _add_bookmarks(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get("/api/runs/{number}/bookmarks", summary="What was kept of a run, the latest first.")
    def kept(number: _InPath) -> list[dict[str, Any]]:
        with Run.open(catalogue.folder(number)) as run:
            return [asdict(each) for each in bookmarks(run)]

    @router.delete(
        "/api/runs/{number}/bookmarks/{bookmark_id}",
        summary="Forget what was kept.",
        responses=_KEPT,
    )
    def forget(number: _InPath, bookmark_id: _InPath) -> dict[str, int]:
        with Run.noting(catalogue.folder(number)) as run:
            if not remove_bookmark(run, bookmark_id):
                raise no_bookmark(bookmark_id)
        return {"bookmark_id": bookmark_id}


def _add_pages(
    router: APIRouter, catalogue: Catalogue, pages: Pages, brought: Brought, laboratory: Laboratory | None
) -> None:
    @router.get("/ask", include_in_schema=False)
    def ask(run: Number = 0, picture: MaybeHash = "", order: SightingOrder = "activation") -> HTMLResponse:
        return HTMLResponse(pages.ask(run, picture, order))

    @router.get("/steer", include_in_schema=False)
    def lab(begun: Annotated[Begun, Query()]) -> HTMLResponse:
        usual = laboratory.loaded(begun.run).strength if laboratory else Strength(1.0)
        return HTMLResponse(pages.lab(begun.push(usual)))

    @router.get("/steer/{number}/{bookmark_id}", include_in_schema=False)
    def kept(number: _InPath, bookmark_id: _InPath) -> HTMLResponse:
        with Run.open(catalogue.folder(number)) as run:
            found, picture = bookmark(run, bookmark_id)
        push = push_of(found, number)
        return HTMLResponse(pages.lab(replace(push, picture=_brought_again(brought, push, picture)), found))

    @router.post("/steer/{number}/{bookmark_id}/forget", include_in_schema=False)
    def forget(number: _InPath, bookmark_id: _InPath) -> RedirectResponse:
        with Run.noting(catalogue.folder(number)) as run:
            remove_bookmark(run, bookmark_id)  # or another window has, in the meantime
        return RedirectResponse(f"/steer?run={number}", 303)


def _brought_again(brought: Brought, push: Push, picture: bytes | None) -> str:
    """The name of a bookmark's picture, which is decoded only if it is not known any more; empty without one."""
    if picture is None:
        return ""
    try:
        brought.small(push.picture)
    except FeatureNotFound:
        try:
            return brought.take(picture)
        except UnreadableImage as error:  # which keeps nobody from reading what was said
            _log.warning("%s", error)
            return ""
    return push.picture
