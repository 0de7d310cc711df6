"""What a feature stands for: against a double loop, and on features made by hand."""

import statistics

import numpy as np
import pytest
import torch

from seesay import world
from seesay.sae import SAE, load_sae
from seesay.vlm import VLM
from seesay.world import truth as module
from seesay.world.concepts import CONCEPTS, INDEX, Concept
from seesay.world.masks import PRESENT, coverage
from seesay.world.rendering import render
from seesay.world.scenes import Scene, sample
from seesay.world.streams import RANGES, seeds
from seesay.world.truth import MIN_IMAGES, Truth, first_named, is_hit, measure, names_any

LAYER = 3
FROG, ANIMAL, RED = Concept("thing", "frog"), Concept("category", "animal"), Concept("colour", "red")
WHITE = Concept("background", "white")


@pytest.fixture(scope="module")
def subject() -> VLM:
    return world.load_vlm(device="cpu")


@pytest.fixture(scope="module")
def middle() -> SAE:
    return load_sae(world.sae("world:middle"))


def test_precision_recall_and_base_rate_equal_a_double_loop(subject: VLM, middle: SAE) -> None:
    n_scenes, features = 70, range(20)
    truth = measure(subject, middle, LAYER, n_scenes=n_scenes)
    weighted = torch.zeros(len(features), len(CONCEPTS))
    total = torch.zeros(len(features))
    hit = torch.zeros(len(features), len(CONCEPTS))
    base = torch.zeros(len(CONCEPTS))
    n_images = torch.zeros(len(features), dtype=torch.long)
    for seed in seeds("truth", 0, n_scenes):
        rendering = render(sample(seed))
        [residual] = subject.encode_to([rendering.image], LAYER).residual
        codes = middle.encode(residual).dense(middle.n_features)
        present = torch.from_numpy(coverage(rendering) >= PRESENT).float()
        base += present.sum(1)
        for feature in features:
            n_images[feature] += bool((codes[:, feature] > 0).any())
            for patch in range(len(codes)):
                weighted[feature] += codes[patch, feature] * present[:, patch]
                total[feature] += codes[patch, feature]
                hit[feature] += bool(codes[patch, feature] > 0) * present[:, patch]
    fired = total > 0
    assert torch.equal(truth.n_images[: len(features)], n_images)
    assert torch.allclose(truth.base_rate, base / n_scenes / 64, atol=1e-5)
    assert torch.allclose(truth.recall[: len(features)], hit / base, atol=1e-5, equal_nan=True)
    assert (truth.stream, truth.n_scenes) == ("truth", n_scenes)
    expected = weighted[fired] / total[fired, None]
    assert torch.allclose(truth.precision[: len(features)][fired], expected, atol=1e-4)


def test_truth_is_measured_on_scenes_of_its_own(subject: VLM, middle: SAE, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noting(seed: int) -> Scene:
        seen.append(seed)
        return sample(seed)

    monkeypatch.setattr(module, "sample", noting)
    measure(subject, middle, LAYER, n_scenes=5)
    assert len(seen) == 5
    assert all(seed in RANGES["truth"] for seed in seen)


def test_an_encoder_alone_is_enough(subject: VLM, middle: SAE) -> None:
    whole, alone = (measure(each, middle, LAYER, n_scenes=8) for each in (subject, subject.encoder))
    assert torch.equal(whole.n_images, alone.n_images)
    assert torch.equal(whole.recall.nan_to_num(-1), alone.recall.nan_to_num(-1))


def made_by_hand(
    precision: dict[Concept, float],
    base_rate: float = 0.1,
    n_images: int = 50,
    recall: dict[Concept, float] | None = None,
) -> Truth:
    rows = torch.zeros(2, 1, len(CONCEPTS))
    for row, values in zip(rows, (precision, recall or {}), strict=True):
        for concept, value in values.items():
            row[0, INDEX[concept]] = value
    return Truth(rows[0], torch.full((len(CONCEPTS),), base_rate), torch.tensor([n_images]), rows[1])


def test_f1_is_of_precision_and_recall_and_0_without_either() -> None:
    nowhere, red = float("nan"), {RED: 0.0}
    truth = made_by_hand({FROG: 0.6, ANIMAL: 0.9, WHITE: 0.5} | red, recall={FROG: 0.3, WHITE: nowhere} | red)
    assert truth.f1(0, FROG) == pytest.approx(statistics.harmonic_mean([0.6, 0.3]))
    assert [truth.f1(0, concept) for concept in (ANIMAL, WHITE, RED)] == [0.0, 0.0, 0.0]


def test_a_concept_holds_where_it_is_precise_and_lifted() -> None:
    assert made_by_hand({FROG: 0.7, RED: 0.5}).concepts(0) == (FROG,)


def test_a_concept_that_is_everywhere_does_not_hold() -> None:
    assert made_by_hand({FROG: 0.7}, base_rate=0.3).concepts(0) == ()


def test_of_equally_precise_concepts_the_rarer_comes_first() -> None:
    truth = made_by_hand({ANIMAL: 0.9, FROG: 0.9})
    truth.base_rate[INDEX[ANIMAL]] = 0.2
    assert truth.concepts(0) == (FROG, ANIMAL)


def test_a_feature_that_hardly_fires_is_dead() -> None:
    truth = made_by_hand({FROG: 1.0}, n_images=MIN_IMAGES - 1)
    assert truth.live == []
    assert truth.concepts(0) == ()


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a frog", True),
        ("a frog on a white background", True),
        ("an animal", True),
        ("a cat and a frog", False),
        ("a white background and a frog", True),
        ("nothing on a white background", False),
        ("", False),
    ],
)
def test_the_first_concept_that_counts_decides(text: str, right: bool) -> None:
    assert is_hit(text, (FROG, ANIMAL), unsteered=(WHITE,)) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [("a cat and a frog", True), ("a red solid star", False), ("a frog on a white background", True), ("", False)],
)
def test_naming_it_anywhere_is_noticed_too(text: str, right: bool) -> None:
    assert names_any(text, (FROG, ANIMAL, WHITE), unsteered=(WHITE,)) is right


def test_what_is_said_without_an_intervention_does_not_count() -> None:
    assert first_named("a white background", unsteered=(WHITE,)) is None
    assert first_named("a white background", unsteered=()) == WHITE
    assert not is_hit("a white background", (WHITE,), unsteered=(WHITE,))


def test_what_is_nearly_everywhere_and_so_can_hardly_hold_is_what_the_documentation_says() -> None:
    shown = [coverage(render(sample(seed))) >= PRESENT for seed in seeds("truth", 0, 300)]
    base_rate = np.stack(shown).mean((0, 2))
    frequent = {str(concept) for concept, rate in zip(CONCEPTS, base_rate, strict=True) if 3 * rate > 0.8}
    assert frequent == {"brightness:dark", "brightness:bright", "boundary:boundary"}
