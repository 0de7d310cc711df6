"""The loop that all methods share: what is recorded, and what happens where something is missing or too large."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from seesay.errors import InvalidStrength, LayerNotFound, MismatchedEncoder, UnreadablePrompt
from seesay.explainers.config import Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import Gallery, NoImages
from seesay.explainers.sights import ExemplarSight, Sight
from seesay.images.blank import blank_image, mean_image
from seesay.records import Decoding, Explanation, Strength
from seesay.vlm import VLM, Answer, Prompts
from tests.explainers.galleries import PROMPTS, Shelf, asked, kept, shelf, vlm_of
from tests.tiny import tiny_sae

SAE, LAYER, SHORT = tiny_sae(), 1, Decoding(5)
N_IMAGES = {3: 2, 40: 3, 17: 1, 5: 4}
FEATURES = list(N_IMAGES)


def gallery(vlm: VLM) -> Shelf:
    filled = shelf(vlm.encoder, N_IMAGES)
    filled.maxima = {feature_id: 10.0 + feature_id for feature_id in FEATURES}
    return filled


def explainer(vlm: VLM, of: Gallery | None = None, method: str = "hybrid", **more: Any) -> Explainer:
    options = {"strength": None if method == "topk" else Strength(30.0), "decoding": SHORT} | more
    return Explainer(vlm, Setting(method, **options), gallery(vlm) if of is None else of, sae=SAE, layer=LAYER)


def explain(vlm: VLM, features: Sequence[int] = FEATURES, batch_size: int = 64, **more: Any) -> list[Explanation]:
    return [each for batch in explainer(vlm, **more).explain(features, batch_size) for each in batch]


def texts(explanations: list[Explanation]) -> list[str]:
    return [explanation.raw_text for explanation in explanations]


def speaking(answers: list[Answer], monkeypatch: pytest.MonkeyPatch, prompts: Prompts = PROMPTS) -> VLM:
    """A model that says what it is told to."""
    vlm = asked(prompts)
    monkeypatch.setattr(vlm, "say", lambda _prompt, rows, *_more, **_named: answers[: len(rows)])
    return vlm


def forgetting(vlm: VLM, name: str, n: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a part of the model run out of memory beyond n images; the numbers of images that it was asked for."""
    sizes: list[int] = []
    run = getattr(vlm, name)

    def short_of_memory(*given: Any, **named: Any) -> Any:
        sizes.append(sum(map(len, given[1])) if name in ("say", "next_word") else len(given[0]))
        if sizes[-1] > n:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(*given, **named)

    monkeypatch.setattr(vlm, name, short_of_memory)
    return sizes


@pytest.mark.parametrize("method", ["steering", "topk", "hybrid"])
@pytest.mark.parametrize("control", [None, "random", "permuted"])
def test_words_do_not_depend_on_the_batch(method: str, control: str | None) -> None:
    vlm = vlm_of()
    together = explain(vlm, method=method, control=control)
    assert [each.feature_id for each in together] == FEATURES
    for batch_size in (1, 3):
        assert texts(explain(vlm, batch_size=batch_size, method=method, control=control)) == texts(together)
    assert texts(explain(vlm, FEATURES[::-1], method=method, control=control)) == texts(together)[::-1]


def test_the_images_that_were_shown_are_recorded() -> None:
    vlm = vlm_of()
    shown = gallery(vlm).exemplars_of
    for each in explain(vlm, n_images=2) + explain(vlm, n_images=2, method="topk"):
        assert each.image_ids == tuple(exemplar.image.image_id for exemplar in shown[each.feature_id][:2])
    assert {each.image_ids for each in explain(vlm, method="steering")} == {()}


def test_a_method_that_pushes_nothing_records_no_strength() -> None:
    for each in explain(vlm_of(), method="topk"):
        assert (each.method, each.strength, each.coefficient, each.status) == ("topk", None, None, "ok")
    for each in explain(vlm_of(), control="none"):
        assert (each.control, each.strength, each.coefficient, each.donor_id) == ("none", None, None, None)


def test_a_strength_can_count_in_each_features_own_activations() -> None:
    in_activations = {"strength": Strength(2.0, "max_activation")}
    found = explain(vlm_of(), **in_activations)
    assert [each.coefficient for each in found] == [2 * (10.0 + feature_id) for feature_id in FEATURES]
    for each in explain(vlm_of(), control="permuted", **in_activations):
        assert each.coefficient == 2 * (10.0 + each.donor_id)


