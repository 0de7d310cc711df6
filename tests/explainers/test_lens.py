"""Lenses as files, which may be strangers', and what they say of rows."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file

from seesay.errors import MismatchedSAE, UnusablePath
from seesay.explainers.lens import Lens, encoder_rows
from tests.explainers.test_answering import lens_of
from tests.tiny import tiny_sae

CONTENT = lens_of().content()
TENSORS = load(CONTENT)
HEADER: dict[str, Any] = json.loads(
    json.loads(CONTENT[8 : 8 + int.from_bytes(CONTENT[:8], "little")])["__metadata__"]["lens"]
)


def written(folder: Path, header: object = HEADER, tensors: dict[str, torch.Tensor] = TENSORS) -> Path:
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, folder / "lens", {"lens": json.dumps(header)}
    )
    return folder / "lens"


def test_a_lens_is_read_as_it_was_written(tmp_path: Path) -> None:
    lens = lens_of()
    (tmp_path / "lens").write_bytes(lens.content())
    found = Lens.read_from(tmp_path / "lens")
    assert found.identity == lens.identity
    assert (found.phrases, found.strength, found.spread) == (lens.phrases, lens.strength, lens.spread)
    assert torch.equal(found.weights, lens.weights)
    assert Lens.read_from(written(tmp_path)).phrases == lens.phrases


@pytest.mark.parametrize(
    "change",
    [
        lambda lens: replace(lens, phrases=("w2", *lens.phrases[1:])),
        lambda lens: replace(lens, weights=lens.weights + 1e-3),
        lambda lens: replace(lens, of_steered=replace(lens.of_steered, spread=9.0)),
        lambda lens: replace(lens, of_pupils=replace(lens.of_pupils, mean=lens.of_pupils.mean + 1)),
        lambda lens: replace(lens, facts={"seed": 1}),
    ],
)
def test_another_lens_has_another_identity(change: Callable[[Lens], Lens]) -> None:
    assert change(lens_of()).identity != lens_of().identity


@pytest.mark.parametrize(
    ("header", "tensors"),
    [
        ({}, {}),
        ([], {}),
        ({"phrases": []}, {}),
        ({"phrases": ["w1", "w2", "w3", ""]}, {}),
        ({"phrases": ["w1", "w2", "w3", 4]}, {}),
        ({"phrases": ["w1", "w2"]}, {}),
        ({"spread": 0.0}, {}),
        ({"spread": "wide"}, {}),
        ({"of_steered": float("nan")}, {}),
        ({"of_pupils": -1}, {}),
        ({"strength": {"value": 2.0, "unit": "miles"}}, {}),
        ({"strength": {"value": float("inf"), "unit": "kl"}}, {}),
        ({"strength": 2.0}, {}),
        ({"facts": 3}, {}),
        ({"facts": {}}, {"weights": torch.full((4, 32), torch.nan)}),
        ({"facts": {}}, {"weights": torch.zeros(4, 0), "centre": torch.zeros(0)}),
        ({"facts": {}}, {"weights": torch.zeros(4, 32, dtype=torch.complex64)}),
        ({"phrases": ["w1", "w2", "w3", "\ud800"]}, {}),
        ({"spread": 10**400}, {}),
        ({"facts": {"a": float("nan")}}, {}),
        ({"facts": {}}, {"weights": torch.zeros(4)}),
        ({"facts": {}}, {"centre": torch.zeros(3)}),
        ({"facts": {}}, {"of_steered": torch.zeros(3)}),
    ],
)
def test_what_is_no_lens_is_refused_in_one_line(header: Any, tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    odd = {**HEADER, **header} if isinstance(header, dict) and header else header
    with pytest.raises(UnusablePath, match="holds no lens: .*expected what seesay teach writes"):
        Lens.read_from(written(tmp_path, odd, {**TENSORS, **tensors}))


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"not safetensors", b"\xff" * 8])
def test_a_file_of_anything_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "lens").write_bytes(content)
    with pytest.raises(UnusablePath, match="holds no lens"):
        Lens.read_from(tmp_path / "lens")


def test_readings_do_not_depend_on_how_long_rows_are() -> None:
    lens, rows = lens_of(), torch.randn(5, lens_of().d_model)
    assert torch.allclose(lens.read(rows), lens.read(rows * torch.rand(5, 1) * 100), atol=1e-5)


def test_a_feature_reads_by_its_encoder_or_by_its_direction_where_there_is_none() -> None:
    sae = tiny_sae()
    assert sae.W_enc is not None
    assert torch.equal(encoder_rows(sae, [3, 0]), sae.W_enc[:, [3, 0]].T)
    directions = replace(sae, W_enc=None, activation="none", k=None)
    assert torch.equal(encoder_rows(directions, [3, 0]), sae.W_dec[[3, 0]])


def test_a_lens_for_another_width_does_not_fit() -> None:
    lens_of().check_fits(tiny_sae())
    odd = replace(lens_of(), weights=torch.zeros(4, 3), centre=torch.zeros(3))
    with pytest.raises(MismatchedSAE, match="a lens for residuals of width 3; expected"):
        odd.check_fits(tiny_sae())


def test_it_goes_to_another_process_as_it_is() -> None:
    assert pickle.loads(pickle.dumps(lens_of())).identity == lens_of().identity
