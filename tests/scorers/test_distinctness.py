"""Clarity, redundancy and polysemanticity against double loops, all partitions, and scikit-learn."""

import json
from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.cluster import KMeans
from torch import Tensor

from seesay import world
from seesay.instruments.embedders import ImageTextEmbedder, load_embedder
from seesay.scorers import distinctness as module
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.distinctness import Distinctness, clarity, polysemanticity
from seesay.scorers.scorer import Item, Scorer
from seesay.world.rendering import render
from seesay.world.scenes import sample
from tests.scorers.held_out import MadeHeldOut

HEAT = np.eye(4)
OWN = {3: [0, 1, 2, 3], 7: [4], 8: [2, 5, 6], 20: [7, 7, 7], 21: [2, 3, 8, 9, 10]}
"""Features, and which pictures are theirs; some are several features'."""


@cache
def embedder() -> ImageTextEmbedder:
    return load_embedder(world.scorer(), device="cpu")


@cache
def picture(number: int) -> Image.Image:
    return Image.fromarray(render(sample(number)).pixels)


def held_out(own: dict[int, list[int]] = OWN) -> MadeHeldOut:
    return MadeHeldOut({feature: {"top": [(picture(n), HEAT) for n in numbers]} for feature, numbers in own.items()})


def vectors_of(numbers: Sequence[int]) -> np.ndarray:
    return embedder().embed_images([picture(number) for number in numbers]).double().numpy()


def random_vectors(n: int, seed: int = 0, dimension: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, dimension, generator=generator), dim=1)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def mean_of_pairs(vectors: np.ndarray) -> float:
    return float(np.mean([one @ other for one, other in combinations(vectors, 2)]))


def by_all_partitions(vectors: np.ndarray) -> float:
    """1 less the cosine of the means of the partition with the least squared distances."""
    n, best = len(vectors), (np.inf, np.nan)
    for size in range(1, n):
        for chosen in combinations(range(n), size):
            one, other = vectors[list(chosen)], np.delete(vectors, chosen, axis=0)
            spread = sum(((part - part.mean(0)) ** 2).sum() for part in (one, other))
            best = min(best, (spread, 1 - cosine(one.mean(0), other.mean(0))))
    return best[1]


def test_scores_are_those_of_plain_held_out_exemplars() -> None:
    items = [Item(feature_id) for feature_id in (3, 8, 21)]
    found = dict(zip((3, 8, 21), Distinctness(held_out(), embedder(), Scoring()).score(items), strict=True))
    means = {feature_id: vectors_of(numbers).mean(0) for feature_id, numbers in OWN.items()}
    for feature_id, measured in found.items():
        vectors = vectors_of(OWN[feature_id])
        assert measured.value == pytest.approx(mean_of_pairs(vectors), abs=1e-5)
        assert measured.others == pytest.approx(
            {
                "redundancy": max(cosine(means[feature_id], means[other]) for other in OWN if other != feature_id),
                "polysemanticity": by_all_partitions(vectors),
            },
            abs=1e-5,
        )
        assert measured.reason == ""
        assert set(measured.others) == set(SCORES["distinctness"].others)
    assert len({round(measured.value or 0, 4) for measured in found.values()}) == 3


def test_no_more_exemplars_than_asked_for_are_looked_at() -> None:
    (found,) = Distinctness(held_out(), embedder(), Scoring(n_exemplars=2)).score([Item(21)])
    assert found.value == pytest.approx(mean_of_pairs(vectors_of([2, 3])), abs=1e-5)


def test_results_do_not_depend_on_what_stands_beside_an_item() -> None:
    together = Distinctness(held_out(), embedder(), Scoring()).score([Item(feature_id) for feature_id in OWN])
    scorer = Distinctness(held_out(), embedder(), Scoring())
    assert [scorer.score([Item(feature_id, "whatever", 1)])[0] for feature_id in OWN] == together


def test_every_image_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[bytes]] = []
    embed = embedder().embed_images

    def noting(images: list[Image.Image]) -> Tensor:
        seen.append([image.tobytes() for image in images])
        return embed(images)

    monkeypatch.setattr(embedder(), "embed_images", noting)
    monkeypatch.setattr(module, "_N_AT_ONCE", 4)
    scorer = Distinctness(held_out(), embedder(), Scoring())
    assert not seen, "nothing before it is asked for"
    for feature_id in OWN:
        scorer.score([Item(feature_id), Item(feature_id)])
    together = [image for batch in seen for image in batch]
    assert len(together) == len(set(together)) == 11
    assert max(map(len, seen)) == 4