def test_a_permuted_control_says_the_donors_words_whatever_is_shown() -> None:
    own = {each.feature_id: each for each in explain(vlm_of())}
    for each in explain(vlm_of(), control="permuted"):
        assert (each.raw_text, each.image_ids) == (own[each.donor_id].raw_text, own[each.donor_id].image_ids)


def test_no_intervention_shows_the_same_images_and_pushes_nothing() -> None:
    assert texts(explain(vlm_of(), control="none")) == texts(explain(vlm_of(), strength=Strength(0.0)))
    vlm = asked(PROMPTS)
    assert texts(explain(vlm, control="none")) == texts(explain(vlm, method="topk")), "but for the question"


def test_what_a_mask_hides_has_the_colour_that_the_prompts_name() -> None:
    black, pink = asked(replace(PROMPTS, mask_fill=(0, 0, 0))), vlm_of()
    found = [explain(vlm, method="topk")[0].mean_log_probability for vlm in (black, pink)]
    assert found[0] != found[1]
    plain = [explain(vlm, method="topk", overlay="plain")[0].mean_log_probability for vlm in (black, pink)]
    assert plain[0] == plain[1]


def test_the_mean_image_is_that_of_the_gallery() -> None:
    vlm = vlm_of()
    filled = gallery(vlm)
    mean = mean_image(filled.pictures.values(), vlm.encoder.image_size)
    (found,) = explain(vlm, [3], method="steering", empty="mean", of=filled)
    encoded = vlm.encode_to([mean], LAYER)
    tokens = vlm.encode_from(encoded.with_residual(encoded.residual + 30.0 * SAE.direction(3)))
    assert found.raw_text == vlm.say(PROMPTS["steering"], [tokens], SHORT)[0].text


@pytest.mark.parametrize("method", ["topk", "hybrid"])
def test_features_without_images_are_empty_with_a_reason_and_keep_nobody_else_back(method: str) -> None:
    expected = {each.feature_id: each.raw_text for each in explain(vlm_of(), method=method)}
    found = explain(vlm_of(), [8, 3, 9, 40, 17, 5], batch_size=2, method=method)
    assert [each.feature_id for each in found] == [8, 3, 9, 40, 17, 5]
    for each in found:
        if each.feature_id in (8, 9):
            assert (each.status, each.text, each.raw_text, each.image_ids) == ("empty", "", "", ())
            assert each.reason == "no image of the explaining half activates it"
        else:
            assert (each.status, each.raw_text, each.reason) == ("ok", expected[each.feature_id], "")


def test_nothing_but_features_without_images_never_asks_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = asked(PROMPTS)
    monkeypatch.setattr(vlm, "say", None)
    drawn = Decoding(5, n_samples=2)
    assert [(each.status, each.sample) for each in explain(vlm, [8, 9], decoding=drawn)] == [
        ("empty", 0),
        ("empty", 1),
    ] * 2


def test_a_dead_feature_is_empty_with_a_reason() -> None:
    filled = gallery(vlm_of())
    filled.maxima[40] = 0.0
    found = explain(vlm_of(), of=filled, strength=Strength(1.0, "max_activation"))
    assert [each.status for each in found] == ["ok", "empty", "ok", "ok"]
    assert "never active" in found[1].reason


def test_a_feature_of_unknown_activation_is_refused_before_anything_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = asked(PROMPTS)
    monkeypatch.setattr(vlm, "say", None)
    with pytest.raises(InvalidStrength, match="max_activation"):
        explain(vlm, [3, 6], strength=Strength(1.0, "max_activation"))


