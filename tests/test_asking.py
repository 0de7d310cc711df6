"""What a picture activates, held against the SAE's codes of its patches."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import seesay
from seesay.asking import ask, sighting
from seesay.errors import InvalidSetting, LayerNotFound, MismatchedSAE, UnreadableImage, UnusablePath
from seesay.records import MOST_SIGHTED
from seesay.sae import SAE
from seesay.store.exemplars import features
from seesay.store.run import Run
from seesay.vlm import VLM, Encoder, load_encoder, load_vlm
from tests.comparison.making import making, said
from tests.tiny import N_FEATURES, save_checkpoint, tiny_sae


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> VLM:
    return load_vlm(save_checkpoint(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(seesay.world.checkpoint("world:M"), device="cpu")


@pytest.fixture(scope="module")
def late() -> SAE:
    return seesay.load_sae(seesay.world.sae("world:late"))


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return seesay.world.pictures.Pictures(1, 9).entry(0).read()


def dense(vlm: VLM, sae: SAE, image: Image.Image) -> np.ndarray:
    """The activation of each feature on each patch, by hand."""
    encoded = vlm.encode_to([image], 1)
    codes = sae.encode(encoded.geometries[0].raster(encoded.residual.movedim(-1, 0))[:, 0].flatten(1).T)
    found = torch.zeros(len(codes.values), N_FEATURES).scatter_add(1, codes.feature_ids, codes.values.clamp_min(0))
    return found.detach().numpy().T


def test_features_come_with_what_they_are_on_each_patch(vlm: VLM) -> None:
    sae, photo = tiny_sae(), Image.effect_noise((90, 60), 90).convert("RGB")
    expected = dense(vlm, sae, photo)
    seen = ask(vlm, sae, photo, n=MOST_SIGHTED)
    assert {each.feature_id for each in seen} == set(np.flatnonzero(expected.max(1)).tolist())
    assert seen.n_active == len(seen)
    for each in seen:
        np.testing.assert_allclose(each.heatmap.ravel(), expected[each.feature_id], rtol=1e-5, atol=1e-6)
        assert each.activation == pytest.approx(expected[each.feature_id].mean(), rel=1e-5)
        assert each.peak == pytest.approx(expected[each.feature_id].max(), rel=1e-5)
        assert each.n_patches == (expected[each.feature_id] > 0).sum()
    activations = [each.activation for each in seen]
    assert activations == sorted(activations, reverse=True)
    assert [each.feature_id for each in ask(vlm.encoder, sae, photo, n=3)] == [each.feature_id for each in seen[:3]]


def test_the_highest_peak_can_come_first(vlm: VLM) -> None:
    peaks = [each.peak for each in ask(vlm, tiny_sae(), Image.effect_noise((90, 60), 90), n=MOST_SIGHTED, order="peak")]
    assert peaks == sorted(peaks, reverse=True)


def test_a_run_lends_its_words_and_tells_how_rare_features_are(
    encoder: Encoder, late: SAE, photo: Image.Image, filled: Path
) -> None:
    seen = ask(encoder, late, photo, run=filled, n=MOST_SIGHTED)
    with Run.open(filled) as run:
        known = {each.feature_id: each for each in features(run)}
    told = [each for each in seen if each.feature_id in known]
    assert told
    for each in told:
        assert each.words
        assert each.method in ("topk", "steering")
        assert (each.frequency, each.largest) == (
            known[each.feature_id].frequency,
            known[each.feature_id].max_activation,
        )
    assert all(each.words == "" and each.frequency is None for each in seen if each.feature_id not in known)
    rare = [
        math.inf if each.frequency is None else each.frequency
        for each in ask(encoder, late, photo, run=str(filled), n=MOST_SIGHTED, order="rarity")
    ]
    assert rare == sorted(rare)


def test_in_a_notebook_it_is_a_picture_in_which_nothing_is_anyone_elses(
    encoder: Encoder, late: SAE, photo: Image.Image, tmp_path: Path
) -> None:
    nasty = "<script>alert(1)</script>"
    with making(tmp_path / "x", 3) as run:
        said(run, dict.fromkeys(range(late.n_features), nasty))
        seen = sighting(encoder, late, late.provenance.layer or 0, photo, 4, "activation", run)
    html = seen._repr_html_()
    assert nasty not in html
    assert "&lt;script&gt;" in html
    assert html.count("<image") == 4
    assert not re.search(r'(?:src|href)="(?!data:)', html), "nothing is fetched from anywhere"
    assert nasty in repr(seen)


def test_a_picture_that_activates_nothing_is_told_so(vlm: VLM) -> None:
    sae = tiny_sae()
    silent = SAE(
        W_enc=sae.W_enc, W_dec=sae.W_dec, b_enc=torch.full((N_FEATURES,), -1e6), b_dec=sae.b_dec, activation="relu",
        provenance=sae.provenance,
    )  # fmt: skip
    seen = ask(vlm, silent, Image.new("RGB", (8, 8)))
    assert (len(seen), seen.n_active, seen.as_json()["grid"]) == (0, 0, None)
    assert "0 features" in seen._repr_html_()


def test_what_cannot_be_asked_is_refused(vlm: VLM, tmp_path: Path, filled: Path, late: SAE) -> None:
    blank = Image.new("RGB", (8, 8))
    for n in (0, MOST_SIGHTED + 1):
        with pytest.raises(InvalidSetting, match=f"{n} features"):
            ask(vlm, tiny_sae(), blank, n=n)
    with pytest.raises(InvalidSetting, match="no run"):
        ask(vlm, tiny_sae(), blank, order="rarity")
    with pytest.raises(LayerNotFound, match="does not say"):
        ask(vlm, tiny_sae(layer=None), blank)
    with pytest.raises(MismatchedSAE):
        ask(vlm, late, blank)
    with pytest.raises(UnreadableImage):
        ask(vlm, tiny_sae(), tmp_path / "none.png")
    with pytest.raises(UnusablePath, match="is of other features"):
        ask(vlm, tiny_sae(), blank, run=filled)
    with pytest.raises(UnusablePath, match="no run"):
        ask(vlm, tiny_sae(), blank, run=tmp_path / "none")


def test_a_run_of_another_sae_lends_no_words(encoder: Encoder, photo: Image.Image, filled: Path) -> None:
    early = seesay.load_sae(seesay.world.sae("world:early"))
    with pytest.raises(UnusablePath, match="is of other features"):
        ask(encoder, early, photo, layer=5, run=filled)
