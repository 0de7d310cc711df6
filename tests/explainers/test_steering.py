import math
from dataclasses import replace
from functools import partial

import pytest
import torch

import seesay
from seesay.errors import FeatureNotFound, InvalidStrength, LayerNotFound, MismatchedSAE, UnreadablePrompt
from seesay.explainers import steering
from seesay.images.blank import blank_image
from seesay.records import Decoding, Explanation, Strength
from seesay.sae import SAE
from seesay.steering import permuted
from seesay.vlm import VLM, Answer, ImageTokens, Prompts
from tests.families import D_MODEL, N_BLOCKS, gemma3
from tests.tiny import N_FEATURES, tiny_sae

# A few words are enough to tell answers apart.
explain = partial(steering.explain, max_new_tokens=6)
steer = partial(steering.steer, max_new_tokens=6)

STRENGTH = Strength(80.0)
FEATURES = list(range(13))


def texts(explanations: list[Explanation]) -> list[str]:
    return [explanation.raw_text for explanation in explanations]


def asked(prompts: Prompts) -> VLM:
    parts = gemma3()
    return VLM(parts.model, parts.image_processor, parts.tokenizer, prompts)


def short_of_memory(vlm: VLM, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """Let the language model run out of memory beyond n rows."""
    say = vlm.say

    def run(prompt: str, rows: list[list[ImageTokens]], *more: object, **options: object) -> list[Answer]:
        if len(rows) > n:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return say(prompt, rows, *more, **options)

    monkeypatch.setattr(vlm, "say", run)


def test_features_get_words_in_the_order_asked_for(vlm: VLM, sae: SAE) -> None:
    explanations = explain(vlm, sae, [40, 3], layer=1, strength=STRENGTH)
    assert [explanation.feature_id for explanation in explanations] == [40, 3]
    for explanation in explanations:
        assert (explanation.method, explanation.control, explanation.status) == ("steering", None, "ok")
        assert explanation.text
        assert explanation.coefficient == 80.0
        assert explanation.mean_log_probability < 0


def test_different_features_get_different_words(vlm: VLM, sae: SAE) -> None:
    assert len(set(texts(explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH)))) > 3


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_words_do_not_depend_on_the_batch_size(vlm: VLM, sae: SAE, batch_size: int) -> None:
    reference = explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH, batch_size=13)
    assert texts(explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH, batch_size=batch_size)) == texts(reference)


def test_zero_strength_says_what_the_empty_image_says(vlm: VLM, sae: SAE) -> None:
    tokens = vlm.encode([blank_image("white", vlm.encoder.image_size)])
    (unsteered,) = vlm.say(vlm.prompts["steering"], [tokens], Decoding(max_new_tokens=6))
    assert set(texts(explain(vlm, sae, FEATURES, layer=1, strength=Strength(0.0)))) == {unsteered.text}


def test_the_empty_image_is_encoded_once(vlm: VLM, sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encode_to = vlm.encode_to
    monkeypatch.setattr(vlm, "encode_to", lambda *args, **options: calls.append(1) or encode_to(*args, **options))
    explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH, batch_size=2)
    assert calls == [1]


def test_a_strength_can_count_in_residual_norms(vlm: VLM, sae: SAE) -> None:
    (explanation,) = explain(vlm, sae, [0], layer=1, strength=Strength(2.0, "residual_norm"))
    assert explanation.coefficient == pytest.approx(
        2 * vlm.encode_to([blank_image("white", vlm.encoder.image_size)], 1).residual_norm, rel=1e-6
    )
    assert explanation.strength == Strength(2.0, "residual_norm")


def test_the_kind_of_empty_image_matters(vlm: VLM, sae: SAE) -> None:
    found = {
        kind: explain(vlm, sae, [0], layer=1, strength=STRENGTH, empty=kind)[0].mean_log_probability
        for kind in ("white", "black", "grey", "noise")
    }
    assert len(set(found.values())) == 4


def test_the_random_control_depends_on_its_seed_and_the_feature_only(vlm: VLM, sae: SAE) -> None:
    together = explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH, control="random")
    (alone,) = explain(vlm, sae, [5], layer=1, strength=STRENGTH, control="random")
    assert alone.raw_text == together[5].raw_text
    assert alone.control == "random"
    assert texts(explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH, control="random", seed=1)) != texts(together)


def test_the_permuted_control_says_the_donors_words(vlm: VLM, sae: SAE) -> None:
    own = dict(zip(FEATURES, texts(explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH)), strict=True))
    donors = permuted(FEATURES, seed=4)
    for explanation in explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH, control="permuted", seed=4):
        assert explanation.donor_id == donors[explanation.feature_id]
        assert explanation.raw_text == own[explanation.donor_id]


def test_a_batch_too_large_for_memory_is_halved(vlm: VLM, sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts(explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH))
    short_of_memory(vlm, monkeypatch, 3)
    assert texts(explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH)) == expected