@pytest.mark.parametrize("name", ["say", "encode_to", "encode_from"])
def test_a_batch_too_large_for_memory_is_halved(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts(explain(vlm_of()))
    vlm = asked(PROMPTS)
    sizes = forgetting(vlm, name, 4, monkeypatch)
    assert texts(explain(vlm)) == expected
    assert max(sizes) > 4, "it must have been too much at first"


def test_the_images_of_a_single_feature_can_be_encoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts(explain(vlm_of()))
    vlm = asked(PROMPTS)
    forgetting(vlm, "encode_from", 1, monkeypatch)
    assert texts(explain(vlm)) == expected


@pytest.mark.parametrize("method", ["vocabulary", "token-change"])
def test_a_batch_of_looked_up_words_is_halved_too(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts(explain(vlm_of(), method=method))
    vlm = asked(PROMPTS)
    assert len(forgetting(vlm, "encode_from", 2, monkeypatch)) == 0
    assert texts(explain(vlm, method=method)) == expected


def test_a_single_feature_too_large_for_memory_is_failed_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = texts(explain(vlm_of()))
    vlm = asked(PROMPTS)
    forgetting(vlm, "say", 3, monkeypatch)  # feature 5 has four images
    found = explain(vlm, decoding=replace(SHORT, n_samples=2))
    assert texts(found[:6:2]) == expected[:3]
    for sample, each in enumerate(found[6:]):
        assert (each.feature_id, each.sample, each.status) == (5, sample, "failed")
        assert (each.text, each.raw_text, each.mean_log_probability) == ("", "", None)
        assert each.reason == "memory does not suffice for one feature"


def test_an_error_that_is_not_of_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = asked(PROMPTS)

    def fail(*_given: object, **_named: object) -> list[Answer]:
        raise RuntimeError("a shape is wrong")

    monkeypatch.setattr(vlm, "say", fail)
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        explain(vlm)


@pytest.mark.parametrize("log_probability", [math.nan, -math.inf])
def test_words_of_numbers_that_overflowed_are_failed(log_probability: float, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = speaking([Answer("w1 w2", log_probability), Answer("w3", -1.0)], monkeypatch)
    bad, good = explain(vlm, FEATURES[:2])
    assert (bad.status, bad.text, bad.raw_text, bad.mean_log_probability) == ("failed", "", "w1 w2", None)
    assert bad.reason == "the numbers overflowed on the way to the words"
    assert (good.status, good.text, good.reason) == ("ok", "w3", "")


@pytest.mark.parametrize("method", ["vocabulary", "token-change"])
def test_looked_up_words_of_numbers_that_overflowed_are_failed(method: str) -> None:
    vlm = asked(PROMPTS)
    with torch.no_grad():
        vlm.encoder.blocks[LAYER + 1].register_forward_hook(lambda _block, _inputs, output: output * math.nan)
    (found,) = explain(vlm, [3], method=method)
    assert (found.status, found.reason) == ("failed", "the numbers overflowed on the way to the words")


def test_words_of_a_model_that_overflows_are_failed() -> None:
    vlm = asked(PROMPTS)
    vlm.encoder.blocks[LAYER + 1].register_forward_hook(lambda _block, _inputs, output: output * math.nan)
    (found,) = explain(vlm, [3])
    assert (found.status, found.text, found.mean_log_probability) == ("failed", "", None)


@pytest.mark.parametrize("answer", ["", " \n", "The element is a", "*.", "!?"])
def test_an_answer_without_words_is_empty(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = speaking([Answer(answer, -1.0)], monkeypatch, replace(PROMPTS, opening="The element is"))
    (found,) = explain(vlm, [3])
    assert (found.status, found.text, found.raw_text, found.mean_log_probability) == ("empty", "", answer, -1.0)
    assert found.reason == "the model said no word"


def test_what_is_missing_is_said_before_anything_is_explained() -> None:
    vlm = vlm_of()
    for method in ("steering", "hybrid", "vocabulary"):
        with pytest.raises(InvalidStrength, match=f"no strength for {method}"):
            explainer(vlm, method=method, strength=None)
    assert explainer(vlm, strength=None, control="none")
    with pytest.raises(LayerNotFound, match="give the layer"):
        Explainer(vlm, Setting("hybrid", Strength(1.0)), gallery(vlm), sae=SAE)
    with pytest.raises(LayerNotFound, match="block 9"):
        Explainer(vlm, Setting("hybrid", Strength(1.0)), gallery(vlm), sae=SAE, layer=9)
    for method in ("topk", "hybrid", "one-word"):
        with pytest.raises(UnreadablePrompt, match="topk" if method == "hybrid" else method):
            explainer(asked(Prompts({"steering": "what ?"})), method=method)
    with pytest.raises(InvalidStrength, match="finite"):
        explainer(vlm, strength=Strength(math.nan))
    assert Explainer(vlm, Setting("topk"), gallery(vlm)), "which needs no SAE"


def test_images_that_the_explainer_divides_otherwise_are_refused_where_they_are_steered() -> None:
    vlm = vlm_of()
    filled = gallery(vlm)
    (exemplar,) = filled.exemplars_of[17]
    elsewhere = replace(exemplar.image, grid=(8, 8))
    filled.exemplars_of[17] = [replace(exemplar, image=elsewhere)]
    with pytest.raises(MismatchedEncoder, match=r"4 x 4 patches; expected 8 x 8, as when it was collected"):
        explain(vlm, [17], of=filled)
    assert explain(vlm, [17], of=filled, method="topk")[0].status == "ok", "to show them is no harm"


def divergences(explainers: list[Explainer], features: Sequence[int], batch_size: int = 64) -> list[list[float]]:
    """Of each feature, with each explainer."""
    return [each for batch in Explainer.divergences(explainers, features, batch_size) for each in batch]


def test_divergences_tell_how_far_the_first_word_moves() -> None:
    vlm, alphas = vlm_of(), (30.0, 90.0)
    explainers = [explainer(vlm, method="steering", strength=Strength(alpha)) for alpha in alphas]
    found = divergences(explainers, FEATURES, batch_size=3)
    encoded = vlm.encode_to([blank_image("white", vlm.encoder.image_size)], LAYER)
    before = vlm.next_word(PROMPTS["steering"], [vlm.encode_from(encoded)], PROMPTS.start)
    for feature_id, values in zip(FEATURES, found, strict=True):
        for alpha, nats in zip(alphas, values, strict=True):
            pushed = encoded.with_residual(encoded.residual + alpha * SAE.direction(feature_id))
            after = vlm.next_word(PROMPTS["steering"], [vlm.encode_from(pushed)], PROMPTS.start)
            assert nats == pytest.approx((after.exp() * (after - before)).sum().item(), abs=1e-6)


def test_divergences_on_images_are_measured_against_the_same_images() -> None:
    vlm = vlm_of()
    explainers = [explainer(vlm, strength=Strength(alpha)) for alpha in (0.0, 30.0)]
    for none, some in divergences(explainers, FEATURES):
        assert none == pytest.approx(0.0, abs=1e-6)
        assert some > 1e-5
    assert divergences(explainers, FEATURES, 1) == [
        pytest.approx(each, abs=1e-6) for each in divergences(explainers, FEATURES)
    ]
    assert divergences([explainer(vlm, control="none")], [3]) == [[pytest.approx(0.0, abs=1e-6)]]


def test_what_cannot_be_explained_or_does_not_fit_moves_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    (without, with_images) = divergences([explainer(vlm_of())], [8, 3])
    assert math.isnan(without[0])
    assert with_images[0] > 0
    vlm = asked(PROMPTS)
    forgetting(vlm, "next_word", 3, monkeypatch)  # feature 5 has four images
    found = divergences([explainer(vlm)], [3, 5])
    assert found[0] == pytest.approx(with_images, abs=1e-6)
    assert math.isnan(found[1][0])


def test_a_strength_in_nats_moves_each_features_word_so_far() -> None:
    features = FEATURES[:2]
    found = explain(vlm_of(), features, strength=Strength(0.01, "kl"))
    for each in found:
        alone = explainer(vlm_of(), strength=Strength(each.coefficient))
        assert divergences([alone], [each.feature_id]) == [pytest.approx([0.01], rel=0.5)], "but for the steps"
        (same,) = [same for batch in alone.explain([each.feature_id]) for same in batch]
        assert same.raw_text == each.raw_text
    assert len({each.coefficient for each in found}) == 2


def test_galleries_and_sights_are_seams() -> None:
    vlm = vlm_of()
    filled = gallery(vlm)
    assert isinstance(filled, Gallery)
    assert isinstance(NoImages([3]), Gallery)
    assert isinstance(ExemplarSight(vlm, None, None, Setting("topk"), filled), Sight)


def test_a_gallery_without_images_says_so() -> None:
    nothing = NoImages([3, 4])
    image = kept(1, (32, 32), vlm_of().encoder)
    for ask in (
        lambda: nothing.exemplars(3, "top", 5),
        lambda: nothing.picture(image),
        lambda: nothing.mean_image(32),
    ):
        with pytest.raises(Exception, match="without a run; expected a run that is collected; seesay collect first"):
            ask()
    assert nothing.max_activation(3) is None
    assert [list(group) for group in nothing.groups()] == [[3, 4]]


def test_a_small_picture_of_another_shape_is_brought_back_only_where_it_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, int]] = []
    for family in ("gemma3", "qwen2_5_vl"):
        vlm = asked(PROMPTS, family)
        filled = shelf(vlm.encoder, {3: 1}, ((64, 32),))
        filled.pictures = {name: each.resize((32, 16)) for name, each in filled.pictures.items()}
        encode_to = vlm.encode_to

        def record(images: Sequence[Image.Image], *more: Any, _run: Any = encode_to, **named: Any) -> Any:
            seen.extend(image.size for image in images)
            return _run(images, *more, **named)

        monkeypatch.setattr(vlm, "encode_to", record)
        explain(vlm, [3], of=filled)
    assert [size for size in seen if size[0] != size[1]] == [(32, 16), (64, 32)]
