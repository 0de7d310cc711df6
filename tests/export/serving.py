"""A server on this machine that speaks as the Hub does."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Server:
    """As much of the Hub as an upload of small files needs: what it is told is kept.

    Args:
        private: whether the one dataset that it has is private; None if it is not there.
        refuses: it takes nothing.
        is_open: whatever is made there is public.
        told: path and content of every request that changes something.
        files: in the dataset.
    """

    private: bool | None = None
    refuses: bool = False
    is_open: bool = False
    told: list[tuple[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    address: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if method == "GET" and path.startswith("/api/datasets/me/features/tree"):
            return 200, [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in self.files]
        if method == "GET":
            return (
                (404, {}) if self.private is None else (200, {"id": "me/features", "private": self.private, "sha": "0"})
            )
        if self.refuses:
            return 403, {"error": "you may not write\nme/features"}
        if path.endswith("/preupload/main"):
            names = [each["path"] for each in json.loads(body)["files"]]
            return 200, {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
        if path == "/api/repos/create":
            told = json.loads(body)
            self.told.append((path, told))
            asked = told.get("private") or told.get("visibility") == "private"  # of it since huggingface_hub 2
            self.private = (bool(asked) and not self.is_open) if self.private is None else self.private
            return 200, {"url": f"{self.address}/datasets/me/features"}
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del self.files[line["value"]["path"]]
            return 200, {
                "commitUrl": f"{self.address}/datasets/me/features/commit/1",
                "commitOid": "1",
                "success": True,
            }
        return 200, {}


@contextmanager
def serving() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = found.answer(self.command, self.path, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            if status == 403:
                self.send_header("X-Error-Message", content["error"].replace("\n", " "))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        found.address = f"http://127.0.0.1:{listening.server_port}"
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield found
        listening.shutdown()
        thread.join()
