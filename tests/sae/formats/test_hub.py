"""SAEs of the hub, from a server that answers as it does."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.utils import _http as hub_http

from seesay.errors import UnreadableSAE
from seesay.sae import load_sae
from tests.sae.formats import files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSALS = {
    "owner/gated": (403, "GatedRepo"),
    "owner/missing": (401, "RepoNotFound"),
    "owner/old": (404, "RevisionNotFound"),
    "owner/broken": (400, "Broken"),
}


class Hub(BaseHTTPRequestHandler):
    root: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.asked.append(self.path)
        for name, (status, code) in REFUSALS.items():
            if name in self.path:
                return self.reply(status, b"{}", body=body, **{"X-Error-Code": code, "X-Error-Message": code})
        if self.path.startswith("/api/models/"):
            names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()]
            info = {"id": "owner/name", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            return self.reply(200, json.dumps(info).encode(), body=body)
        file = self.root / self.path.split("/", 5)[5]
        if not file.is_file():
            return self.reply(404, b"", body=body, **{"X-Error-Code": "EntryNotFound"})
        content = file.read_bytes()
        tag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self.reply(200, content, body=body, **{"ETag": tag, "X-Repo-Commit": COMMIT})

    def reply(self, status: int, content: bytes, *, body: bool, **headers: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


def point_to(monkeypatch: pytest.MonkeyPatch, endpoint: str, cache: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hub_http.time, "sleep", lambda _seconds: None)  # between attempts


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    handler: Any = type("OneHub", (Hub,), {"root": tmp_path / "repository", "asked": []})
    handler.root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    point_to(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path / "cache")
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def fill(hub: Any, *folders: str) -> None:
    for folder in folders:
        (hub.root / folder).mkdir(parents=True)
        files.dictionary_learning(hub.root / folder)
    (hub.root / "README.md").write_text("about")
    (hub.root / "eval_results.json").write_text("{}")


def refused(match: str, name: str = "owner/name", **asked: object) -> None:
    with pytest.raises(UnreadableSAE, match=match) as caught:
        load_sae(name, **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("owner/gated", r"owner/gated is gated.*token with access.*hf auth login"),
        ("owner/missing", r"no repository owner/missing.*private"),
        ("owner/old", r"owner/old has no such revision"),
        ("owner/broken", r"owner/broken: .*owner/name, or a folder"),
        ("not a name", r"not a name: Repo id must"),
    ],
)
def test_what_the_hub_refuses_is_one_line(name: str, line: str) -> None:
    refused(line, name)


def test_only_the_saes_own_files_are_downloaded(hub: Any) -> None:
    fill(hub, "layer_8/trainer_0", "layer_16/trainer_0")
    sae = load_sae("owner/name", subfolder="layer_16/trainer_0")
    assert (sae.k, sae.provenance.layer) == (3, 16)
    downloaded = {path.split("/", 5)[5] for path in hub.asked if "/resolve/" in path}
    assert downloaded == {"layer_16/trainer_0/ae.pt", "layer_16/trainer_0/config.json"}


def test_a_repository_of_several_is_refused_before_anything_is_downloaded(hub: Any) -> None:
    fill(hub, "layer_8/trainer_0", "layer_16/trainer_0")
    refused(r"owner/name holds 2 SAEs; expected subfolder: layer_8/trainer_0, layer_16/trainer_0")
    refused(r"owner/name has no layer_9; expected layer_8/trainer_0, layer_16/trainer_0", subfolder="layer_9")
    assert not [path for path in hub.asked if "/resolve/" in path]


def test_an_only_one_and_a_single_file_are_found(hub: Any) -> None:
    fill(hub, "layer_8/trainer_0")
    assert load_sae("owner/name").k == load_sae("owner/name", subfolder="layer_8").k == 3
    assert load_sae("owner/name", subfolder="layer_8/trainer_0/ae.pt").k == 3


def test_a_revision_is_asked_for(hub: Any) -> None:
    fill(hub, "trainer_0")
    load_sae("owner/name", revision="v2")
    assert all("/v2" in path for path in hub.asked)


def test_a_hookpoint_finds_the_models_name_above_it(hub: Any) -> None:
    (hub.root / "layers.16").mkdir()
    files.sparsify(hub.root / "layers.16")
    (hub.root / "config.json").write_text(json.dumps({"model": "lmms-lab/llava", "dataset": "images"}))
    said = load_sae("owner/name", subfolder="layers.16").provenance
    assert (said.subject, said.layer, said.hook, said.dataset) == ("lmms-lab/llava", 16, "layers.16", "images")


def test_what_a_checkpoint_scales_activations_by_is_downloaded_with_it(hub: Any) -> None:
    folder = hub.root / "checkpoints" / "00000010"
    folder.mkdir(parents=True)
    written = files.sae_lens(folder, normalize_activations="expected_average_only_in")
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 4.0}')
    for name in ("trainer_state.pt", "identity.json"):
        (folder / name).write_bytes(b"{}")
    refused("^owner/name is an unfinished training; .*train-sae --resume")
    sae = load_sae("owner/name", subfolder="checkpoints/00000010")
    torch.testing.assert_close(sae.b_dec, written.tensors["b_dec"] / 4)
    assert not [path for path in hub.asked if "trainer_state" in path]


def test_what_was_downloaded_is_there_without_a_network(
    hub: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(hub, "layer_8/trainer_0", "layer_16/trainer_0")
    load_sae("owner/name", subfolder="layer_16/trainer_0")
    point_to(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    assert load_sae("owner/name", subfolder="layer_16/trainer_0").k == 3
    refused("hub cannot be reached.*check the network", "owner/other")
    refused("hub cannot be reached", revision="v2")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load_sae("owner/name", subfolder="layer_16/trainer_0").k == 3
    refused("HF_HUB_OFFLINE", "owner/other")
    refused("owner/name.*without a network.* has no layer_8; expected layer_16", subfolder="layer_8")


def test_a_repository_whose_files_are_gated_is_one_line(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(hub, "trainer_0")
    monkeypatch.setitem(REFUSALS, "/resolve/", (403, "GatedRepo"))
    refused("owner/name is gated on the hub")


def test_a_path_is_never_looked_up_on_the_hub(hub: Any, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", "./nowhere", "~/nowhere", "/nowhere"):
        refused("no folder .*nowhere", path)
    assert not hub.asked
