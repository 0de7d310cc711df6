"""How well an SAE rebuilds what it reads, on SAEs made by hand and a small random encoder."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from seesay.errors import LayerNotFound, MismatchedSAE
from seesay.images.blank import blank_image
from seesay.images.sources import ImageSource, open_source
from seesay.sae import SAE
from seesay.sae.quality import measure
from seesay.vlm import Encoder
from tests.families import D_MODEL, N_BLOCKS, SIDE, llava

LAYER = 1


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return llava().vlm().encoder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    folder: Path = tmp_path_factory.mktemp("images")
    for seed in range(5):
        blank_image("noise", SIDE, seed).save(folder / f"{seed}.png")
    return open_source(folder)


@pytest.fixture(scope="module")
def patches(encoder: Encoder, source: ImageSource) -> torch.Tensor:
    images: list[Image.Image] = [entry.read() for entry in source.entries()]
    encoded = encoder.encode_to(images, LAYER)
    return encoded.residual[encoded.is_patch]


def sae(directions: torch.Tensor) -> SAE:
    return SAE(
        W_enc=directions.T.clone(),
        W_dec=directions,
        b_enc=torch.zeros(len(directions)),
        b_dec=torch.zeros(D_MODEL),
        activation="relu",
    )


AXES = torch.eye(D_MODEL)


def test_an_sae_that_rebuilds_everything_explains_all_variance(encoder: Encoder, source: ImageSource) -> None:
    quality = measure(sae(torch.cat([AXES, -AXES])), encoder, LAYER, source)
    assert quality.variance_explained == pytest.approx(1, abs=1e-6)
    assert quality.l0 == pytest.approx(D_MODEL)
    assert (quality.n_images, quality.n_patches) == (5, 5 * 16), "CLS is no patch"


def test_what_is_missed_counts_against_the_variance_around_the_mean(
    encoder: Encoder, source: ImageSource, patches: torch.Tensor
) -> None:
    quality = measure(sae(AXES), encoder, LAYER, source)
    missed = patches.clamp_max(0).double().square().sum()
    around_mean = (patches - patches.mean(0)).double().square().sum()
    assert quality.variance_explained == pytest.approx(float(1 - missed / around_mean), abs=1e-5)
    torch.testing.assert_close(quality.frequency, (patches > 0).float().mean(0))


def test_a_feature_that_never_fires_is_dead(encoder: Encoder, source: ImageSource, patches: torch.Tensor) -> None:
    quality = measure(sae(torch.cat([AXES, -AXES, torch.zeros(2, D_MODEL)])), encoder, LAYER, source)
    n_silent = 2 + int((~(patches > 0).any(0)).sum() + (~(patches < 0).any(0)).sum())
    assert quality.dead_share == pytest.approx(n_silent / (2 * D_MODEL + 2))


def test_only_so_many_images_are_looked_at(encoder: Encoder, source: ImageSource) -> None:
    seen: list[int] = []
    assert measure(sae(AXES), encoder, LAYER, source, n_images=3, on_batch=seen.append).n_images == sum(seen) == 3


def test_what_does_not_fit_is_refused(encoder: Encoder, source: ImageSource) -> None:
    narrow = SAE(torch.eye(3), torch.eye(3), torch.zeros(3), torch.zeros(3), "relu")
    with pytest.raises(MismatchedSAE):
        measure(narrow, encoder, LAYER, source)
    with pytest.raises(LayerNotFound):
        measure(sae(AXES), encoder, N_BLOCKS, source)
