"""Steering through `steer`, on an empty image and without a run."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import seesay
from seesay.errors import (
    FeatureNotFound,
    InvalidSetting,
    InvalidStrength,
    LayerNotFound,
    MismatchedEncoder,
    MismatchedSAE,
    UnknownChoice,
    UnreadableImage,
    UnreadablePrompt,
)
from seesay.explainers import steering
from seesay.explainers.config import Setting
from seesay.explainers.steering import image_free
from seesay.images.blank import blank_image
from seesay.records import Decoding, Explanation, Strength
from seesay.sae import SAE, Provenance
from seesay.steering import intervene, permuted
from seesay.vlm import VLM, Answer, Encoded, ImageTokens, Prompts
from tests.explainers.galleries import asked, vlm_of
from tests.families import D_MODEL, N_BLOCKS, gemma3
from tests.tiny import N_FEATURES, tiny_sae

SHORT = Decoding(max_new_tokens=6)  # a few words are enough to tell answers apart
DRAWN = Decoding(max_new_tokens=6, temperature=1.0, n_samples=3)
STRENGTH = Strength(80.0)
FEATURES = list(range(13))


def steer(vlm: VLM, sae: SAE, features: int | Sequence[int], **options: Any) -> list[Explanation]:
    return steering.steer(vlm, sae, features, **({"strength": STRENGTH, "decoding": SHORT} | options))


def words(vlm: VLM, encoded: Encoded, prompt: str = "steering") -> list[str]:
    """What is said of residuals at the middle block."""
    rows = [[image] for image in vlm.encode_from(encoded)]
    return [answer.text for answer in vlm.say(vlm.prompts[prompt], rows, SHORT)]


def blank(vlm: VLM) -> Encoded:
    return vlm.encode_to([blank_image("white", vlm.encoder.image_size)], 1)


def texts(explanations: list[Explanation]) -> list[str]:
    return [explanation.raw_text for explanation in explanations]


def short_of_memory(vlm: VLM, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """Let the language model run out of memory beyond n rows."""
    say = vlm.say

    def run(prompt: str, rows: list[list[ImageTokens]], *more: object, **options: object) -> list[Answer]:
        if len(rows) > n:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return say(prompt, rows, *more, **options)

    monkeypatch.setattr(vlm, "say", run)


def test_features_get_words_in_the_order_asked_for(vlm: VLM, sae: SAE) -> None:
    explanations = steer(vlm, sae, [40, 3])
    assert [explanation.feature_id for explanation in explanations] == [40, 3]
    for explanation in explanations:
        assert (explanation.method, explanation.control, explanation.status) == ("steering", None, "ok")
        assert explanation.text
        assert explanation.coefficient == 80.0
        assert explanation.mean_log_probability < 0


def test_different_features_get_different_words(vlm: VLM, sae: SAE) -> None:
    assert len(set(texts(steer(vlm, sae, FEATURES)))) > 3


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_words_do_not_depend_on_the_batch_size(vlm: VLM, sae: SAE, batch_size: int) -> None:
    reference = steer(vlm, sae, FEATURES, batch_size=13)
    assert texts(steer(vlm, sae, FEATURES, batch_size=batch_size)) == texts(reference)


def test_zero_strength_says_what_the_empty_image_says(vlm: VLM, sae: SAE) -> None:
    assert set(texts(steer(vlm, sae, FEATURES, strength=Strength(0.0)))) == set(words(vlm, blank(vlm)))


def test_the_empty_image_is_encoded_once(vlm: VLM, sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encode_to = vlm.encode_to
    monkeypatch.setattr(vlm, "encode_to", lambda *args, **options: calls.append(1) or encode_to(*args, **options))
    steer(vlm, sae, FEATURES, batch_size=2)
    assert calls == [1]


def test_a_strength_can_count_in_residual_norms(vlm: VLM, sae: SAE) -> None:
    (explanation,) = steer(vlm, sae, [0], strength=Strength(2.0, "residual_norm"))
    assert explanation.coefficient == pytest.approx(2 * blank(vlm).residual_norm, rel=1e-6)
    assert explanation.strength == Strength(2.0, "residual_norm")


def test_the_kind_of_empty_image_matters(vlm: VLM, sae: SAE) -> None:
    found = {
        kind: steer(vlm, sae, [0], empty=kind)[0].mean_log_probability for kind in ("white", "black", "grey", "noise")
    }
    assert len(set(found.values())) == 4


def test_the_random_control_depends_on_its_seed_and_the_feature_only(vlm: VLM, sae: SAE) -> None:
    together = steer(vlm, sae, FEATURES, control="random")
    (alone,) = steer(vlm, sae, [5], control="random")
    assert alone.raw_text == together[5].raw_text
    assert alone.control == "random"
    assert texts(steer(vlm, sae, FEATURES, control="random", seed=1)) != texts(together)


def test_the_permuted_control_says_the_donors_words(vlm: VLM, sae: SAE) -> None:
    own = dict(zip(FEATURES, texts(steer(vlm, sae, FEATURES)), strict=True))
    donors = permuted(FEATURES, seed=4)
    for explanation in steer(vlm, sae, FEATURES, control="permuted", seed=4):
        assert explanation.donor_id == donors[explanation.feature_id]
        assert explanation.raw_text == own[explanation.donor_id]


def test_a_batch_too_large_for_memory_is_halved(vlm: VLM, sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts(steer(vlm, sae, FEATURES))
    short_of_memory(vlm, monkeypatch, 3)
    assert texts(steer(vlm, sae, FEATURES)) == expected


def test_a_feature_too_large_for_memory_is_failed(vlm: VLM, sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(vlm, monkeypatch, 0)
    (explanation,) = steer(vlm, sae, [0])
    assert (explanation.status, explanation.text, explanation.raw_text) == ("failed", "", "")
    assert explanation.mean_log_probability is None


@pytest.mark.parametrize("answer", ["", "  ", "The element is a", "*."])
def test_an_answer_without_words_is_empty(sae: SAE, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    vlm = asked(Prompts({"steering": "what ?"}, opening="The element is"))
    monkeypatch.setattr(vlm, "say", lambda *_asked, **_options: [Answer(answer, -1.0)])
    (explanation,) = steer(vlm, sae, [0])
    assert (explanation.status, explanation.text, explanation.raw_text) == ("empty", "", answer)


def test_the_opening_is_stripped_and_the_raw_words_kept(sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = asked(Prompts({"steering": "what ?"}, opening="The element is"))
    monkeypatch.setattr(vlm, "say", lambda *_asked, **_options: [Answer("The element is an **edge**", -1.0)])
    (explanation,) = steer(vlm, sae, [0])
    assert (explanation.status, explanation.text) == ("ok", "edge")
    assert explanation.raw_text == "The element is an **edge**"


def test_an_sae_that_normalises_its_input_steers_in_units_of_it(vlm: VLM, sae: SAE) -> None:
    """As Prisma's do: a direction counts in standard deviations of the token."""
    encoded = blank(vlm)
    normalising = replace(sae, normalization="layer_norm")
    (explanation,) = steer(vlm, normalising, [3], strength=Strength(4.0))
    pushed = encoded.residual + 4.0 * encoded.residual.std(-1, keepdim=True) * sae.direction(3)
    assert [explanation.raw_text] == words(vlm, encoded.with_residual(pushed))
    (same,) = steer(vlm, normalising, [3], strength=Strength(1.0, "residual_norm"))
    mean_push = (same.coefficient * encoded.residual.std(-1)).mean().item()
    assert mean_push == pytest.approx(encoded.residual_norm, rel=1e-5)


