"""What people and scripts send: a little at a time, and checked as a whole before anything is done with it."""

import json
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from seesay.errors import FeatureNotFound, UnusablePath
from seesay.viewer.catalogue import Catalogue

LARGEST = 64 * 2**10
"""Bytes of what is sent; the longest note takes some 8 000."""

_MOST_FIELDS = 100
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"

_Sent = TypeVar("_Sent", bound=BaseModel)
_Read = TypeVar("_Read")


def form_of(model: type[_Sent]) -> Callable[[Request], Awaitable[_Sent]]:
    """What reads a form, as something that an address depends on.

    Args:
        model: what the form is to hold; of a field that is a tuple it holds any number, of others the last counts.
    """
    several = {name for name, field in model.model_fields.items() if get_origin(field.annotation) is tuple}

    async def read(request: Request) -> _Sent:
        body = await _body(request, _FORM)
        try:
            pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise HTTPException(413, f"a form of more than {_MOST_FIELDS} fields") from error
        given: dict[str, Any] = {name: () for name in several}
        for name, value in pairs:
            text = value.replace("\r\n", "\n")  # browsers send every end of a line so
            given[name] = (*given[name], text) if name in several else text
        return _checked(lambda: model.model_validate(given))

    return read


def json_of(kind: type[_Read]) -> Callable[[Request], Awaitable[_Read]]:
    """What reads JSON, as something that an address depends on.

    Args:
        kind: what it is to hold: a model, or a dataclass.
    """
    adapter = TypeAdapter(kind)

    async def read(request: Request) -> _Read:
        body = await _body(request, _JSON)
        return _checked(lambda: adapter.validate_json(body))

    return read


def told_as_json(kind: type) -> dict[str, Any]:
    """What `/api/openapi.json` tells of an address that takes JSON.

    Args:
        kind: what it is to hold.
    """
    content = {_JSON: {"schema": TypeAdapter(kind).json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


@contextmanager
def conflicts(catalogue: Catalogue) -> Generator[None]:
    """Whatever a run does not take, in a line.

    Args:
        catalogue: of the runs.

    Raises:
        HTTPException: a run that cannot be written, or in which something is otherwise than whoever sent this saw it.
    """
    try:
        yield
    except (FeatureNotFound, UnusablePath) as error:
        raise HTTPException(409, f"This cannot be kept: {catalogue.told(error)}") from error


async def _body(request: Request, media_type: str) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise HTTPException(415, f"something else than {media_type}")
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > LARGEST:
            raise HTTPException(413, f"more than {LARGEST // 2**10} KiB")
    return bytes(data)


def _checked(read: Callable[[], _Read]) -> _Read:
    try:
        return read()
    except ValidationError as error:
        told = json.loads(error.json(include_url=False, include_context=False, include_input=False))
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in told]) from error
