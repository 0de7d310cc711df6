"""How well an SAE rebuilds what it reads, on SAEs made by hand."""

from typing import Any

import pytest
import torch

from seesay.sae import SAE
from seesay.vlm import VLM
from seesay.world import reconstruction
from seesay.world.reconstruction import sae_quality

NOBODY = VLM.__new__(VLM)  # the stand-in for `residuals` never looks at it
PATCHES = torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 4.0]])


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def residuals(vlm: VLM, layer: int, stream: str, n_images: int) -> torch.Tensor:
        return PATCHES

    monkeypatch.setattr(reconstruction, "residuals", residuals)


def sae(directions: Any) -> SAE:
    W_dec = torch.tensor(directions)
    return SAE(
        W_enc=W_dec.T.clone(), W_dec=W_dec, b_enc=torch.zeros(len(W_dec)), b_dec=torch.zeros(2), activation="relu"
    )


def test_an_sae_that_rebuilds_everything_explains_all_variance() -> None:
    quality = sae_quality(sae([[1.0, 0.0], [0.0, 1.0]]), NOBODY, 0, 4)
    assert quality == {"variance_explained": 1.0, "l0": 1.0, "dead_share": 0.0, "n_features": 2.0}


def test_what_is_missed_counts_against_the_variance_around_the_mean() -> None:
    quality = sae_quality(sae([[1.0, 0.0]]), NOBODY, 0, 4)
    missed = float((PATCHES[:, 1] ** 2).sum())
    around_mean = float((PATCHES - PATCHES.mean(0)).square().sum())
    assert quality["variance_explained"] == pytest.approx(1 - missed / around_mean)
    assert quality["l0"] == 0.5


def test_a_feature_that_never_fires_is_dead() -> None:
    assert sae_quality(sae([[1.0, 0.0], [-1.0, 0.0]]), NOBODY, 0, 4)["dead_share"] == 0.5