def test_batches_are_handed_out_as_they_are_done(vlm: VLM, sae: SAE) -> None:
    explainer = image_free(vlm, sae, FEATURES, Setting("steering", STRENGTH, decoding=SHORT), layer=1)
    batches = list(explainer.explain(FEATURES, batch_size=5))
    assert [len(batch) for batch in batches] == [5, 5, 3]
    assert sum(batches, []) == steer(vlm, sae, FEATURES, batch_size=5)
    assert all(explanation.seconds > 0 for batch in batches for explanation in batch)


def test_a_batch_is_explained_when_it_is_asked_for(vlm: VLM, sae: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = image_free(vlm, sae, FEATURES, Setting("steering", STRENGTH, decoding=SHORT), layer=1)
    sizes: list[int] = []
    say = vlm.say
    monkeypatch.setattr(
        vlm, "say", lambda prompt, rows, *more, **named: sizes.append(len(rows)) or say(prompt, rows, *more, **named)
    )
    batches = explainer.explain(FEATURES, batch_size=5)
    assert sizes == []
    next(batches)
    assert sizes == [5]


def test_no_features_get_no_explanations(vlm: VLM, sae: SAE) -> None:
    assert steer(vlm, sae, []) == []


def test_an_unknown_feature_is_refused_whatever_the_control(vlm: VLM, sae: SAE) -> None:
    for control in (None, "random", "permuted"):
        with pytest.raises(FeatureNotFound, match=str(N_FEATURES)):
            steer(vlm, sae, [0, N_FEATURES], control=control)


def test_an_unknown_layer_is_refused(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(LayerNotFound, match=str(N_BLOCKS)):
        steer(vlm, sae, [0], layer=N_BLOCKS)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_strength_that_is_no_number_is_refused(vlm: VLM, sae: SAE, value: float) -> None:
    with pytest.raises(InvalidStrength):
        steer(vlm, sae, [0], strength=Strength(value))


def test_a_strength_in_activations_needs_images(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(InvalidStrength, match="max_activation"):
        steer(vlm, sae, [0], strength=Strength(1.0, "max_activation"))


def test_an_sae_of_another_width_is_refused(vlm: VLM) -> None:
    generator = torch.Generator().manual_seed(0)
    W_dec = torch.randn(4, D_MODEL + 1, generator=generator)
    other = SAE(W_dec.T.contiguous(), W_dec, torch.zeros(4), torch.zeros(D_MODEL + 1), "relu")
    other = replace(other, provenance=Provenance(layer=1))
    with pytest.raises(MismatchedSAE):
        steer(vlm, other, [0])


def test_prompts_without_one_for_steering_are_refused(sae: SAE) -> None:
    vlm = asked(Prompts({"topk": "what ?"}))
    with pytest.raises(UnreadablePrompt, match="steering"):
        steer(vlm, sae, [0])


def test_steer_takes_one_feature_or_several_and_a_plain_number(vlm: VLM, sae: SAE) -> None:
    expected = steer(vlm, sae, [3, 40])
    assert steer(vlm, sae, [3, 40], strength=80) == expected
    assert texts(steer(vlm, sae, 3)) == texts(expected[:1])
    assert texts(seesay.steer(vlm, sae, features=3, strength=80.0, decoding=SHORT)) == texts(expected[:1])


def test_steer_needs_a_layer_from_somewhere(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(LayerNotFound, match="give the layer"):
        steer(vlm, tiny_sae(layer=None), 3)
    assert steer(vlm, tiny_sae(layer=None), 3, layer=1) == steer(vlm, sae, 3)


def test_a_feature_asked_for_twice_is_told_twice(vlm: VLM, sae: SAE) -> None:
    assert texts(steer(vlm, sae, [3, 40, 3])) == texts(steer(vlm, sae, [3, 40]) + steer(vlm, sae, 3))


def test_samples_are_rows_of_their_own(vlm: VLM, sae: SAE) -> None:
    found = steer(vlm, sae, [3, 40], decoding=DRAWN)
    assert [(each.feature_id, each.sample) for each in found] == [(3, 0), (3, 1), (3, 2), (40, 0), (40, 1), (40, 2)]
    assert len(set(texts(found))) > 3
    assert all(each.mean_log_probability < 0 for each in found)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_samples_do_not_depend_on_the_batch_size(vlm: VLM, sae: SAE, batch_size: int) -> None:
    some = FEATURES[:6]
    expected = texts(steer(vlm, sae, some, decoding=DRAWN, batch_size=5))
    assert texts(steer(vlm, sae, some, decoding=DRAWN, batch_size=batch_size)) == expected
    assert texts(steer(vlm, sae, some[::-1], decoding=DRAWN))[:3] == expected[-3:], "nor on who else is asked for"


def test_samples_are_seeded_by_the_decoding_alone(vlm: VLM, sae: SAE) -> None:
    first = texts(steer(vlm, sae, FEATURES, decoding=DRAWN))
    assert texts(steer(vlm, sae, FEATURES, decoding=DRAWN, seed=5)) == first
    assert texts(steer(vlm, sae, FEATURES, decoding=replace(DRAWN, seed=5))) != first


def test_samples_of_a_permuted_control_are_the_donors(vlm: VLM, sae: SAE) -> None:
    own = {(each.feature_id, each.sample): each.raw_text for each in steer(vlm, sae, FEATURES, decoding=DRAWN)}
    for each in steer(vlm, sae, FEATURES, decoding=DRAWN, control="permuted"):
        assert each.raw_text == own[each.donor_id, each.sample]


def test_greedy_samples_are_all_the_same(vlm: VLM, sae: SAE) -> None:
    greedy = texts(steer(vlm, sae, [3, 40]))
    thrice = steer(vlm, sae, [3, 40], decoding=replace(SHORT, n_samples=3))
    assert texts(thrice) == [text for text in greedy for _ in range(3)]


def test_a_direction_can_be_put_in_the_residuals_place(vlm: VLM, sae: SAE) -> None:
    (found,) = steer(vlm, sae, 3, mode="replace")
    encoded = blank(vlm)
    replaced = (80.0 * sae.direction(3)).expand_as(encoded.residual)
    assert [found.raw_text] == words(vlm, encoded.with_residual(replaced))
    assert steer(vlm, sae, 3, mode="replace", empty="black") == [found], "nothing is left of the image"


def test_a_feature_can_be_clamped_to_an_activation(vlm: VLM, sae: SAE) -> None:
    encoded = blank(vlm)
    feature_id = int(sae.encode(encoded.residual).feature_ids[0, 0, 0])
    before = sae.encode(encoded.residual).dense(N_FEATURES)[..., feature_id]
    assert before.any(), "the feature must be active on the empty image already"
    (found,) = steer(vlm, sae, feature_id, mode="clamp", strength=20.0)
    clamped = encoded.residual + (20.0 - before)[..., None] * sae.direction(feature_id)
    assert [found.raw_text] == words(vlm, encoded.with_residual(clamped))
    (added,) = steer(vlm, sae, feature_id, mode="add", strength=20.0)
    assert added.mean_log_probability != found.mean_log_probability


def test_a_class_token_is_steered_with_the_patches_or_left_alone() -> None:
    vlm, sae = vlm_of("internvl"), tiny_sae()
    encoded = blank(vlm)
    for positions in ("all", "patches"):
        push = 80.0 * sae.direction(3).repeat(encoded.residual.shape[1], 1)
        if positions == "patches":
            push[0] = 0  # where CLS stands
        expected = words(vlm, encoded.with_residual(encoded.residual + push))
        assert texts(steer(vlm, sae, 3, positions=positions)) == expected
    everywhere, patches = (steer(vlm, sae, 3, positions=each)[0] for each in ("all", "patches"))
    assert everywhere.mean_log_probability != patches.mean_log_probability


def test_positions_are_all_the_same_to_an_encoder_of_patches_alone(vlm: VLM, sae: SAE) -> None:
    assert steer(vlm, sae, FEATURES, positions="patches") == steer(vlm, sae, FEATURES)


def test_zeros_are_no_image_at_all(vlm: VLM, sae: SAE) -> None:
    encoded = vlm.encoder.encode_nothing(1)
    pushed = intervene(encoded.residual, sae.directions([3]), torch.tensor([80.0]))
    (found,) = steer(vlm, sae, 3, empty="zeros")
    assert [found.raw_text] == words(vlm, encoded.with_residual(pushed))
    assert found.mean_log_probability != steer(vlm, sae, 3)[0].mean_log_probability
    (in_norms,) = steer(vlm, sae, 3, empty="zeros", strength=Strength(2.0, "residual_norm"))
    assert in_norms.coefficient == pytest.approx(2 * encoded.residual_norm), "of what is steered"


def test_a_mean_image_needs_images(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(InvalidSetting, match=r"a mean image, without a run.*seesay collect"):
        steer(vlm, sae, 3, empty="mean")


@pytest.mark.parametrize("method", ["topk", "hybrid"])
def test_a_method_that_shows_images_needs_them(vlm: VLM, sae: SAE, method: str) -> None:
    setting = Setting(method, None if method == "topk" else STRENGTH)
    with pytest.raises(InvalidSetting, match=rf"{method} without a run; expected exemplars.*seesay collect"):
        image_free(vlm, sae, [3], setting, layer=1)
    with pytest.raises((InvalidSetting, InvalidStrength), match=method):
        steer(vlm, sae, 3, method=method)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_method_is_refused_as_every_other_choice_is(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(UnknownChoice, match="method 'sideways'"):
        steer(vlm, sae, 3, method="sideways")


def test_one_word_clamps_and_asks_a_question_of_its_own() -> None:
    vlm, sae = vlm_of(), tiny_sae()
    (found,) = steer(vlm, sae, 3, method="one-word")
    encoded = blank(vlm)
    active = sae.encode(encoded.residual).dense(N_FEATURES)[..., 3]
    clamped = encoded.residual + (80.0 - active)[..., None] * sae.direction(3)
    assert [found.raw_text] == words(vlm, encoded.with_residual(clamped), "one-word")
    assert (found.method, found.coefficient) == ("one-word", 80.0)
    added = encoded.residual + 80.0 * sae.direction(3)
    expected = words(vlm, encoded.with_residual(added), "one-word")
    assert texts(steer(vlm, sae, 3, method="one-word", mode="add")) == expected


@pytest.mark.parametrize("method", ["vocabulary", "token-change"])
def test_words_of_the_vocabulary_are_told_without_a_likelihood(vlm: VLM, sae: SAE, method: str) -> None:
    found = steer(vlm, sae, FEATURES, method=method, decoding=DRAWN)
    assert [(each.feature_id, each.sample) for each in found] == [(feature_id, 0) for feature_id in FEATURES]
    for each in found:
        assert (each.status, each.method, each.mean_log_probability) == ("ok", method, None)
        assert 1 <= len(each.text.split(", ")) <= 5
    assert len({each.text for each in found}) > 3
    for batch_size in (1, 5):
        assert texts(steer(vlm, sae, FEATURES, method=method, batch_size=batch_size)) == texts(found)


@pytest.mark.parametrize("batch_size", [1, 6])
@pytest.mark.parametrize("method", ["steering", "one-word", "vocabulary", "token-change"])
def test_no_intervention_is_one_of_no_strength(method: str, batch_size: int) -> None:
    vlm, sae = vlm_of(), tiny_sae()
    nothing = steer(vlm, sae, FEATURES[:6], method=method, mode="add", control="none", batch_size=batch_size)
    zero = steer(vlm, sae, FEATURES[:6], method=method, mode="add", strength=0.0, batch_size=batch_size)
    assert texts(nothing) == texts(zero)
    assert len(set(texts(nothing))) == 1
    for each in nothing:
        assert (each.control, each.strength, each.coefficient, each.donor_id) == ("none", None, None, None)
    if method in ("vocabulary", "token-change"):
        assert set(texts(nothing)) == {""}, "nothing can have come nearer or become more probable"
        assert {(each.status, each.reason) for each in nothing} == {("empty", "the model said no word")}


def test_random_directions_push_as_hard_as_the_feature(vlm: VLM, sae: SAE) -> None:
    in_norms = Strength(2.0, "residual_norm")
    (random,), (own,) = steer(vlm, sae, 3, control="random", strength=in_norms), steer(vlm, sae, 3, strength=in_norms)
    assert random.coefficient == own.coefficient


def test_one_feature_has_nobody_to_swap_with(vlm: VLM, sae: SAE) -> None:
    with pytest.raises(FeatureNotFound, match="at least two"):
        steer(vlm, sae, [3, 3], control="permuted")


def test_a_strength_can_be_how_far_the_first_word_moves() -> None:
    vlm, sae = vlm_of(), tiny_sae()
    features, strength = FEATURES[:3], Strength(0.02, "kl")
    found = steer(vlm, sae, features, strength=strength)
    assert {each.strength for each in found} == {strength}
    assert len({each.coefficient for each in found}) == len(features), "each feature has its own"
    for each in found:
        assert texts(steer(vlm, sae, each.feature_id, strength=each.coefficient)) == [each.raw_text]
    again = steer(vlm, sae, features, strength=strength, batch_size=1)
    assert [each.coefficient for each in again] == pytest.approx([each.coefficient for each in found], rel=1e-3)


@pytest.mark.parametrize("nats", [0.0, -1.0, math.inf, math.nan])
def test_a_word_can_only_move_so_far(vlm: VLM, sae: SAE, nats: float) -> None:
    with pytest.raises(InvalidStrength, match=r"expected a (finite )?number"):
        steer(vlm, sae, 3, strength=Strength(nats, "kl"))


def test_an_explainer_with_other_eyes_than_the_subject_is_refused_or_says_so(sae: SAE) -> None:
    vlm, other = vlm_of(), gemma3().vlm()
    assert steer(vlm, sae, 3, subject=vlm_of())[0].encoder_differs_in == ""
    with torch.no_grad():
        next(other.encoder.tower.parameters()).add_(1.0)
    with pytest.raises(MismatchedEncoder):
        steer(vlm, sae, 3, subject=other)
    allowed = steer(vlm, sae, 3, subject=other.encoder, allow_different_encoder=True)
    assert allowed[0].encoder_differs_in
    assert texts(allowed) == texts(steer(vlm, sae, 3))


def test_features_can_be_steered_on_a_picture_of_ones_own(vlm: VLM, sae: SAE) -> None:
    photo = Image.effect_noise((90, 60), 90).convert("RGB")
    (unsteered,) = steer(vlm, sae, 3, image=photo, strength=0.0)
    assert unsteered.raw_text == words(vlm, vlm.encode_to([photo], 1))[0]
    assert texts(steer(vlm, sae, FEATURES, image=photo)) != texts(steer(vlm, sae, FEATURES))


def test_a_strength_counts_in_the_empty_images_norm_whatever_is_steered(vlm: VLM, sae: SAE) -> None:
    photo, once = Image.effect_noise((90, 60), 90).convert("RGB"), Strength(1.0, "residual_norm")
    on_photo, on_white = steer(vlm, sae, 3, image=photo, strength=once), steer(vlm, sae, 3, strength=once)
    assert on_photo[0].coefficient == on_white[0].coefficient


def test_features_pushed_along_with_each_other_say_the_same_whichever_is_asked_for(vlm: VLM, sae: SAE) -> None:
    for positions in ("all", "patches"):
        (one,) = steer(vlm, sae, 3, along={5: -40.0, 6: 10.0}, positions=positions)
        (other,) = steer(vlm, sae, 5, strength=Strength(-40.0), along={3: 80.0, 6: 10.0}, positions=positions)
        assert one.raw_text == other.raw_text
    together, alone = steer(vlm, sae, FEATURES, along={5: 200.0}), steer(vlm, sae, FEATURES)
    assert texts(together) != texts(alone)
    assert texts(steer(vlm, sae, FEATURES, along={5: 0.0})) == texts(alone)


def test_what_is_pushed_along_counts_in_the_same_unit(vlm: VLM, sae: SAE) -> None:
    norm = blank(vlm).residual_norm
    (in_norms,) = steer(vlm, sae, 3, strength=Strength(1.0, "residual_norm"), along={5: 0.5})
    (in_coefficients,) = steer(vlm, sae, 3, strength=norm, along={5: 0.5 * norm})
    assert in_norms.raw_text == in_coefficients.raw_text


def test_features_are_pushed_along_only_where_something_is_added(vlm: VLM, sae: SAE) -> None:
    for options in ({"mode": "replace"}, {"strength": Strength(1.0, "kl")}):
        with pytest.raises(InvalidSetting, match="pushed along"):
            steer(vlm, sae, 3, along={5: 1.0}, **options)
    with pytest.raises(FeatureNotFound):
        steer(vlm, sae, 3, along={N_FEATURES: 1.0})


def test_something_else_can_be_asked(vlm: VLM, sae: SAE) -> None:
    question = "Name a colour."
    before = vlm.prompts
    (said,) = steer(vlm, sae, 3, prompt=question)
    pushed = intervene(blank(vlm).residual, sae.directions([3]), torch.tensor([80.0]))
    rows = [[image] for image in vlm.encode_from(blank(vlm).with_residual(pushed))]
    assert said.raw_text == vlm.say(question, rows, SHORT)[0].text
    assert vlm.prompts is before, "for others it stays as it was"
    with pytest.raises(UnreadablePrompt, match="empty"):
        steer(vlm, sae, 3, prompt=" ")
    with pytest.raises(InvalidSetting, match="asks none"):
        steer(vlm, sae, 3, method="vocabulary", prompt=question)


def test_whoever_watches_hears_the_words_as_they_come(vlm: VLM, sae: SAE) -> None:
    heard: list[list[str]] = []
    explainer = image_free(vlm, sae, [3, 4], Setting(strength=STRENGTH, decoding=SHORT), layer=1, watch=heard.append)
    (said,) = explainer.explain([3, 4])
    assert len(heard) > 2
    assert all(len(each) == 2 for each in heard)
    for place, explanation in enumerate(said):
        assert explanation.raw_text.startswith(heard[-1][place])
        assert heard[0][place] == ""


def test_whoever_watches_can_end_it(vlm: VLM, sae: SAE) -> None:
    def stop(said: Sequence[str]) -> None:
        if said[0]:
            raise KeyboardInterrupt

    explainer = image_free(vlm, sae, [3], Setting(strength=STRENGTH, decoding=SHORT), layer=1, watch=stop)
    with pytest.raises(KeyboardInterrupt):
        list(explainer.explain([3]))
    assert texts(steer(vlm, sae, 3)) == texts(steer(vlm, sae, 3)), "nothing is left behind"


def test_a_picture_may_be_a_file(vlm: VLM, sae: SAE, tmp_path: Path) -> None:
    photo = Image.effect_noise((90, 60), 90).convert("RGB")
    photo.save(tmp_path / "photo.png")
    for file in (tmp_path / "photo.png", str(tmp_path / "photo.png")):
        assert texts(steer(vlm, sae, 3, image=file)) == texts(steer(vlm, sae, 3, image=photo))
    with pytest.raises(UnreadableImage):
        steer(vlm, sae, 3, image="nowhere.png")
