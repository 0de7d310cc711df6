"""Whether words become more probable under a push: step by step by hand, and on the world's features."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import wilcoxon

from seesay import world
from seesay.errors import LayerNotFound, MismatchedSAE, UnreadablePrompt
from seesay.explainers.steering import steer
from seesay.records import Decoding
from seesay.sae import SAE, load_sae
from seesay.scorers import faithfulness
from seesay.scorers.config import Scoring
from seesay.scorers.faithfulness import MOST_IMAGES, NATS, Faithfulness
from seesay.scorers.scorer import Item, Measured, Scorer
from seesay.vlm import VLM, Prompts
from seesay.vlm.likelihood import log_likelihoods
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import seeds
from tests.explainers.galleries import PROMPTS, asked, noise, vlm_of
from tests.scorers.held_out import MadeHeldOut
from tests.tiny import tiny_sae

TINY, LAYER = tiny_sae(), 1
N_IMAGES = {3: 2, 40: 4, 17: 1}


def heatmap(seed: int) -> np.ndarray:
    heat = np.random.default_rng(seed).random((4, 4)) * (np.random.default_rng(seed + 1).random((4, 4)) < 0.5)
    heat[seed % 4, 1] = 1.0
    return heat


def held_out() -> MadeHeldOut:
    return MadeHeldOut({
        feature_id: {"top": [(noise((32, 32), feature_id + n), heatmap(feature_id + n)) for n in range(n_images)]}
        for feature_id, n_images in N_IMAGES.items()
    } | {9: {"top": []}})  # fmt: skip


def scorer(
    vlm: VLM | None = None,
    sae: SAE = TINY,
    layer: int = LAYER,
    scoring: Scoring = Scoring(),  # noqa: B008 (frozen)
) -> Faithfulness:
    return Faithfulness(held_out(), vlm or vlm_of(), sae, layer, scoring)


@cache
def warm() -> Faithfulness:
    """One that has pushed all features before."""
    return scorer()


@cache
def found() -> list[Measured]:
    return warm().score([Item(feature_id, words) for feature_id in N_IMAGES for words in ("w1 w5", "w40")])


def test_the_rise_is_of_the_words_log_probability_as_pushed_by_hand() -> None:
    vlm, of = vlm_of(), held_out()
    measured = iter(found())
    for feature_id in N_IMAGES:
        own = of.exemplars(feature_id, "top", MOST_IMAGES)
        encoded = vlm.encode_to([of.picture(exemplar.image) for exemplar in own], LAYER)
        plain = vlm.encode_from(encoded)
        for words in ("w1 w5", "w40"):
            one = next(measured)
            steered = encoded.residual.clone()
            for row, exemplar in enumerate(own):
                for patch in exemplar.dense().reshape(-1).nonzero()[0]:
                    steered[row, patch] += one.others["coefficient"] * TINY.direction(feature_id)
            pushed = vlm.encode_from(encoded.with_residual(steered))
            before, after = (log_likelihoods(vlm, PROMPTS["topk"], [row], [words])[0] or 0.0 for row in (plain, pushed))
            assert one.value == pytest.approx(after - before, abs=1e-4)
            assert one.reason == ""


def test_every_feature_is_pushed_until_the_first_word_has_moved_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faithfulness, "NATS", 0.01)  # which is how far a random model can be moved
    vlm, of = vlm_of(), held_out()
    measured = scorer().score([Item(feature_id, "w1") for feature_id in N_IMAGES])
    pushes = [one.others["coefficient"] for one in measured]
    assert len(set(pushes)) == len(pushes)
    for feature_id, alpha, one in zip(N_IMAGES, pushes, measured, strict=True):
        own = of.exemplars(feature_id, "top", MOST_IMAGES)
        encoded = vlm.encode_to([of.picture(exemplar.image) for exemplar in own], LAYER)
        active = torch.from_numpy(np.stack([exemplar.dense().reshape(-1) > 0 for exemplar in own]))
        shift = alpha * TINY.direction(feature_id) * active[:, :, None]
        before, after = (
            vlm.next_word(PROMPTS["topk"], [vlm.encode_from(each)], PROMPTS.start)[0]
            for each in (encoded, encoded.with_residual(encoded.residual + shift))
        )
        nats = (after.exp() * (after - before)).sum().item()
        assert 0.005 < nats < 0.02, "in a random model a larger push may move it less"
        assert one.details["nats"] == [pytest.approx(nats, abs=1e-5)]


def test_how_far_a_word_moves_that_no_push_moves_far_enough_is_told() -> None:
    for one in found():
        [nats] = one.details["nats"]
        assert 0 < nats < NATS


def test_scores_depend_neither_on_what_stands_beside_them_nor_on_what_came_before() -> None:
    again = scorer()
    singly = again.score([Item(17, "w1 w5"), Item(17, "w40")])
    for item in (Item(40, "w40"), Item(40, "w1 w5"), Item(3, "w40"), Item(3, "w1 w5")):
        singly += again.score([item])
    singly = [*singly[:1:-1], *singly[:2]]
    assert [one.value for one in singly] == pytest.approx([one.value for one in found()], abs=1e-4)
    coefficients = [one.others["coefficient"] for one in singly]
    assert coefficients == pytest.approx([one.others["coefficient"] for one in found()], rel=1e-3)


def test_words_that_say_nothing_rise_by_nothing_and_a_feature_without_images_has_no_score() -> None:
    nothing, blank, unseen, unseen_and_silent, special = warm().score(
        [Item(3, ""), Item(3, " "), Item(9, "w1"), Item(9, ""), Item(40, "<eos>")]
    )
    assert (nothing.value, nothing.reason) == (0.0, "nothing was said")
    assert (blank.value, special.value) == (0.0, 0.0)
    assert blank.reason == special.reason == "it holds no word that the model has"
    assert unseen.value is None
    assert unseen_and_silent.value is None
    assert unseen.reason == "no held-out image activates it"
    assert warm().score([]) == []


def test_the_opening_that_words_were_stripped_of_is_put_back() -> None:
    vlm = asked(Prompts(dict(PROMPTS.texts) | {"topk": "what is the red ? w7"}, opening="w7", start=" w7 a"))
    [item] = Faithfulness(held_out(), vlm, TINY, LAYER, Scoring()).score([Item(17, "w1")])
    of = held_out()
    [exemplar] = of.exemplars(17, "top", 1)
    encoded = vlm.encode_to([of.picture(exemplar.image)], LAYER)
    active = torch.from_numpy(exemplar.dense().reshape(-1) > 0)
    shift = item.others["coefficient"] * TINY.direction(17) * active[None, :, None]
    before, after = (
        log_likelihoods(vlm, vlm.prompts["topk"], [vlm.encode_from(each)], ["w1"], " w7 a")[0] or 0.0
        for each in (encoded, encoded.with_residual(encoded.residual + shift))
    )
    assert item.value == pytest.approx(after - before, abs=1e-4)


def test_what_cannot_be_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(LayerNotFound):
        scorer(layer=9)
    narrow = SAE(
        W_enc=torch.eye(8), W_dec=torch.eye(8), b_enc=torch.zeros(8), b_dec=torch.zeros(8), activation="topk", k=2
    )
    with pytest.raises(MismatchedSAE):
        scorer(sae=narrow)
    with pytest.raises(UnreadablePrompt):
        scorer(asked(Prompts({"steering": "what is the red ?"})))


def test_facts_tell_scorers_apart_that_would_give_other_numbers() -> None:
    one, same = scorer().facts, scorer().facts
    assert one == same
    assert scorer(scoring=Scoring(n_exemplars=2)).facts != one
    assert scorer(scoring=Scoring(holding="shared")).facts != one
    assert scorer(scoring=Scoring(n_exemplars=20)).facts == one, "it never takes more than three"
    assert isinstance(scorer(), Scorer)


@pytest.mark.slow
def test_in_the_world_what_steering_says_of_a_feature_rises_by_more_than_what_it_says_of_another() -> None:
    vlm, sae = world.load_vlm("world:S", device="cpu"), load_sae(world.sae("world:middle"))
    layer = sae.provenance.layer
    assert layer is not None
    scenes = [render(sample(seed)).image for seed in seeds("scoring", 0, 300)]
    codes_ipf = sae.encode(vlm.encode_to(scenes, layer, batch_size=60).residual).dense(sae.n_features)
    activations_if = codes_ipf.mean(1)
    features = activations_if.amax(0).topk(120).indices.tolist()[::5]
    made = {
        feature_id: {
            "top": [
                (scenes[image], codes_ipf[image, :, feature_id].reshape(8, 8).numpy())
                for image in activations_if[:, feature_id].topk(3).indices.tolist()
            ]
        }
        for feature_id in features
    }
    strength = world.strength("world:middle", "world:S")
    words = [said.text for said in steer(vlm, sae, features, strength, decoding=Decoding(12))]
    scored = Faithfulness(MadeHeldOut(made), vlm, sae, layer, Scoring())
    own, others = (
        [one.value for one in scored.score([Item(*each) for each in zip(features, said, strict=True)])]
        for said in (words, words[1:] + words[:1])
    )
    assert wilcoxon(own, others, alternative="greater").pvalue < 0.01
    assert np.mean(own) > np.mean(others) + 0.3
