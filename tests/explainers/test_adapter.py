"""Adapters: what is pushed by them, what they are kept as, and what is refused."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from seesay.errors import InvalidSetting, MismatchedSAE, UnusablePath
from seesay.explainers.adapter import Adapter
from seesay.explainers.config import Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import NoImages
from seesay.images.blank import blank_image
from seesay.records import Decoding, Strength
from tests.explainers.galleries import vlm_of
from tests.families import D_MODEL, SIDE
from tests.tiny import tiny_sae

LAYER, ALPHA = 1, 30.0
HEADER: dict[str, Any] = {"strength": {"value": 2.0, "unit": "residual_norm"}, "facts": {}}


def an_adapter(scale: float = 0.5) -> Adapter:
    bias = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(2))
    return Adapter(torch.tensor(scale), bias, Strength(ALPHA), {"seed": 0})


def explainer(adapter: Adapter | None, **more: Any) -> Explainer:
    identity = None if adapter is None else adapter.identity
    setting = Setting("steering", Strength(ALPHA), adapter=identity, decoding=Decoding(max_new_tokens=4), **more)
    return Explainer(vlm_of(), setting, NoImages([3, 5]), sae=tiny_sae(), layer=LAYER, adapter=adapter)


@pytest.mark.parametrize("positions", ["all", "patches", "disc"])
def test_the_push_is_scaled_and_a_bias_is_added_where_it_is_pushed(positions: str) -> None:
    vlm, sae, adapter = vlm_of(), tiny_sae(), an_adapter()
    blank = vlm.encode_to([blank_image("white", SIDE)], LAYER)
    unsteered = blank.residual[0]
    (plain,) = explainer(None, positions=positions).see([3])
    # the residual that goes on, worked out by hand
    scale = sae.activation_scale(blank.residual)[0][:, None]
    moved = (0.5 * ALPHA * sae.direction(3) + adapter.bias) * scale
    from seesay.explainers.sights import _chosen  # pyright: ignore[reportPrivateUsage]

    chosen = _chosen(blank, Setting("steering", Strength(ALPHA), positions=positions))  # pyright: ignore[reportArgumentType]
    moved = moved if chosen is None else moved * chosen[0][:, None]
    (expected,) = vlm.encode_from(blank.with_residual((unsteered + moved)[None]))
    (found,) = explainer(adapter, positions=positions).see([3])
    assert torch.allclose(found[0].tokens, expected.tokens, atol=1e-5)
    assert not torch.allclose(found[0].tokens, plain[0].tokens, atol=1e-3)


def test_an_adapter_of_scale_1_and_no_bias_changes_nothing() -> None:
    none = Adapter(torch.tensor(1.0), torch.zeros(D_MODEL), Strength(ALPHA), {})
    (plain,), (adapted,) = (explainer(each).see([3]) for each in (None, none))
    assert torch.allclose(plain[0].tokens, adapted[0].tokens, atol=1e-5)


def test_it_takes_part_in_what_words_depend_on() -> None:
    setting = Setting("steering", Strength(1.0))
    assert "adapter" not in setting.facts
    assert replace(setting, adapter="x").facts == {**setting.facts, "adapter": "x"}


@pytest.mark.parametrize(
    "setting",
    [{"method": "hybrid"}, {"method": "vocabulary"}, {"mode": "replace"}, {"control": "none"}],
)
def test_it_is_for_adding_directions_to_an_empty_image(setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="an adapter for"):
        Setting(**{"method": "steering", **setting}, adapter="x")


def test_a_setting_that_names_one_needs_it() -> None:
    setting = Setting("steering", Strength(1.0), adapter="x")
    with pytest.raises(InvalidSetting, match="an adapter that is not there"):
        Explainer(vlm_of(), setting, NoImages([3]), sae=tiny_sae(), layer=LAYER)
    with pytest.raises(MismatchedSAE, match="an adapter for residuals of width 3"):
        replace(an_adapter(), bias=torch.zeros(3)).check_fits(tiny_sae())


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "adapter").write_bytes(an_adapter().content())
    found = Adapter.read_from(tmp_path / "adapter")
    assert found.identity == an_adapter().identity
    assert (found.strength, found.facts) == (Strength(ALPHA), {"seed": 0})
    assert an_adapter(0.6).identity != an_adapter().identity


@pytest.mark.parametrize(
    ("header", "tensors"),
    [
        ({}, {"scale": torch.tensor(torch.nan)}),
        ({}, {"scale": torch.zeros(2)}),
        ({}, {"bias": torch.zeros(2, 2)}),
        ({}, {"bias": torch.full((4,), torch.inf)}),
        ({"strength": 3}, {}),
        ({"strength": {"value": 10**400, "unit": "kl"}}, {}),
        ({"facts": {"a": float("nan")}}, {}),
        ({}, {"bias": torch.zeros(4, dtype=torch.complex64)}),
        ({"strength": {"value": 1.0, "unit": "miles"}}, {}),
        ({"facts": 3}, {}),
        (None, {}),
    ],
)
def test_what_is_no_adapter_is_refused_in_one_line(
    header: dict[str, Any] | None, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    held = {"scale": torch.tensor(1.0), "bias": torch.zeros(4), **tensors}
    metadata = None if header is None else {"adapter": json.dumps({**HEADER, **header})}
    save_file(held, tmp_path / "adapter", metadata)
    with pytest.raises(UnusablePath, match="holds no adapter: .*expected what seesay teach writes"):
        Adapter.read_from(tmp_path / "adapter")


def test_it_goes_to_another_process_as_it_is() -> None:
    assert pickle.loads(pickle.dumps(an_adapter())).identity == an_adapter().identity
