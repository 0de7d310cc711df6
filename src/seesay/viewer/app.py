"""The viewer's application: pages for people, the same as JSON for scripts, pictures for both."""

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from seesay import __version__
from seesay.errors import (
    Busy,
    FeatureNotFound,
    InvalidDecoding,
    InvalidSetting,
    InvalidStrength,
    LayerNotFound,
    SeesayError,
    UnknownChoice,
    UnreadableImage,
    UnreadablePrompt,
    UnusablePath,
)
from seesay.viewer.brought import Brought
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.comparing import Comparer
from seesay.viewer.guard import IN_FRAME, RATING, Guard, Guarded
from seesay.viewer.interface import FOR_EVER, Asked, interface_of
from seesay.viewer.judging import judging_of
from seesay.viewer.laboratory import Laboratory
from seesay.viewer.meaning import Meaning
from seesay.viewer.pages import Pages
from seesay.viewer.questioning import questioning_of
from seesay.viewer.rating import Desk, rating_of
from seesay.viewer.studying import Studies, studying_of

_NO_PAGES = ("/api/", "/pictures/", "/brought/", "/static/")
_UNASKABLE = (InvalidDecoding, InvalidSetting, InvalidStrength, LayerNotFound, UnknownChoice, UnreadablePrompt)


def create_app(
    catalogue: Catalogue, guard: Guard, meaning: Meaning | None = None, laboratory: Laboratory | None = None
) -> ASGIApp:
    """Make the application.

    Args:
        catalogue: of the runs that are shown; whoever serves keeps it up to date.
        guard: who is let in.
        meaning: where features are, for search by meaning; kept up to date likewise. None for search by words alone.
        laboratory: asks the runs' models; it holds the same brought pictures as `meaning`. None if they are not loaded.
    """
    app = FastAPI(title="seesay", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    brought = laboratory.brought if laboratory else meaning.brought if meaning else Brought()
    pages = Pages(catalogue, meaning, laboratory)
    _add_pages(app, pages)
    comparer = Comparer(catalogue)
    _add_comparison(app, pages, comparer)
    app.include_router(interface_of(catalogue, comparer, meaning, brought))
    app.include_router(questioning_of(catalogue, pages, brought, laboratory))
    app.include_router(judging_of(catalogue))
    app.include_router(studying_of(Studies(catalogue, pages)))
    desk = Desk(catalogue)
    app.include_router(rating_of(desk))
    _add_errors(app, pages, catalogue, desk)
    app.mount("/static", StaticFiles(packages=[("seesay.viewer", "static"), ("seesay.report", "static")]))
    return Guarded(app, guard)


def _add_pages(app: FastAPI, pages: Pages) -> None:
    @app.get("/", include_in_schema=False)
    def atlas(request: Request, asked: Annotated[Asked, Query()]) -> HTMLResponse:
        is_part = request.headers.get("hx-request") == "true" and not request.headers.get("hx-history-restore-request")
        return HTMLResponse(pages.atlas(asked.query(), is_part=is_part), headers={"vary": "HX-Request"})

    @app.get("/runs/{number}/features/{feature_id}", include_in_schema=False)
    def feature(number: int, feature_id: int) -> HTMLResponse:
        return HTMLResponse(pages.feature(number, feature_id))


def _add_comparison(app: FastAPI, pages: Pages, comparer: Comparer) -> None:
    @app.get("/compare", include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(pages.compare(comparer))

    @app.get("/compare/figure", include_in_schema=False)
    def figure() -> HTMLResponse:
        return HTMLResponse(pages.figure(), headers={"content-security-policy": IN_FRAME})

    @app.get("/compare/figure.json", include_in_schema=False)
    def drawn() -> Response:
        compared, _ = comparer.found()
        figure = compared.figure if compared and compared.figure else '{"data": [], "layout": {}}'
        return Response(figure, media_type="application/json")

    @app.get("/compare/plotly.js", include_in_schema=False)
    def plotly() -> Response:
        from plotly.offline import get_plotlyjs

        return Response(get_plotlyjs(), media_type="text/javascript", headers={"cache-control": FOR_EVER})


def _add_errors(app: FastAPI, pages: Pages, catalogue: Catalogue, desk: Desk) -> None:
    def told(request: Request, status: int, title: str, what: str) -> Response:
        path: str = request.scope["path"]
        if path.startswith(RATING):
            return HTMLResponse(desk.refusal(status), status)
        # a part of a page that is asked for anew puts what was refused where it fits
        if path.startswith(_NO_PAGES) or request.headers.get("hx-request") == "true":
            return JSONResponse({"detail": what}, status)
        return HTMLResponse(pages.error(status, title, what), status)

    @app.exception_handler(SeesayError)
    async def of_ours(request: Request, error: SeesayError) -> Response:  # pyright: ignore[reportUnusedFunction]
        if isinstance(error, UnreadableImage) and request.method == "POST":
            return told(request, 415, "That is no picture", catalogue.told(error))
        if isinstance(error, Busy):
            return told(request, 429, "Others are being answered", catalogue.told(error))
        if isinstance(error, FeatureNotFound | UnreadableImage):
            return told(request, 404, "There is no such thing", catalogue.told(error))
        if isinstance(error, _UNASKABLE):
            return told(request, 422, "That cannot be asked for", catalogue.told(error))
        if isinstance(error, UnusablePath) and request.method != "GET":
            return told(request, 409, "That cannot be kept", catalogue.told(error))
        return told(request, 500, "This run cannot be read", catalogue.told(error))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction]
        title = "There is no such page" if error.status_code == 404 else "That cannot be done"
        what = "Nothing is at this address." if error.status_code == 404 else str(error.detail)
        return told(request, error.status_code, title, what)

    @app.exception_handler(RequestValidationError)
    async def of_input(request: Request, error: RequestValidationError) -> Response:  # pyright: ignore[reportUnusedFunction]
        what = "; ".join(": ".join((*map(str, each["loc"][1:]), each["msg"])) for each in error.errors())
        return told(request, 422, "That was not understood", what)
