"""Who is answered, and what pages may do."""

import asyncio
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import cast

import pytest

from seesay.viewer.app import create_app
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.guard import Guard
from tests.viewer.conftest import client_of
from tests.viewer.studying import begun, copied


@pytest.mark.parametrize(("name", "status"), [("127.0.0.1:8765", 200), ("localhost:1", 200), ("[::1]:8765", 200),
                                              ("evil.example", 421), ("127.0.0.1.evil.example:8765", 421)])  # fmt: skip
def test_only_names_of_this_machine_are_answered(catalogue: Catalogue, name: str, status: int) -> None:
    assert client_of(catalogue).get("/", headers={"host": name}).status_code == status


def test_pages_say_what_they_may_load(catalogue: Catalogue) -> None:
    headers = client_of(catalogue).get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_another_sites_page_may_change_nothing(catalogue: Catalogue) -> None:
    client = client_of(catalogue)
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/", headers=headers).status_code == 403
    for headers in ({"origin": "http://127.0.0.1:8765"}, {"sec-fetch-site": "same-origin"}, {}):
        assert client.post("/", headers=headers).status_code == 405, "let in, but nothing takes it"


def test_whoever_comes_from_elsewhere_must_know_the_token(catalogue: Catalogue) -> None:
    guard = Guard.of("192.0.2.7")
    assert guard.token is not None
    client = client_of(catalogue, guard, "192.0.2.7:8765")
    assert client.get("/").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.get("/", headers={"cookie": "seesay=wrong"}).status_code == 401
    sent = client.get(f"/?token={guard.token}")
    assert (sent.status_code, sent.headers["location"]) == (303, "/")
    cookie = sent.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert client.get("/").status_code == 200, "by the cookie"
    strays = 'a@b=1; a[]=2; x={"y":1}; path=3; '
    kept = cookie.partition(";")[0].replace(guard.token.lower(), guard.token)
    stranger = client_of(catalogue, guard, "192.0.2.7:8765")
    assert stranger.get("/", headers={"cookie": strays + kept}).status_code == 200, "whatever others keep beside it"
    assert stranger.get("/", headers={"cookie": strays}).status_code == 401
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_on_loopback_no_token_is_asked_for() -> None:
    assert {Guard.of(host).token for host in ("127.0.0.1", "localhost", "::1")} == {None}
    assert Guard.of("0.0.0.0").token != Guard.of("0.0.0.0").token


def test_under_an_unspecified_address_the_token_stands_for_the_name(catalogue: Catalogue) -> None:
    client = client_of(catalogue, Guard.of("0.0.0.0"), "my-machine:8765")
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "host", ["x/rate/", "127.0.0.1:8765/rate/", "a b", "", "x?/rate/", "x:1:2", "[::1", "x\r", "é"]
)
@pytest.mark.parametrize("listening", ["0.0.0.0", "192.0.2.7"])
def test_no_name_opens_what_only_the_token_does(catalogue: Catalogue, host: str, listening: str) -> None:
    app = create_app(catalogue, Guard.of(listening))
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(cast("int", message["status"]))

    headers = [(b"host", host.encode())]
    scope = {"type": "http", "method": "GET", "path": "/api/runs", "query_string": b"", "headers": headers}
    scope |= {"scheme": "http", "server": ("127.0.0.1", 8765), "raw_path": b"/api/runs", "root_path": ""}
    asyncio.run(app(scope, receive, send))  # as no client would send it
    assert statuses in ([421], [401])


def test_nobody_can_send_more_than_is_taken(catalogue: Catalogue) -> None:
    client = client_of(catalogue)
    assert client.post("/api/brought", content=bytes(18 * 2**20)).status_code == 413
    answer = client.post("/api/brought", headers={"content-length": "1000000000000"}, content=b"x")
    assert answer.status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(2**20)

    assert client.post("/api/brought", content=pieces()).status_code == 413, "without a word of how much it is"


def test_a_raters_link_opens_without_the_token_and_nothing_else_does(filled: Path, tmp_path: Path) -> None:
    folder = copied(filled, tmp_path)
    study, (ann,) = begun(folder, "Ann")
    opened = Catalogue([folder])
    client = client_of(opened, Guard.of("192.0.2.7"), "192.0.2.7:8765")
    page = client.get(f"/rate/{ann.key}")
    assert page.status_code == 200
    (picture, *_) = re.findall(r'src="(/rate/[^"]+)"', page.text)
    for path in (picture, *re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)):
        assert client.get(path).status_code == 200, path
    data = {"item": 1, "verdict": "right"}
    assert client.post(f"/rate/{ann.key}", data=data, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post(f"/rate/{ann.key}", data=data).status_code == 303
    assert client.get("/rate/wrong").status_code == 404
    for path in (
        "/", "/studies", f"/runs/0/studies/{study.study_id}", f"/api/runs/0/studies/{study.study_id}", "/rate",
        "/api/runs", "/api/openapi.json", "/statics/", picture.replace(f"/rate/{ann.key}/1", "/pictures/0"),
    ):  # fmt: skip
        assert client.get(path).status_code == 401, path
    for path in ("/rate/../", "/rate/%2e%2e/studies", "/rate//", "/static/../studies", "/static/%2e%2e/studies"):
        assert client.get(path).status_code in (401, 404), path
    assert client.get(f"/rate/{ann.key}", headers={"host": "evil.example"}).status_code == 421
    opened.close()
