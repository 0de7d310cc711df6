"""Images made from words: against scikit-learn, and on the world's own pictures, where words have a meaning."""

import json
from collections.abc import Callable, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from seesay import world
from seesay.errors import UnknownPhrase
from seesay.sae import SAE, load_sae
from seesay.scorers import auroc as module
from seesay.scorers.activations import Activations
from seesay.scorers.auroc import Auroc
from seesay.scorers.config import PAPER, Scoring
from seesay.scorers.scorer import Item, Measured, Scorer
from seesay.statistics import pooled_auc
from seesay.vlm import VLM
from seesay.world.grammar import phrase
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import seeds
from seesay.world.synthesis import synthesise
from seesay.world.truth import measure
from tests.scorers.held_out import MadeHeldOut
from tests.tiny import N_FEATURES, tiny_sae

LAYER, N = 1, 6
FACTS = {"synthesiser": "noise", "algorithm": 7}
TEXTS = ["a frog", "a red star", "a cat"]
DEAD = 5


def noise(seed: int, n: int, size: int = 32) -> list[Image.Image]:
    draw = np.random.default_rng(seed)
    return [Image.fromarray(draw.integers(0, 256, (size, size, 3), np.uint8)) for _ in range(n)]


MADE = {text: noise(number, N) for number, text in enumerate(TEXTS)}
CONTROL = noise(99, N)


def tiny() -> SAE:
    sae = tiny_sae()
    sae.b_enc[DEAD] = -1e6
    return sae


def scorer(
    vlm: VLM,
    made: Callable[[str], list[Image.Image] | None] = MADE.get,
    control: Sequence[Image.Image] = CONTROL,
    scoring: Scoring | None = None,
    **more: Any,
) -> Auroc:
    activations = Activations(vlm.encoder, tiny(), LAYER, **more)
    return Auroc(MadeHeldOut({}, background=control), made, activations, scoring or Scoring(n_images=N), FACTS)


def all_items() -> list[Item]:
    return [Item(feature_id, text) for feature_id in range(N_FEATURES) for text in TEXTS]


def close(found: Sequence[Measured], expected: Sequence[Measured]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-6)
        assert one.others == pytest.approx(other.others, rel=1e-3, abs=1e-6)
        for side in ("synthesised", "control"):
            assert one.details[side] == pytest.approx(other.details[side], abs=1e-5)


def test_values_are_those_of_scikit_learn_and_of_the_formula(vlm: VLM) -> None:
    activations = Activations(vlm.encoder, tiny(), LAYER)
    control = activations.of(CONTROL)
    made = {text: activations.of(images) for text, images in MADE.items()}
    items = all_items()
    for item, measured in zip(items, scorer(vlm).score(items), strict=True):
        on_made, on_control = made[item.text][:, item.feature_id].tolist(), control[:, item.feature_id].tolist()
        truth = [1] * N + [0] * N
        assert measured.value == pytest.approx(roc_auc_score(truth, on_made + on_control))
        spread = stdev(on_control)
        mad = (mean(on_made) - mean(on_control)) / spread if spread else 0.0
        assert measured.others == pytest.approx({"mean_activation": mean(on_made), "mad": mad}, rel=1e-5, abs=1e-9)
        assert measured.details == {"synthesised": pytest.approx(on_made), "control": pytest.approx(on_control)}
        assert measured.reason == ""


def test_it_is_a_scorer_whose_facts_are_plain_and_tell_all_settings(vlm: VLM) -> None:
    found = scorer(vlm)
    assert isinstance(found, Scorer)
    assert json.loads(json.dumps(found.facts)) == found.facts
    others = [scorer(vlm, scoring=each) for each in (Scoring(n_images=N + 1), Scoring("shared", n_images=N), PAPER)]
    assert all(other.facts != found.facts for other in others)
    assert found.facts["synthesiser"] == FACTS


def test_a_dead_feature_is_even_all_ties_being_halves(vlm: VLM) -> None:
    [measured] = scorer(vlm).score([Item(DEAD, TEXTS[0])])
    assert measured.value == 0.5
    assert measured.others == {"mean_activation": 0.0, "mad": 0.0}
    assert measured.reason == ""


def test_images_of_the_control_images_themselves_are_even(vlm: VLM) -> None:
    for measured in scorer(vlm, lambda _text: CONTROL[::-1]).score([Item(each, "x") for each in range(N_FEATURES)]):
        assert measured.value == pytest.approx(0.5)
        assert measured.others["mad"] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(("text", "reason"), [("", "empty"), (" \n", "empty"), ("a unicorn", "no image can be made")])
@pytest.mark.parametrize("nothing", [None, []])
def test_words_that_nothing_can_be_made_of_are_chance(
    text: str, reason: str, nothing: list[Any] | None, vlm: VLM
) -> None:
    found = scorer(vlm, lambda _text: nothing)
    [measured, dead] = found.score([Item(0, text), Item(DEAD, text)])
    assert (measured.value, dead.value) == (0.5, 0.5)
    on_control = Activations(vlm.encoder, tiny(), LAYER).of(CONTROL)[:, 0]
    assert measured.others == pytest.approx({"mean_activation": float(on_control.mean()), "mad": 0.0}, abs=1e-6)
    # In the one ROC of all features silence stands for images like any others.
    assert measured.details["synthesised"] == measured.details["control"]
    assert pooled_auc([tuple(np.array(measured.details[side]) for side in ("synthesised", "control"))]) == 0.5
    assert reason in measured.reason


