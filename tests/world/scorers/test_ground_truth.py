"""Words against the truth, on features whose truth is made by hand and on the world's own."""

import statistics
from collections.abc import Mapping

import pytest
import torch

from seesay import world
from seesay.sae import load_sae
from seesay.scorers.config import SCORES
from seesay.scorers.scorer import Item, Measured, Scorer
from seesay.world.concepts import CONCEPTS, INDEX, Concept
from seesay.world.grammar import phrase
from seesay.world.scorers.ground_truth import GroundTruth
from seesay.world.truth import MIN_IMAGES, Truth, is_hit, measure

FROG, CAT, ANIMAL = Concept("thing", "frog"), Concept("thing", "cat"), Concept("category", "animal")
RED, STAR, WHITE = Concept("colour", "red"), Concept("shape", "star"), Concept("background", "white")
FROGS, ANIMALS, REDS, NOTHINGS, DEAD = range(5)

PRECISION: Mapping[int, Mapping[Concept, float]] = {
    FROGS: {FROG: 0.9, ANIMAL: 0.9, RED: 0.5},
    ANIMALS: {ANIMAL: 0.8, FROG: 0.3, CAT: 0.3},
    REDS: {RED: 0.7, STAR: 0.4},
    NOTHINGS: {RED: 0.6, STAR: 0.5},
    DEAD: {RED: 1.0},
}
RECALL = {FROG: 0.5, ANIMAL: 0.2, RED: 0.1, STAR: 0.3, CAT: 0.4}


def truth() -> Truth:
    precision, recall = torch.zeros(2, len(PRECISION), len(CONCEPTS))
    for feature_id, values in PRECISION.items():
        for concept, value in values.items():
            precision[feature_id, INDEX[concept]] = value
    for concept, value in RECALL.items():
        recall[:, INDEX[concept]] = value
    base_rate = torch.full((len(CONCEPTS),), 0.1)
    base_rate[INDEX[ANIMAL]] = 0.2
    n_images = torch.tensor([50, 50, 50, 50, MIN_IMAGES - 1])
    return Truth(precision, base_rate, n_images, recall)


def scored(feature_id: int, text: str, *unsteered: Concept) -> Measured:
    [measured] = GroundTruth(truth(), unsteered).score([Item(feature_id, text)])
    return measured


def f1(feature_id: int, concept: Concept) -> float:
    return statistics.harmonic_mean([PRECISION[feature_id].get(concept, 0.0), RECALL[concept]])


@pytest.mark.parametrize(
    ("feature_id", "text", "hit", "category"),
    [
        (FROGS, "a frog", 1, 1),
        (FROGS, "an animal", 1, 1),
        (FROGS, "a cat", 0, 1),
        (FROGS, "a red star and a frog", 0, 0),
        (FROGS, "a frog and a red star", 1, 1),
        (ANIMALS, "a frog", 0, 1),
        (ANIMALS, "a dog and an animal", 0, 1),
        (ANIMALS, "a castle", 0, 0),
        (ANIMALS, "a building", 0, 0),
        (REDS, "a red star", 1, 1),
        (REDS, "the colour red", 1, 1),
        (REDS, "a star", 0, 0),
        (REDS, "a red background", 0, 0),
        (REDS, "an animal", 0, 0),
    ],
)
def test_the_first_concept_decides_to_the_letter_and_by_category(
    feature_id: int, text: str, hit: int, category: int
) -> None:
    measured = scored(feature_id, text)
    assert (measured.value, measured.others["category"]) == (hit, category)
    assert measured.reason == ""
    assert set(measured.others) == set(SCORES["ground_truth"].others)


def test_a_category_that_does_not_hold_itself_has_credit_for_a_thing_of_it_that_does() -> None:
    own = truth()
    own.base_rate[INDEX[ANIMAL]] = 0.5  # a third of it is too much to be lifted over
    assert own.concepts(FROGS) == (FROG,)
    [measured] = GroundTruth(own, ()).score([Item(FROGS, "an animal")])
    assert (measured.value, measured.others["category"]) == (0.0, 1.0)


