"""Collecting on the embedded world, to the digit what a reference finds that keeps all activations and sorts them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import seesay
from seesay.exemplars.config import PARTS, CollectionConfig, Part
from seesay.exemplars.hashing import hashed, image_id_of, part_of
from seesay.exemplars.histogram import N_BINS, bin_edge
from seesay.images.decoding import pixel_hash
from seesay.pipeline.collecting import Subject, collect
from seesay.sae import load_sae
from seesay.store.exemplars import exemplars, features
from seesay.store.run import Run
from seesay.vlm import load_encoder
from seesay.world.pictures import Pictures

N_IMAGES, AT_ONCE = 160, 32
CONFIG = CollectionConfig(n_top=6, n_per_quantile=3, n_sampled=24, n_inactive=5, n_background=60)


@pytest.fixture(scope="module")
def subject() -> Subject:
    sae = load_sae(seesay.world.sae("world:late"))
    layer = sae.provenance.layer
    assert layer is not None
    return Subject(load_encoder(seesay.world.checkpoint("world:M"), device="cpu"), sae, layer, {"subject": "world:M"})


@pytest.fixture(scope="module")
def run(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "world"
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(N_IMAGES), CONFIG, images_at_once=AT_ONCE)
    return folder


@pytest.fixture(scope="module")
def heat(subject: Subject) -> dict[int, np.ndarray]:
    """Every activation of every image: row by column by feature."""
    found: dict[int, np.ndarray] = {}
    images = [entry.read() for entry in Pictures(N_IMAGES).entries()]
    for start in range(0, N_IMAGES, AT_ONCE):
        batch = images[start : start + AT_ONCE]
        encoded = subject.encoder.encode_to(batch, subject.layer, batch_size=AT_ONCE)
        rows = [encoded.residual[row, each.position_of_patch] for row, each in enumerate(encoded.geometries)]
        codes = subject.sae.encode(torch.cat(rows)).dense(subject.sae.n_features)
        grid = encoded.geometries[0].grid
        dense = codes.unflatten(0, (len(batch), *grid)).numpy()
        found |= {image_id_of(pixel_hash(image)): each for image, each in zip(batch, dense, strict=True)}
    return found


def by_hash(image_ids: list[int], *numbers: int, salt: int) -> list[int]:
    """In the order of a hash, the largest first."""
    hashes = hashed(*map(torch.tensor, numbers), torch.tensor(image_ids, dtype=torch.long), salt=salt)
    keys = dict(zip(image_ids, hashes.tolist(), strict=True))
    return sorted(image_ids, key=lambda each: -keys[each])


def test_statistics_are_those_of_all_activations(run: Path, heat: dict[int, np.ndarray]) -> None:
    every = np.stack(list(heat.values()))
    with Run.open(run) as opened:
        found = features(opened)
    active = every > 0
    assert [each.frequency for each in found] == active.mean((0, 1, 2)).tolist()
    assert [each.image_frequency for each in found] == active.any((1, 2)).mean(0).tolist()
    assert [each.max_activation for each in found] == every.max((0, 1, 2)).tolist()
    means = every.astype(np.float64).sum((0, 1, 2)) / active.sum((0, 1, 2)).clip(1)
    np.testing.assert_allclose([each.mean_activation for each in found], means, rtol=1e-12)
    edges = np.array([bin_edge(place) for place in range(N_BINS + 1)])
    live = [each for each in found if each.frequency]
    assert len(live) > 1000
    for each in live:
        values = every[..., each.feature_id]
        assert np.histogram(values[values > 0].astype(np.float64), edges)[0].tolist() == list(each.histogram)


def test_features_that_fire_together_are_those_of_all_activations(run: Path, heat: dict[int, np.ndarray]) -> None:
    with Run.open(run) as opened:
        rare = [each for each in features(opened) if 0 < each.frequency * N_IMAGES * 64 <= CONFIG.n_patches]
    assert len(rare) > 50, "where all patches are in the sample"
    every = np.stack(list(heat.values()))
    for each in rare:
        patches = every[every[..., each.feature_id] > 0] > 0
        counts = Counter({other: int(n) for other, n in enumerate(patches.sum(0)) if n and other != each.feature_id})
        wanted = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: CONFIG.n_together]
        assert each.fires_with == tuple((other, pytest.approx(n / len(patches), abs=1e-4)) for other, n in wanted)


@pytest.mark.parametrize("part", PARTS)
def test_exemplars_are_those_of_all_activations(part: Part, run: Path, heat: dict[int, np.ndarray]) -> None:
    mine = {each: dense for each, dense in heat.items() if part_of(each) == part}
    background = by_hash(list(mine), salt=3)[: CONFIG.n_background]
    with Run.open(run) as opened:
        for each in features(opened)[::7]:
            feature_id = each.feature_id
            of = {image_id: dense[..., feature_id] for image_id, dense in mine.items()}
            activation = {image_id: np.float32(dense.astype(np.float64).mean()) for image_id, dense in of.items()}
            active = [image_id for image_id in of if of[image_id].any()]
            sample = by_hash(active, feature_id, salt=2)[: CONFIG.n_sampled]
            ascending = sorted(sample, key=lambda image_id: (activation[image_id], image_id))
            quantile = {image_id: n * CONFIG.n_quantiles // len(sample) for n, image_id in enumerate(ascending)}
            strata = [[image for image in sample if quantile[image] == q] for q in reversed(range(CONFIG.n_quantiles))]
            inactive = [image_id for image_id in background if not of[image_id].any()] if each.frequency else []
            wanted = {
                "top": sorted(active, key=lambda image_id: (-activation[image_id], image_id))[: CONFIG.n_top],
                "quantile": [image_id for images in strata for image_id in images[: CONFIG.n_per_quantile]],
                "inactive": by_hash(inactive, feature_id, salt=5)[: CONFIG.n_inactive],
            }
            for kind in ("top", "quantile", "inactive"):
                found = exemplars(opened, feature_id, part, kind)
                assert [exemplar.image.image_id for exemplar in found] == wanted[kind]
                for exemplar in found:
                    image_id = exemplar.image.image_id
                    assert exemplar.activation == activation[image_id]
                    assert exemplar.quantile == (quantile[image_id] if kind == "quantile" else None)
                    np.testing.assert_array_equal(exemplar.dense(), of[image_id])