def test_a_single_exemplar_has_no_clarity() -> None:
    scorer = Distinctness(held_out(), embedder(), Scoring())
    (found,) = scorer.score([Item(7)])
    assert (found.value, found.reason) == (None, "a single held-out exemplar")
    assert found.others.keys() == {"redundancy"}


def test_equal_exemplars_are_clear_and_mean_one_thing() -> None:
    (found,) = Distinctness(held_out(), embedder(), Scoring()).score([Item(20)])
    assert found.value == pytest.approx(1, abs=1e-6)
    assert found.others["polysemanticity"] == 0


def test_a_feature_with_the_exemplars_of_another_is_redundant() -> None:
    found = Distinctness(held_out({1: [0, 1], 2: [1, 0], 3: [5]}), embedder(), Scoring()).score([Item(1), Item(3)])
    assert found[0].others["redundancy"] == pytest.approx(1, abs=1e-6)
    assert found[1].others["redundancy"] < 0.99


def test_a_feature_without_exemplars_has_no_score() -> None:
    (found,) = Distinctness(held_out(), embedder(), Scoring()).score([Item(5)])
    assert (found.value, found.others, found.reason) == (None, {}, "no held-out exemplar")
    (none,) = Distinctness(held_out({}), embedder(), Scoring()).score([Item(5)])
    assert none.value is None


def test_a_feature_that_is_alone_is_like_no_other() -> None:
    (found,) = Distinctness(held_out({1: [0, 1]}), embedder(), Scoring()).score([Item(1)])
    assert found.others.keys() == {"polysemanticity"}


def test_facts_are_plain_and_hold_what_numbers_depend_on() -> None:
    def facts(**options: object) -> str:
        scorer = Distinctness(held_out(), embedder(), Scoring(**options))
        assert isinstance(scorer, Scorer)
        return json.dumps(dict(scorer.facts))

    assert len({facts(), facts(n_exemplars=5), facts(holding="shared")}) == 3
    assert facts() == facts(n_images=3, seed=4)
    assert json.loads(facts())["embedder"] == embedder().facts


@pytest.mark.parametrize("n", [2, 3, 9])
def test_clarity_is_the_mean_cosine_of_all_pairs(n: int) -> None:
    for seed in range(5):
        vectors = random_vectors(n, seed)
        assert clarity(vectors) == pytest.approx(mean_of_pairs(vectors.double().numpy()), abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_the_two_clusters_are_the_best_of_all(n: int) -> None:
    for seed in range(5):
        vectors = random_vectors(n, seed)
        assert polysemanticity(vectors) == pytest.approx(by_all_partitions(vectors.double().numpy()), abs=1e-6)


@pytest.mark.parametrize("n", [8, 12, 13, 30])
def test_the_two_clusters_are_those_of_k_means(n: int) -> None:
    for seed in range(3):
        middles = random_vectors(2, seed)[torch.arange(n) % 2]
        vectors = torch.nn.functional.normalize(middles + 0.3 * random_vectors(n, seed + 1), dim=1)
        points = vectors.double().numpy()
        labels = KMeans(n_clusters=2, n_init=40, random_state=seed).fit_predict(points)
        means = [points[labels == label].mean(0) for label in (0, 1)]
        assert polysemanticity(vectors) == pytest.approx(1 - cosine(means[0], means[1]), abs=1e-6)


@pytest.mark.parametrize("n", [4, 20])
def test_two_kinds_of_exemplars_are_as_far_apart_as_they_are(n: int) -> None:
    one, other = random_vectors(2, seed=3)
    vectors = torch.stack([one, other] * (n // 2))
    assert polysemanticity(vectors) == pytest.approx(1 - float(one @ other), abs=1e-6)


@pytest.mark.parametrize("n", [2, 12, 20])
def test_exemplars_that_are_equal_but_for_rounding_mean_one_thing(n: int) -> None:
    vectors = random_vectors(1).repeat(n, 1) + 1e-8 * random_vectors(n)
    assert polysemanticity(vectors) == 0
    assert polysemanticity(random_vectors(1)) == 0
    nearly = random_vectors(1).repeat(n, 1) + 1e-5 * random_vectors(n)
    assert polysemanticity(nearly) == pytest.approx(0, abs=1e-8)


def test_means_that_cancel_out_are_like_nothing() -> None:
    cross = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert clarity(cross) == pytest.approx(-1 / 3)
    assert 0 <= polysemanticity(cross) <= 2
