"""How strongly features are active on images: against images that are encoded one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from seesay.errors import NotEnoughMemory, NotFinite
from seesay.exemplars.config import Reduction
from seesay.sae import SAE
from seesay.scorers import activations as module
from seesay.scorers.activations import Activations
from seesay.vlm.encoder import Encoder
from tests.families import EYES
from tests.tiny import N_FEATURES, tiny_sae

LAYER = 1
SIZES = [(32, 32), (64, 24), (20, 40), (32, 32), (50, 50)]


def pictures(sizes: Sequence[tuple[int, int]] = SIZES, seed: int = 0) -> list[Image.Image]:
    draw = np.random.default_rng(seed)
    return [Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8)) for width, height in sizes]


PICTURES = pictures()
KEYS = [str(number) for number in range(len(PICTURES))]


@pytest.fixture(scope="module", params=["siglip_vision_model", "siglip2_vision_model", "clip_vision_model"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return EYES[request.param]().encoder()


def asked(encoder: Encoder, sae: SAE | None = None, reduction: Reduction = "mean", batch_size: int = 32) -> Activations:
    return Activations(encoder, sae or tiny_sae(), LAYER, reduction, batch_size)


def counted(encoder: Encoder, monkeypatch: pytest.MonkeyPatch, most: int = 1000) -> list[int]:
    """How many images are encoded at a time from here on; more than so many do not fit."""
    sizes: list[int] = []
    encode = encoder.encode_to

    def counting(images: Sequence[Image.Image], *more: Any, **named: Any) -> Any:
        sizes.append(len(images))
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encode(images, *more, **named)

    monkeypatch.setattr(encoder, "encode_to", counting)
    return sizes


def heatmaps(encoder: Encoder, image: Image.Image) -> torch.Tensor:
    """Activations of one image, patch by feature."""
    encoded = encoder.encode_to([image], LAYER)
    patches = encoded.residual[0, encoded.geometries[0].position_of_patch]
    return tiny_sae().encode(patches).dense(N_FEATURES)


@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_activations_are_those_of_images_encoded_one_by_one(encoder: Encoder, reduction: Reduction) -> None:
    found = asked(encoder, reduction=reduction).of(PICTURES)
    for image, row in zip(PICTURES, found, strict=True):
        dense = heatmaps(encoder, image)
        expected = dense.mean(0) if reduction == "mean" else dense.max(0).values
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)
    assert (found > 0).any(1).all()


@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_what_is_looked_at_in_detail_says_the_same(encoder: Encoder, reduction: Reduction) -> None:
    activations = asked(encoder, reduction=reduction, batch_size=2)
    whole = activations.of(PICTURES)
    for image, row, looked in zip(PICTURES, whole, activations.look(PICTURES, KEYS), strict=True):
        dense = heatmaps(encoder, image)
        assert looked.grid == encoder.geometry(image.size).grid
        assert looked.feature_ids.tolist() == row.nonzero().flatten().tolist()
        for feature_id in range(N_FEATURES):
            assert looked.activation(feature_id) == pytest.approx(float(row[feature_id]), abs=1e-5)
            expected = dense[:, feature_id].reshape(looked.grid)
            np.testing.assert_allclose(looked.dense(feature_id), expected, atol=1e-5)


def test_batches_change_nothing(encoder: Encoder) -> None:
    expected = asked(encoder).of(PICTURES)
    for batch_size in (1, 2, 3):
        torch.testing.assert_close(asked(encoder, batch_size=batch_size).of(PICTURES), expected, atol=1e-5, rtol=1e-4)


def test_no_images_have_no_activations(encoder: Encoder) -> None:
    assert asked(encoder).of([]).shape == (0, N_FEATURES)
    assert asked(encoder).look([], []) == []


def test_an_image_is_encoded_once_however_often_it_is_looked_at(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    activations = asked(encoder)
    sizes = counted(encoder, monkeypatch)
    first = activations.look([*PICTURES, PICTURES[0]], [*KEYS, KEYS[0]])
    assert sum(sizes) == len(PICTURES)
    assert activations.look(PICTURES[::-1], KEYS[::-1]) == first[-2::-1]
    assert first[0] is first[-1]
    assert sum(sizes) == len(PICTURES)


def test_what_was_looked_at_last_is_remembered_and_the_rest_is_right_all_the_same(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = asked(encoder).look(PICTURES, KEYS)
    monkeypatch.setattr(module, "_MOST_BYTES", 2 * max(each.n_bytes for each in expected))
    activations = asked(encoder)
    found = activations.look(PICTURES, KEYS)
    assert [each.patches.tolist() for each in found] == [each.patches.tolist() for each in expected]
    sizes = counted(encoder, monkeypatch)
    activations.look(PICTURES[-1:], KEYS[-1:])
    assert sizes == []
    activations.look(PICTURES[:1], KEYS[:1])
    assert sizes == [1]


def test_a_batch_too_large_for_memory_is_halved(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = asked(encoder).of(PICTURES)
    sizes = counted(encoder, monkeypatch, most=2)
    torch.testing.assert_close(asked(encoder).of(PICTURES), expected, atol=1e-5, rtol=1e-4)
    assert max(sizes) > 2, "it must have been too much at first"


def test_a_single_image_too_large_for_memory_is_one_line(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(encoder, monkeypatch, most=0)
    with pytest.raises(NotEnoughMemory, match="one image"):
        asked(encoder).of(PICTURES)


def test_numbers_that_overflow_are_refused(encoder: Encoder) -> None:
    sae = tiny_sae()
    sae.b_enc.fill_(float("inf"))
    with pytest.raises(NotFinite):
        asked(encoder, sae).of(PICTURES)


def test_a_dead_feature_is_nowhere_active(encoder: Encoder) -> None:
    sae = tiny_sae()
    sae.b_enc[5] = -1e6
    activations = asked(encoder, sae)
    assert not activations.of(PICTURES)[:, 5].any()
    for looked in activations.look(PICTURES, KEYS):
        assert looked.activation(5) == 0.0
        assert not looked.dense(5).any()
