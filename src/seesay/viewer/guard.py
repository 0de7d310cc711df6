"""Who may ask the viewer, and what its pages may do: everything else on the machine and on the net is kept out.

A page of another site can make a browser ask a server on this machine. So only names of this machine are answered
(DNS rebinding), nothing that changes anything is taken from another page, and what a page may load is said with it.
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
RATING: Final = "/rate/"
"""Where raters of a study judge; the key that follows it opens a rater's own pages."""

_OPEN = (RATING, "/static/")
"""What is answered without the viewer's token: what shows nothing of a run to whoever has no key."""

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_COOKIE = "seesay"
_LARGEST_BODY = 17 * 2**20  # a little more than the largest picture, which is refused in its own words
_CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
IN_FRAME = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'self'"
)
"""What a frame with figures may do: plotly writes styles into the page that it draws on."""


@final
@dataclass(frozen=True)
class Guard:
    """Who is let in.

    Args:
        hosts: names that the viewer may be asked by, without their port.
        token: what whoever asks must have shown once; None if all who reach it may ask, as on loopback.
    """

    hosts: tuple[str, ...] = LOOPBACK
    token: str | None = None

    @classmethod
    def of(cls, host: str) -> "Guard":
        """What fits an address that is listened on: whoever else can reach it must know a token.

        Args:
            host: as given.
        """
        return cls() if host in LOOPBACK else cls((*LOOPBACK, host), secrets.token_urlsafe(24))


@final
class Guarded:
    """An application behind a guard.

    Args:
        app: what is guarded.
        guard: who is let in.
    """

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse to."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, _bounded(receive), _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        if not self._is_ours(request.headers.get("host", "")):
            return PlainTextResponse("This viewer is not asked by that name.", 421)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > _LARGEST_BODY:
            return PlainTextResponse(f"More than {_LARGEST_BODY // 2**20} MiB are not taken.", 413)
        if request.method not in _CHANGES_NOTHING and not _from_our_page(request.headers):
            return PlainTextResponse("Another site's page may change nothing here.", 403)
        is_open = request.scope["path"].startswith(_OPEN)  # a URL is made of what the host is said to be, too
        return self._locked(request) if self._guard.token and not is_open else None

    def _is_ours(self, host: str) -> bool:
        # An unspecified address is reached under any of the machine's names; the token stands for them.
        found = _HOST.fullmatch(host)
        is_open = bool(self._guard.token) and bool({"0.0.0.0", "::"} & {*self._guard.hosts})
        return found is not None and (is_open or found["name"].strip("[]").lower() in self._guard.hosts)

    def _locked(self, request: Request) -> Response | None:
        assert self._guard.token is not None
        name = f"{_COOKIE}-{request.url.port}"  # browsers keep one set of cookies for all ports of a machine
        known = request.cookies.get(name, "")
        if secrets.compare_digest(known.encode(), self._guard.token.encode()):
            return None
        given = request.query_params.get("token", "")
        if secrets.compare_digest(given.encode(), self._guard.token.encode()):
            # The token goes where no link, log or picture of the page shows it.
            found = RedirectResponse("/" + request.scope["path"].lstrip("/"), 303)
            # Lax, as the address may be opened from a chat or a mail; what changes anything is guarded by itself.
            found.set_cookie(name, self._guard.token, httponly=True, samesite="lax", path="/")
            return found
        return PlainTextResponse("Open the address that seesay serve printed: it ends with a token.", 401)


def _from_our_page(headers: Headers) -> bool:
    """Whether a request comes from a page of this viewer, or from no page: browsers say where from, scripts do not."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _bounded(receive: Receive) -> Receive:
    """As if whoever sends too much without saying so had hung up."""
    n_received = 0

    async def receiving() -> Message:
        nonlocal n_received
        message = await receive()
        n_received += len(message.get("body", b""))
        return message if n_received <= _LARGEST_BODY else {"type": "http.disconnect"}

    return receiving


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("content-security-policy", _POLICY)
            headers.setdefault("x-content-type-options", "nosniff")
            # Without a referrer browsers send forms with the origin `null`, like a page of another site. This viewer
            # is told itself, nobody else is.
            headers.setdefault("referrer-policy", "same-origin")
            headers.setdefault("cross-origin-resource-policy", "same-origin")
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending
