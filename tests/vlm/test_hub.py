"""What the hub may answer, from a server that answers as it does."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
from huggingface_hub.utils import _http as hub_http

from seesay.errors import UnreadableModel
from seesay.vlm import load_encoder, load_vlm

ANSWERS = {
    "/owner/gated/": (403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to it is restricted."}),
    "/owner/missing/": (401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}),
    "/owner/dataset/": (404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}),
    "/owner/model/": (404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}),
}


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        status, headers = next(answer for path, answer in ANSWERS.items() if self.path.startswith(path))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("owner/gated", r"owner/gated is gated.*token with access.*hf auth login"),
        ("owner/missing", r"no repository owner/missing.*private"),
        ("owner/dataset", r"owner/dataset has no config\.json"),
        ("owner/model", r"owner/model has no such revision"),
        ("not a name", r"not a name: Repo id must"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_what_the_hub_refuses_is_one_line(name: str, line: str) -> None:
    for load in (load_vlm, load_encoder):
        with pytest.raises(UnreadableModel, match=line) as caught:
            load(name, device="cpu")
        assert "\n" not in str(caught.value)


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub_http.time, "sleep", lambda _seconds: None)  # between attempts
    with pytest.raises(UnreadableModel, match="hub cannot be reached.*check the network"):
        load_vlm("owner/name", device="cpu")


def test_offline_mode_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnreadableModel, match="HF_HUB_OFFLINE"):
        load_vlm("owner/name", device="cpu")
