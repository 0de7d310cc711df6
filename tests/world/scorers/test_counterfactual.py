"""Pairs of scenes that differ in what is named: against a double loop, and on features made for it."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import wilcoxon
from torch import Tensor

from seesay import world
from seesay.sae import SAE, load_sae
from seesay.scorers.activations import Activations
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.scorer import Item, Scorer
from seesay.world.concepts import CONCEPTS, Concept
from seesay.world.grammar import phrase
from seesay.world.pairs import PAIRED, pairs
from seesay.world.scorers import counterfactual as module
from seesay.world.scorers.counterfactual import Counterfactual
from seesay.world.streams import RANGES
from seesay.world.truth import measure

N = 6
SCORING = Scoring(n_images=N)
RED, STAR, FROG = Concept("colour", "red"), Concept("shape", "star"), Concept("thing", "frog")


@cache
def subject() -> Activations:
    vlm, sae = world.load_vlm("world:S", device="cpu"), load_sae(world.sae("world:middle"))
    assert sae.provenance.layer is not None
    return Activations(vlm.encoder, sae, sae.provenance.layer)


def own_pairs(concept: Concept, scoring: Scoring = SCORING) -> list[tuple[Image.Image, Image.Image]]:
    chosen = module._seeds(concept, scoring.seed, scoring.n_images * module._N_TRIED)
    return [(pair.having.image, pair.lacking.image) for pair in pairs(concept, chosen, scoring.n_images)]


@cache
def seen(concept: Concept) -> list[tuple[Tensor, Tensor]]:
    """The activations of all features on both pictures of each pair, one picture at a time."""
    return [(subject().of([having])[0], subject().of([lacking])[0]) for having, lacking in own_pairs(concept)]


def by_hand(feature_id: int, concepts: Sequence[Concept]) -> float:
    """The least share of pairs, counted pair by pair."""
    shares: list[float] = []
    for concept in concepts:
        points = 0.0
        for having, lacking in seen(concept):
            one, other = float(having[feature_id]), float(lacking[feature_id])
            points += 0.5 if one == other else float(one > other)
        shares.append(points / N)
    return min(shares)


def test_the_score_is_the_least_share_of_pairs_that_the_feature_tells_apart() -> None:
    scorer = Counterfactual(subject(), SCORING)
    lively = subject().of([image for pair in own_pairs(RED) for image in pair]).mean(0).topk(4).indices.tolist()
    items = [Item(feature_id, text) for feature_id in lively for text in ("a red star", "the colour red", "a frog")]
    expected = [by_hand(feature_id, concepts) for feature_id in lively for concepts in ((RED, STAR), (RED,), (FROG,))]
    assert [measured.value for measured in scorer.score(items)] == pytest.approx(expected)
    assert len(set(expected)) > 2


def test_scores_do_not_depend_on_what_stands_beside_them() -> None:
    items = [
        Item(feature_id, text) for feature_id in (3, 40) for text in ("a red star", "a frog", "", "a red red star")
    ]
    together = Counterfactual(subject(), SCORING).score(items)
    for item, measured in zip(items, together, strict=True):
        assert Counterfactual(subject(), SCORING).score([item]) == [measured]
    assert together[0] == together[3]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nothing was said"),
        ("a unicorn", "it names nothing of the world"),
        ("the top left", "no two scenes differ in nothing but what it names"),
        ("an object boundary and a rising edge", "no two scenes differ in nothing but what it names"),
    ],
)
def test_words_that_make_no_pair_count_as_chance(text: str, reason: str) -> None:
    [measured] = Counterfactual(subject(), SCORING).score([Item(3, text)])
    assert (measured.value, measured.reason) == (SCORES["counterfactual"].chance, reason)


def test_what_makes_no_pair_is_left_out_beside_what_does() -> None:
    plain, placed = Counterfactual(subject(), SCORING).score([Item(3, "a frog"), Item(3, "a frog at the top left")])
    assert plain == placed
    assert plain.reason == ""


def test_a_feature_that_is_never_active_tells_nothing_apart() -> None:
    sae = subject().sae
    deaf = SAE(
        W_enc=torch.zeros_like(sae.W_dec.T[:, :4]),
        W_dec=sae.W_dec[:4],
        b_enc=torch.full((4,), -1.0),
        b_dec=sae.b_dec,
        activation="relu",
    )
    scorer = Counterfactual(Activations(subject().encoder, deaf, subject().layer), SCORING)
    assert [each.value for each in scorer.score([Item(0, "a frog"), Item(3, "a red star")])] == [0.5, 0.5]


class Reddish:
    """Three features: how red an image is, how little, and one that is always as active."""

    def __init__(self) -> None:
        self.n_asked = 0

    def of(self, images: Sequence[Image.Image]) -> Tensor:
        self.n_asked += 1
        pixels = np.stack([np.asarray(image, dtype=np.float32) for image in images])
        red = ((pixels[..., 0] > 150) & (pixels[..., 1:].max(-1) < 90)).mean((1, 2))
        return torch.from_numpy(np.stack([red, 1 - red, np.ones_like(red)], axis=1)).float()


def test_a_feature_that_answers_to_a_colour_scores_one_and_its_opposite_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    eyes, asked = Reddish(), subject()
    monkeypatch.setattr(asked, "of", eyes.of)
    scorer = Counterfactual(asked, SCORING)
    for_red, against, constant = scorer.score([Item(feature_id, "the colour red") for feature_id in range(3)])
    assert for_red.value == 1.0
    assert against.value == 0.0
    assert constant.value == 0.5
    [both] = scorer.score([Item(0, "a red dotted star")])
    assert both.value is not None
    assert both.value < 1.0, "which shape it is makes no difference to it"
    assert eyes.n_asked == 3, "once for each concept"


@pytest.mark.parametrize("kind", sorted({concept.kind for concept in PAIRED}))
def test_all_kinds_of_concepts_find_as_many_pairs_as_are_asked_for(kind: str) -> None:
    for concept in [each for each in PAIRED if each.kind == kind][:3]:
        assert len(own_pairs(concept)) == N


def test_pairs_come_from_a_stream_of_their_own_and_other_seeds_make_other_pairs() -> None:
    ranges = [module._seeds(concept, seed, 400) for concept in CONCEPTS for seed in (0, 1, (1 << 63) - 1)]
    assert all(each[0] in RANGES["counterfactual"] and each[-1] in RANGES["counterfactual"] for each in ranges)
    assert len({each[0] for each in ranges}) == len(ranges)


def test_facts_tell_scorers_apart_that_would_give_other_numbers() -> None:
    one = Counterfactual(subject(), SCORING)
    assert isinstance(one, Scorer)
    assert one.facts == Counterfactual(subject(), SCORING).facts
    for other in (Scoring(n_images=N + 1), Scoring(n_images=N, seed=1)):
        assert Counterfactual(subject(), other).facts != one.facts


def test_in_the_world_backgrounds_that_features_stand_for_are_told_apart_and_others_are_not() -> None:
    own = subject()
    truth = measure(own.encoder, own.sae, own.layer, n_scenes=240)
    best = {each: truth.concepts(each)[0] for each in truth.live if truth.concepts(each)}
    features = [each for each, concept in best.items() if concept.kind == "background"][:24]
    words = [phrase(best[each]) for each in features]
    turned = [next(other for other in words[place:] + words if other != said) for place, said in enumerate(words)]
    scorer = Counterfactual(own, Scoring(n_images=8))
    right, wrong = (
        [each.value for each in scorer.score([Item(*pair) for pair in zip(features, said, strict=True)])]
        for said in (words, turned)
    )
    assert np.mean(right) > 0.75
    assert 0.35 < np.mean(wrong) < 0.65
    assert wilcoxon(right, wrong, alternative="greater").pvalue < 0.01
