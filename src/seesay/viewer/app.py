"""The viewer's application: pages for people, the same as JSON for scripts, pictures for both."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, BeforeValidator, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from seesay import __version__
from seesay.cards import read_card
from seesay.errors import FeatureNotFound, SeesayError, UnreadableImage
from seesay.records import Level, Method, Split
from seesay.report.pictures import thumbnail
from seesay.store.run import Run
from seesay.viewer import searching
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.comparing import Comparer
from seesay.viewer.guard import IN_FRAME, Guard, Guarded
from seesay.viewer.pages import Pages

_LARGEST = 2**63 - 1
_FOR_EVER = "private, max-age=31536000, immutable"


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


_NoneIfEmpty = BeforeValidator(_none_if_empty)
"""A form sends empty what is not chosen."""

_Share = Annotated[Annotated[float, Field(ge=0, le=1)] | None, _NoneIfEmpty]


class Asked(BaseModel):
    """What an address asks for; see [seesay.viewer.searching.Query][]."""

    text: Annotated[str, Field(max_length=200)] = ""
    run: Annotated[Annotated[int, Field(ge=0, le=_LARGEST)] | None, _NoneIfEmpty] = None
    method: Annotated[Method | None, _NoneIfEmpty] = None
    level: Annotated[Level | None, _NoneIfEmpty] = None
    split: Annotated[Split | None, _NoneIfEmpty] = None
    least_sure: _Share = None
    score: Annotated[Annotated[str, Field(max_length=40)] | None, _NoneIfEmpty] = None
    at_least: Annotated[Annotated[float, Field(allow_inf_nan=False)] | None, _NoneIfEmpty] = None
    rarest: _Share = None
    commonest: _Share = None
    order: Annotated[str, Field(max_length=40)] = "id"
    ascending: bool = False
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    def query(self) -> searching.Query:
        """The same as the catalogue takes it."""
        return searching.Query(**self.model_dump())


def create_app(catalogue: Catalogue, guard: Guard) -> ASGIApp:
    """Make the application.

    Args:
        catalogue: of the runs that are shown; whoever serves keeps it up to date.
        guard: who is let in.
    """
    app = FastAPI(title="seesay", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    pages = Pages(catalogue)
    _add_pages(app, pages)
    _add_comparison(app, pages, Comparer(catalogue))
    _add_interface(app, catalogue)
    _add_errors(app, pages)
    app.mount("/static", StaticFiles(directory=str(files("seesay.viewer") / "static")))
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

        return Response(get_plotlyjs(), media_type="text/javascript", headers={"cache-control": _FOR_EVER})


def _add_interface(app: FastAPI, catalogue: Catalogue) -> None:
    def version() -> dict[str, int]:
        done, total = catalogue.progress
        return {"version": catalogue.version, "done": done, "total": total}

    def runs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for number, name in enumerate(catalogue.names):
            with Run.open(catalogue.folder(number)) as run:
                found.append({"number": number, "name": name, "of": run.subject})
        return found

    def features(asked: Annotated[Asked, Query()]) -> dict[str, Any]:
        found = searching.find(catalogue, asked.query())
        rows = [{name: row[name] for name in row.keys() if name != "place"} for row in found.rows]  # noqa: SIM118
        return {"n": found.n, "page": found.page, "n_pages": found.n_pages, "features": rows}

    def feature(number: int, feature_id: int) -> dict[str, Any]:
        with Run.open(catalogue.folder(number)) as run:
            return {"run": number, "feature_id": feature_id, **read_card(run, feature_id).as_json()}

    def picture(number: int, pixel_hash: str, side: Annotated[int | None, Query(ge=16, le=512)] = None) -> Response:
        with Run.open(catalogue.folder(number)) as run:
            data = thumbnail(run, pixel_hash, side)
        return Response(data, media_type="image/webp", headers={"cache-control": _FOR_EVER})

    missing: Mapping[int | str, dict[str, Any]] = {404: {"description": "There is none."}}
    for path, endpoint, summary in (
        ("/api/version", version, "Another number whenever anything has changed, and how far reading is."),
        ("/api/runs", runs, "The runs that are shown, and what each is of."),
        ("/api/features", features, "Features with the words that stand for each, a page at a time."),
        ("/api/runs/{number}/features/{feature_id}", feature, "All that is known of one feature."),
        ("/pictures/{number}/{pixel_hash}.webp", picture, "A thumbnail by the hash of its pixels."),
    ):
        app.get(path, summary=summary, responses=dict(missing), response_model=None)(endpoint)


def _add_errors(app: FastAPI, pages: Pages) -> None:
    def told(request: Request, status: int, title: str, what: str) -> Response:
        if request.url.path.startswith(("/api/", "/pictures/", "/static/")):
            return JSONResponse({"detail": what}, status)
        return HTMLResponse(pages.error(status, title, what), status)

    @app.exception_handler(SeesayError)
    async def of_ours(request: Request, error: SeesayError) -> Response:  # pyright: ignore[reportUnusedFunction]
        if isinstance(error, FeatureNotFound | UnreadableImage):
            return told(request, 404, "There is no such thing", str(error))
        return told(request, 500, "This run cannot be read", str(error))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction]
        title = "There is no such page" if error.status_code == 404 else "That cannot be done"
        return told(request, error.status_code, title, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def of_input(request: Request, error: RequestValidationError) -> Response:  # pyright: ignore[reportUnusedFunction]
        what = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
        return told(request, 422, "That was not understood", what)
