"""What scripts ask the viewer for: the same as its pages as JSON, and pictures; `/api/openapi.json` tells of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from seesay.cards import read_card
from seesay.records import Level, Method, Split
from seesay.report.pictures import thumbnail
from seesay.scorers.measures import NAME
from seesay.store.run import Run
from seesay.viewer import searching
from seesay.viewer.brought import LARGEST_FILE, Brought
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.comparing import Comparer
from seesay.viewer.meaning import Meaning, version_of

FOR_EVER = "private, max-age=31536000, immutable"
"""How long browsers keep what is another whenever its address is."""

LARGEST_NUMBER = 2**63 - 1
"""That a run holds."""

Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
"""Of a run, a feature, a setting or anything else that is counted."""


def none_if_empty(value: Any) -> Any:
    """None for what a form sends empty, as it was not chosen.

    Args:
        value: of a field.
    """
    return None if value == "" else value


NONE_IF_EMPTY = BeforeValidator(none_if_empty)

_Share = Annotated[Annotated[float, Field(ge=0, le=1)] | None, NONE_IF_EMPTY]
_PixelHash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
_Side = Annotated[int | None, Query(ge=16, le=512)]

_Score = Annotated[str, Field(pattern=f"^{NAME}$")]
"""The name of a score, seesay's or a user's own."""

MaybeHash = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
"""The name of a picture, or nothing."""


class Asked(BaseModel):
    """What an address asks for; see [seesay.viewer.searching.Query][]."""

    text: Annotated[str, Field(max_length=200)] = ""
    by: searching.By = "words"
    picture: MaybeHash = ""
    run: Annotated[Number | None, NONE_IF_EMPTY] = None
    method: Annotated[Method | None, NONE_IF_EMPTY] = None
    level: Annotated[Level | None, NONE_IF_EMPTY] = None
    split: Annotated[Split | None, NONE_IF_EMPTY] = None
    least_sure: _Share = None
    score: Annotated[_Score | None, NONE_IF_EMPTY] = None
    at_least: Annotated[Annotated[float, Field(allow_inf_nan=False)] | None, NONE_IF_EMPTY] = None
    rarest: _Share = None
    commonest: _Share = None
    apart: _Share = None
    order: searching.Order | _Score = "id"
    ascending: bool = False
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    def query(self) -> searching.Query:
        """The same as the catalogue takes it."""
        return searching.Query(**self.model_dump())


class Refused(BaseModel):
    """Why there is no answer."""

    detail: str


def refusals(**told: str) -> dict[int | str, dict[str, Any]]:
    """What `/api/openapi.json` tells of answers that are none.

    Args:
        told: why, by the status after a `_`.
    """
    return {int(status[1:]): {"model": Refused, "description": what} for status, what in told.items()}


_REFUSALS = refusals(_404="There is none.", _422="That was not understood.", _500="The run is damaged.")
_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

_SHOWN: dict[int | str, dict[str, Any]] = {200: {"content": {"image/webp": _FILE}}}


def interface_of(catalogue: Catalogue, comparer: Comparer, meaning: Meaning | None, brought: Brought) -> APIRouter:
    """Make the addresses.

    Args:
        catalogue: of the runs.
        comparer: of their methods.
        meaning: for search by meaning; None without.
        brought: pictures of people's own.
    """
    router = APIRouter(responses=_REFUSALS)
    _add_features(router, catalogue, meaning)
    _add_pictures(router, catalogue)
    _add_brought(router, brought, meaning)

    @router.get("/api/compare", summary="Methods side by side; ask again until it is ready.")
    def comparison() -> dict[str, Any]:
        compared, is_new = comparer.found()
        if compared is None:
            return {"ready": False}
        return {"ready": is_new, "problem": compared.problem, **compared.numbers}

    return router


def _add_features(router: APIRouter, catalogue: Catalogue, meaning: Meaning | None) -> None:
    @router.get("/api/version", summary="Another number whenever anything has changed, and how far reading is.")
    def version() -> dict[str, int]:
        done, total = catalogue.progress
        read, to_read = meaning.progress if meaning else (0, 0)
        return {
            "version": version_of(catalogue, meaning),
            "done": done,
            "total": total,
            "read": read,
            "to_read": to_read,
        }

    @router.get("/api/runs", summary="The runs that are shown, and what each is of.")
    def runs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for number, name in enumerate(catalogue.names):
            with Run.open(catalogue.folder(number)) as run:
                found.append({"number": number, "name": name, "of": run.subject})
        return found

    @router.get("/api/features", summary="Features with the words that stand for each, a page at a time.")
    def features(asked: Annotated[Asked, Query()]) -> dict[str, Any]:
        found = searching.find(catalogue, asked.query(), meaning)
        hidden = {"place", "is_best", "is_first"}
        rows = [{name: row[name] for name in row.keys() if name not in hidden} for row in found.rows]  # noqa: SIM118
        return {"n": found.n, "page": found.page, "n_pages": found.n_pages, "features": rows}

    @router.get("/api/runs/{number}/features/{feature_id}", summary="All that is known of one feature.")
    def feature(number: int, feature_id: int) -> dict[str, Any]:
        with Run.open(catalogue.folder(number)) as run:
            card = read_card(run, feature_id)
        told = card.as_json()
        # what is judged is named by the setting's number, which means nothing beside the run
        numbered = [
            {"setting_id": setting.setting_id, **each}
            for (setting, _), each in zip(card.said, told["settings"], strict=True)
        ]
        return {"run": number, "feature_id": feature_id, **told, "settings": numbered}


def _add_pictures(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get(
        "/pictures/{number}/{pixel_hash}.webp",
        summary="A thumbnail by the hash of its pixels.",
        response_class=Response,
        responses=_SHOWN,
    )
    def picture(number: int, pixel_hash: _PixelHash, side: _Side = None) -> Response:
        with Run.open(catalogue.folder(number)) as run:
            return _as_picture(thumbnail(run, pixel_hash, side))


def _add_brought(router: APIRouter, brought: Brought, meaning: Meaning | None) -> None:
    @router.get(
        "/brought/{name}.webp",
        summary="A picture that was brought, or one of a run that features shall be near to.",
        response_class=Response,
        responses=_SHOWN,
    )
    def small(name: _PixelHash) -> Response:
        return _as_picture(meaning.picture(name) if meaning else brought.small(name))

    @router.post(
        "/api/brought",
        summary="Bring a picture that features shall be near to, or that is asked about; it is given a name.",
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": _FILE}}},
        responses=refusals(
            _403="A page of another site asks.",
            _413="It is too large.",
            _415="It is no picture.",
            _429="Many others bring one.",
        ),
    )
    async def bring(request: Request) -> dict[str, str]:
        data, refused = bytearray(), HTTPException(413, f"a picture of more than {LARGEST_FILE // 2**20} MiB")
        try:
            async for part in request.stream():
                data += part
                if len(data) > LARGEST_FILE:
                    raise refused
        except ClientDisconnect as error:  # by itself, so that nobody reads this, or by the guard
            raise refused from error
        return {"picture": await brought.bring(bytes(data))}


def _as_picture(data: bytes) -> Response:
    return Response(data, media_type="image/webp", headers={"cache-control": FOR_EVER})