def test_f1_is_that_of_the_best_concept_that_is_named() -> None:
    assert scored(FROGS, "a frog").others["f1"] == pytest.approx(f1(FROGS, FROG))
    assert scored(FROGS, "the colour red and a frog").others["f1"] == pytest.approx(f1(FROGS, FROG))
    assert scored(REDS, "a red star").others["f1"] == pytest.approx(f1(REDS, STAR)), "whether it holds or not"
    assert scored(FROGS, "a castle").others["f1"] == 0.0


def test_different_concepts_are_counted() -> None:
    for text, n in (("a frog", 1), ("a red red star and a red frog", 3), ("a unicorn", 0), ("", 0)):
        assert scored(FROGS, text).others["named"] == n


def test_what_is_said_of_nothing_does_not_count() -> None:
    plain, without = (scored(FROGS, "a white background and a frog", *more) for more in ((), (WHITE,)))
    assert (plain.value, plain.others["named"]) == (0.0, 2.0)
    assert (without.value, without.others["named"]) == (1.0, 1.0)
    only = scored(FROGS, "a frog", FROG)
    assert (only.value, only.others) == (
        0.0,
        {"live_hit": 0.0, "f1": 0.0, "category": 0.0, "named": 0.0, "low_level": 0.0},
    )
    assert only.reason == "it names nothing that counts"


def test_words_that_say_nothing_count_as_misses() -> None:
    for text, reason in (("", "nothing was said"), ("a unicorn", "it names nothing that counts")):
        measured = scored(FROGS, text)
        assert measured.value == SCORES["ground_truth"].chance == 0.0
        assert measured.reason == reason


def test_features_that_no_concept_holds_for_have_no_score_whatever_is_said_and_whoever_says_it() -> None:
    for text in ("the colour red", "", "a unicorn"):
        for unsteered in ((), (RED,)):
            nothing, dead = scored(NOTHINGS, text, *unsteered), scored(DEAD, text, *unsteered)
            assert (nothing.value, nothing.reason) == (None, "no concept of the world holds for it")
            assert (dead.value, dead.reason) == (None, "it fires in fewer than 5 of the held-out scenes")
            assert scored(REDS, text, *unsteered).value is not None


def test_of_all_that_fire_those_that_nothing_holds_for_are_missed() -> None:
    assert [scored(each, "a frog").others.get("live_hit") for each in (FROGS, REDS, NOTHINGS, DEAD)] == [1, 0, 0, None]


def test_facts_tell_where_the_truth_comes_from() -> None:
    own = GroundTruth(truth(), (WHITE, FROG))
    assert isinstance(own, Scorer)
    assert own.facts["stream"] == "truth"
    assert own.facts["n_scenes"] == 3000
    assert own.facts["unsteered"] == ["background:white", "thing:frog"]
    assert own.facts == GroundTruth(truth(), (FROG, WHITE)).facts
    assert own.facts != GroundTruth(truth(), (FROG,)).facts


def test_on_the_worlds_features_the_truth_hits_and_what_holds_for_none_misses() -> None:
    vlm, sae = world.load_vlm("world:S", device="cpu"), load_sae(world.sae("world:middle"))
    assert sae.provenance.layer is not None
    own = measure(vlm.encoder, sae, sae.provenance.layer, n_scenes=120)
    scorer = GroundTruth(own, ())
    items = [Item(feature_id, phrase(CONCEPTS[feature_id % len(CONCEPTS)])) for feature_id in range(300)]
    for item, measured in zip(items, scorer.score(items), strict=True):
        concepts = own.concepts(item.feature_id)
        assert measured.value == (float(is_hit(item.text, concepts, ())) if concepts else None)
    right = [Item(item.feature_id, phrase(own.concepts(item.feature_id)[0])) for item in items
             if own.concepts(item.feature_id)]  # fmt: skip
    assert len(right) > 50
    assert {(each.value, each.others["category"], each.others["named"]) for each in scorer.score(right)} == {(1, 1, 1)}
    assert all(0 < each.others["f1"] <= 1 for each in scorer.score(right))
    assert scorer.facts["n_scenes"] == 120