def test_an_empty_text_is_never_asked_for(vlm: VLM) -> None:
    asked: list[str] = []
    scorer(vlm, lambda text: asked.append(text)).score([Item(0, ""), Item(1, "x"), Item(2, " ")])
    assert asked == ["x"]


def test_without_control_images_there_is_no_number(vlm: VLM) -> None:
    for measured in scorer(vlm, control=[]).score([Item(0, TEXTS[0]), Item(1, "")]):
        assert measured.value is None
        assert "no image to compare with" in measured.reason


def test_no_items_have_no_scores(vlm: VLM) -> None:
    assert scorer(vlm).score([]) == []


def test_fewer_images_than_asked_for_will_do(vlm: VLM) -> None:
    [measured] = scorer(vlm, lambda _text: MADE[TEXTS[0]][:2], CONTROL[:4]).score([Item(3, TEXTS[0])])
    assert (len(measured.details["synthesised"]), len(measured.details["control"])) == (2, 4)
    truth = [1, 1, 0, 0, 0, 0]
    values = [*measured.details["synthesised"], *measured.details["control"]]
    assert measured.value == pytest.approx(roc_auc_score(truth, values))


def test_there_are_as_many_control_images_as_made_ones(vlm: VLM) -> None:
    [measured] = scorer(vlm, control=[*CONTROL, *noise(5, 4)]).score([Item(3, TEXTS[0])])
    assert len(measured.details["control"]) == N


@pytest.mark.parametrize("batch_size", [1, 4])
def test_scores_depend_neither_on_one_another_nor_on_batches(batch_size: int, vlm: VLM) -> None:
    items = all_items()
    together = scorer(vlm).score(items)
    again = scorer(vlm, batch_size=batch_size)
    close([measured for item in items[:12] for measured in again.score([item])], together[:12])
    close(scorer(vlm, batch_size=batch_size).score(items[::-1]), together[::-1])


def test_each_texts_images_are_encoded_once_and_so_are_the_control_images(
    vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scorer(vlm)
    n_encoded: list[int] = []
    encode = found._activations.of
    monkeypatch.setattr(found._activations, "of", lambda images: (n_encoded.append(len(images)), encode(images))[1])
    items = all_items()
    found.score(items)
    permuted = [Item(item.feature_id, items[place - 1].text) for place, item in enumerate(items)]
    expected = {
        (item.feature_id, item.text): measured for item, measured in zip(items, found.score(items), strict=True)
    }
    assert found.score(permuted) == [expected[item.feature_id, item.text] for item in permuted]
    assert n_encoded == [N] * (1 + len(TEXTS))


def test_what_is_forgotten_is_looked_at_again(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    items = all_items()
    expected = scorer(vlm).score(items)
    monkeypatch.setattr(module, "_MOST_BYTES", 0)
    asked: list[str] = []
    found = scorer(vlm, lambda text: (asked.append(text), MADE[text])[1])
    assert [found.score(items), found.score(items)] == [expected, expected]
    assert asked == TEXTS * 2


@pytest.mark.slow
def test_the_right_words_beat_wrong_ones_in_the_world() -> None:
    n_images, n_scenes, n_features = 12, 320, 30
    subject, sae = world.load_vlm("world:S", device="cpu"), load_sae(world.sae("world:middle"))
    layer = sae.provenance.layer
    assert layer is not None
    truth = measure(subject, sae, layer, n_scenes=n_scenes)
    first = [(feature_id, concepts[0]) for feature_id in truth.live if (concepts := truth.concepts(feature_id))]
    # Every image has a top left and edges of all kinds: whole images cannot tell words for them from others.
    known = [each for each in first if each[1].kind not in ("position", "edge")]
    # Those that answer to most of what their concept covers: one that is active in a scene of a hundred is silent on
    # most images of its own words as well.
    known = sorted(known, key=lambda each: truth.f1(*each), reverse=True)[:n_features]

    def made(text: str) -> list[Image.Image] | None:
        try:
            return [synthesise(text, number).image for number in range(n_images)]
        except UnknownPhrase:
            return None

    control = [render(sample(seed)).image for seed in seeds("truth", n_scenes, n_images)]
    found = Auroc(
        MadeHeldOut({}, background=control),
        made,
        Activations(subject.encoder, sae, layer),
        Scoring(n_images=n_images),
        FACTS,
    )
    right = [Item(feature_id, phrase(concept)) for feature_id, concept in known]
    wrong = [Item(item.feature_id, right[place - 7].text) for place, item in enumerate(right)]
    pairs = [
        (one.value, other.value)
        for one, other, mine, others in zip(found.score(right), found.score(wrong), right, wrong, strict=True)
        if mine.text != others.text and one.value is not None and other.value is not None
    ]
    assert all(measured.reason == "" for measured in found.score(right)), "each phrase can be shown"
    assert len(pairs) >= n_features // 2
    assert mean(one > other for one, other in pairs) > 0.8
    assert mean(one for one, _ in pairs) > 0.75
    assert mean(other for _, other in pairs) == pytest.approx(0.5, abs=0.1)
    nothing = found.score([Item(item.feature_id, "a unicorn") for item in right])
    assert {measured.value for measured in nothing} == {0.5}