def test_a_feature_too_large_for_memory_is_failed(vlm: VLM, sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(vlm, monkeypatch, 0)
    (explanation,) = explain(vlm, sae, [0], layer=1, strength=STRENGTH)
    assert (explanation.status, explanation.text, explanation.raw_text) == ("failed", "", "")
    assert explanation.mean_log_probability is None


@pytest.mark.parametrize("answer", ["", "  ", "The element is a", "*."])
def test_an_answer_without_words_is_empty(sae: SAE, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    vlm = asked(Prompts({"steering": "what ?"}, opening="The element is"))
    monkeypatch.setattr(vlm, "say", lambda *_asked, **_options: [Answer(answer, -1.0)])
    (explanation,) = explain(vlm, sae, [0], layer=1, strength=STRENGTH)
    assert (explanation.status, explanation.text, explanation.raw_text) == ("empty", "", answer)


def test_the_opening_is_stripped_and_the_raw_words_kept(sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = asked(Prompts({"steering": "what ?"}, opening="The element is"))
    monkeypatch.setattr(vlm, "say", lambda *_asked, **_options: [Answer("The element is an **edge**", -1.0)])
    (explanation,) = explain(vlm, sae, [0], layer=1, strength=STRENGTH)
    assert (explanation.status, explanation.text) == ("ok", "edge")
    assert explanation.raw_text == "The element is an **edge**"


def test_an_sae_that_normalises_its_input_steers_in_units_of_it(vlm: VLM, sae: SAE) -> None:
    """As Prisma's do: a direction counts in standard deviations of the token."""
    encoded = vlm.encode_to([blank_image("white", vlm.encoder.image_size)], 1)
    normalising = replace(sae, normalization="layer_norm")
    (explanation,) = explain(vlm, normalising, [3], layer=1, strength=Strength(4.0))
    pushed = encoded.residual + 4.0 * encoded.residual.std(-1, keepdim=True) * sae.direction(3)
    (expected,) = vlm.say(
        vlm.prompts["steering"], [vlm.encode_from(encoded.with_residual(pushed))], Decoding(max_new_tokens=6)
    )
    assert explanation.raw_text == expected.text
    (same,) = explain(vlm, normalising, [3], layer=1, strength=Strength(1.0, "residual_norm"))
    mean_push = (same.coefficient * encoded.residual.std(-1)).mean().item()
    assert mean_push == pytest.approx(encoded.residual_norm, rel=1e-5)


def test_batches_are_handed_out_as_they_are_done(vlm: VLM, sae: SAE) -> None:
    batches: list[list[Explanation]] = []
    explanations = explain(vlm, sae, FEATURES, layer=1, strength=STRENGTH, batch_size=5, on_batch=batches.append)
    assert [len(batch) for batch in batches] == [5, 5, 3]
    assert sum(batches, []) == explanations


def test_no_features_get_no_explanations(vlm: VLM, sae: SAE) -> None:
    assert explain(vlm, sae, [], layer=1, strength=STRENGTH) == []


def test_an_unknown_feature_is_refused_whatever_the_control(vlm: VLM, sae: SAE) -> None:
    for control in (None, "random", "permuted"):
        with pytest.raises(FeatureNotFound, match=str(N_FEATURES)):
            explain(vlm, sae, [0, N_FEATURES], layer=1, strength=STRENGTH, control=control)


def test_an_unknown_layer_is_refused(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(LayerNotFound, match=str(N_BLOCKS)):
        explain(vlm, sae, [0], layer=N_BLOCKS, strength=STRENGTH)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_strength_that_is_no_number_is_refused(vlm: VLM, sae: SAE, value: float) -> None:
    with pytest.raises(InvalidStrength):
        explain(vlm, sae, [0], layer=1, strength=Strength(value))


def test_a_strength_in_activations_needs_images(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(InvalidStrength, match="max_activation"):
        explain(vlm, sae, [0], layer=1, strength=Strength(1.0, "max_activation"))


def test_an_sae_of_another_width_is_refused(vlm: VLM) -> None:
    generator = torch.Generator().manual_seed(0)
    W_dec = torch.randn(4, D_MODEL + 1, generator=generator)
    other = SAE(W_dec.T.contiguous(), W_dec, torch.zeros(4), torch.zeros(D_MODEL + 1), "relu")
    with pytest.raises(MismatchedSAE):
        explain(vlm, other, [0], layer=1, strength=STRENGTH)


def test_prompts_without_one_for_steering_are_refused(sae: SAE) -> None:
    vlm = asked(Prompts({"topk": "what ?"}))
    with pytest.raises(UnreadablePrompt, match="steering"):
        explain(vlm, sae, [0], layer=1, strength=STRENGTH)


def test_steer_takes_one_feature_or_several_and_a_plain_number(vlm: VLM, sae: SAE) -> None:
    expected = explain(vlm, sae, [3, 40], layer=1, strength=STRENGTH)
    assert steer(vlm, sae, [3, 40], 80) == expected
    assert texts(steer(vlm, sae, 3, STRENGTH)) == texts(expected[:1])
    assert texts(seesay.steer(vlm, sae, features=3, strength=80.0, max_new_tokens=6)) == texts(expected[:1])


def test_steer_needs_a_layer_from_somewhere(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(LayerNotFound, match="give the layer"):
        steer(vlm, tiny_sae(layer=None), 3, STRENGTH)
    assert steer(vlm, tiny_sae(layer=None), 3, STRENGTH, layer=1) == steer(vlm, sae, 3, STRENGTH)
