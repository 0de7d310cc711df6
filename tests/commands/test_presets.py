"""The presets of published models, all steps of them, on small models of the same classes with random weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seesay import cli
from seesay.reproduction.protocol import GEMMA, INTERNVL, PRESETS, Protocol
from tests.families import Tiny, gemma3, internvl, save
from tests.instruments.segmenters import save_grounding_dino, save_sam2
from tests.instruments.test_embedders import saved as saved_embedder
from tests.tiny import tiny_sae

LAYERS = (0, 1, 2)
"""Of the small models, in the place of the published blocks."""

MODELS: dict[str, dict[str, Callable[[], Tiny]]] = {
    "gemma-3": {
        "google/gemma-3-4b-it": lambda: gemma3(num_hidden_layers=1),
        "google/gemma-3-12b-it": lambda: gemma3(num_hidden_layers=2),
        "google/gemma-3-27b-it": lambda: gemma3(num_hidden_layers=3),
    },
    "internvl-3": {
        "OpenGVLab/InternVL3-14B-hf": internvl,
        "google/gemma-3-27b-it": lambda: gemma3(num_hidden_layers=3),
    },
}


def save_published_sae(folder: Path, layer: int) -> None:
    """An SAE as dictionary_learning leaves it, and as the published ones lie on the hub."""
    sae = tiny_sae(layer)
    assert sae.W_enc is not None
    inner = folder / "trainer_0"
    inner.mkdir(parents=True)
    tensors = {
        "encoder.weight": sae.W_enc.T.contiguous(),
        "encoder.bias": torch.zeros(sae.n_features),
        "decoder.weight": sae.W_dec.T.contiguous(),
        "b_dec": torch.zeros(sae.W_dec.shape[1]),
        "k": torch.tensor(4, dtype=torch.int32),
        "threshold": torch.tensor(-1.0),
    }
    torch.save(tensors, inner / "ae.pt")
    trainer = {
        "dict_class": "AutoEncoderTopK",
        "activation_dim": sae.W_dec.shape[1],
        "dict_size": sae.n_features,
        "k": 4,
        "layer": layer,
        "lm_name": "tiny",
        "submodule_name": f"enc_res_out_layer_{layer}",
    }
    (inner / "config.json").write_text(json.dumps({"trainer": trainer}))


def small(protocol: Protocol) -> Protocol:
    """The same with the small models' blocks, and less of everything."""
    return replace(
        protocol,
        blocks=tuple(replace(each, layer=layer) for each, layer in zip(protocol.blocks, LAYERS, strict=True)),
        explainers=protocol.explainers[::2],
        calibrating={method: replace(how, grid=how.grid[:2]) for method, how in protocol.calibrating.items()},
        n_validation=4,
        n_images=24,
        max_new_tokens=4,
    )


@pytest.fixture
def at_hand(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Protocol, Path, Path]:
    """A preset, a folder with what it names, and one with photographs."""
    protocol: Protocol = request.param
    models = tmp_path / "models"
    for name, make in MODELS[protocol.name].items():
        save(make(), models / name)
    for block, layer in zip(protocol.blocks, LAYERS, strict=True):
        assert block.subfolder is not None
        save_published_sae(models / block.sae / block.subfolder, layer)
    save_grounding_dino(models / "IDEA-Research" / "grounding-dino-base")
    save_sam2(models / "facebook" / "sam2.1-hiera-large")
    saved_embedder("clip", models / "openai" / "clip-vit-large-patch14")
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        Image.fromarray(rng.integers(0, 255, (48, 80, 3), dtype=np.uint8)).save(photos / f"{number}.png")
    return protocol, models, photos


@pytest.mark.slow(seconds=60)
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("at_hand", [GEMMA, INTERNVL], indirect=True, ids=lambda each: each.name)
def test_a_preset_goes_through_all_of_its_steps(
    at_hand: tuple[Protocol, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol, models, photos = at_hand
    monkeypatch.setattr("seesay.commands.reproduce.PRESETS", {**PRESETS, protocol.name: small(protocol)})
    out, file = tmp_path / "out", tmp_path / "told.json"
    arguments = ["reproduce", "--preset", protocol.name, "--models", str(models), "--images", str(photos)]
    arguments += ["--out", str(out), "--scores", "clip", "--max-features", "4", "--json", str(file)]
    assert cli.main(arguments) == 0
    told = json.loads(file.read_text())
    assert {each["verdict"] for each in told["claims"]} <= {"undecided", "not tested"}
    assert set(told["scores"]) == {"iou", "clip"}
    assert len(told["scores"]["clip"]["ways"]) == 3 * len(small(protocol).explainers)
    steps = json.loads((out / "notes.json").read_text())["steps"]
    assert sum(name.startswith("label") for name in steps) == 3
    assert cli.main([*arguments, "--plan"]) == 0
    planned = json.loads(file.read_text())
    assert all(each["seconds"] > 0 for each in planned["work"])
