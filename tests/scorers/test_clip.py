"""Cosines of words and masked exemplars, with the embedded world's embedder, against masks made by hand."""

import json
from functools import cache

import numpy as np
import pytest
from PIL import Image

from seesay import world
from seesay.instruments.embedders import ImageTextEmbedder, load_embedder
from seesay.scorers import clip as module
from seesay.scorers.clip import Clip
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.scorer import Item, Measured, Scorer
from seesay.world.rendering import render
from seesay.world.scenes import sample
from tests.scorers.held_out import Made, MadeHeldOut

GRID, SIDE = 4, 64
FILL = (255, 0, 255)
TEXTS = {3: "a red frog", 7: "", 8: "grass", 20: "a car"}


@cache
def embedder() -> ImageTextEmbedder:
    return load_embedder(world.scorer(), device="cpu", mask_fill=FILL)


def made(feature_id: int, n: int) -> list[Made]:
    """Pictures of the world with some of their patches active."""
    rng = np.random.default_rng(feature_id)
    heatmaps = [np.where(rng.random((GRID, GRID)) < 0.6, rng.random((GRID, GRID)), 0) for _ in range(n)]
    return [(Image.fromarray(render(sample(100 * feature_id + k)).pixels), heat) for k, heat in enumerate(heatmaps)]


@pytest.fixture
def held_out() -> MadeHeldOut:
    return MadeHeldOut({number: {"top": made(number, n)} for number, n in {3: 4, 7: 1, 8: 3, 20: 2}.items()})


def scored(held_out: MadeHeldOut, texts: dict[int, str] | None = None, n_exemplars: int = 10) -> dict[int, Measured]:
    scorer = Clip(held_out, embedder(), Scoring(n_exemplars=n_exemplars))
    items = [Item(feature_id, text) for feature_id, text in (texts or TEXTS).items()]
    return dict(zip([item.feature_id for item in items], scorer.score(items), strict=True))


def masked_by_hand(made_one: Made) -> Image.Image:
    """Patch by patch, as the definition says it."""
    pixels, cell = np.array(made_one[0]), SIDE // GRID
    for row in range(GRID):
        for column in range(GRID):
            if not made_one[1][row, column] > 0:
                pixels[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = FILL
    return Image.fromarray(pixels)


def cosine(text: str, made_one: Made) -> float:
    return float(embedder().embed_images([masked_by_hand(made_one)])[0] @ embedder().embed_texts([text])[0])


def test_the_score_is_the_mean_cosine_with_masked_exemplars(held_out: MadeHeldOut) -> None:
    found = scored(held_out, n_exemplars=3)
    for feature_id, text in TEXTS.items():
        if not text:
            continue
        n = len(held_out.exemplars(feature_id, "top", 3))
        expected = np.mean([cosine(text, each) for each in made(feature_id, n)])
        assert found[feature_id].value == pytest.approx(expected, abs=1e-5)
    assert len({round(each.value or 0, 3) for each in found.values()}) == len(TEXTS), "they differ"


def test_others_are_the_first_exemplars_of_all_other_features(held_out: MadeHeldOut) -> None:
    for feature_id, found in scored(held_out).items():
        expected = np.mean([cosine(TEXTS[feature_id], made(other, 1)[0]) for other in TEXTS if other != feature_id])
        assert found.others["clip_others"] == pytest.approx(expected, abs=1e-5)
        assert found.value is not None
        assert found.others["clip_difference"] == pytest.approx(found.value - expected, abs=1e-5)
        assert found.others.keys() == set(SCORES["clip"].others)


def test_results_do_not_depend_on_what_stands_beside_an_item(held_out: MadeHeldOut) -> None:
    together = scored(held_out)
    one_by_one = {number: scored(held_out, {number: text})[number] for number, text in TEXTS.items()}
    scorer = Clip(held_out, embedder(), Scoring())
    halves = [*scorer.score([Item(20, TEXTS[20]), Item(3, TEXTS[3])]), *scorer.score([Item(8, TEXTS[8])])]
    again = dict(zip((20, 3, 8), halves, strict=True))
    for number, found in together.items():
        for other in (one_by_one[number], again.get(number, found)):
            assert other.value == pytest.approx(found.value, abs=1e-5)
            assert other.others == pytest.approx(found.others, abs=1e-5)


def test_no_more_than_so_many_others_are_looked_at_and_always_the_same(
    held_out: MadeHeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_N_OTHERS", 2)
    pools: set[frozenset[int]] = set()
    for seed in range(8):
        scorer = Clip(held_out, embedder(), Scoring(seed=seed))
        found = scorer.score([Item(number, "a red frog") for number in TEXTS])
        others = {number: each.others["clip_others"] for number, each in zip(TEXTS, found, strict=True)}
        firsts = {number: cosine("a red frog", made(number, 1)[0]) for number in TEXTS}
        pool = [pair for pair in pairs_of(TEXTS) if all(expected(firsts, pair, n) == near(others[n]) for n in TEXTS)]
        assert len(pool) == 1
        pools.add(frozenset(pool[0]))
    assert len(pools) > 1, "the seed matters"


def pairs_of(numbers: dict[int, str]) -> list[tuple[int, int]]:
    return [(one, other) for one in numbers for other in numbers if one < other]


def expected(firsts: dict[int, float], pool: tuple[int, int], own: int) -> float:
    return float(np.mean([firsts[each] for each in pool if each != own]))


def near(value: float) -> object:
    return pytest.approx(value, abs=1e-5)


def test_the_pool_and_each_feature_are_embedded_once(held_out: MadeHeldOut, monkeypatch: pytest.MonkeyPatch) -> None:
    n_seen: list[int] = []
    embed = embedder().embed_images

    def counting(images: list[Image.Image]) -> object:
        n_seen.append(len(images))
        return embed(images)

    monkeypatch.setattr(embedder(), "embed_images", counting)
    monkeypatch.setattr(module, "_N_AT_ONCE", 3)
    scorer = Clip(held_out, embedder(), Scoring())
    for text in ("a red frog", "grass", "a car"):
        scorer.score([Item(number, text, sample) for number in TEXTS for sample in range(2)])
    assert sum(n_seen) == 4 + 1 + 3 + 2 + len(TEXTS)
    assert max(n_seen) == 3


def test_a_feature_without_exemplars_has_no_score(held_out: MadeHeldOut) -> None:
    found, other = Clip(held_out, embedder(), Scoring()).score([Item(5, "a red frog"), Item(3, "a red frog")])
    assert (found.value, found.others, found.reason) == (None, {}, "no held-out exemplar")
    assert other.value is not None


def test_a_feature_that_is_alone_is_compared_with_none() -> None:
    held_out = MadeHeldOut({3: {"top": made(3, 2)}})
    found, none = Clip(held_out, embedder(), Scoring()).score([Item(3, "a red frog"), Item(4, "a red frog")])
    assert found.value == pytest.approx(np.mean([cosine("a red frog", each) for each in made(3, 2)]), abs=1e-5)
    assert found.others == {}
    assert none.value is None
    assert Clip(MadeHeldOut({}), embedder(), Scoring()).score([Item(3, "a frog")])[0].value is None


def test_silence_fits_a_feature_as_well_as_any_other_and_is_told(held_out: MadeHeldOut) -> None:
    found = scored(held_out)
    others = np.mean([cosine("", made(other, 1)[0]) for other in TEXTS if other != 7])
    assert found[7].value == pytest.approx(others, abs=1e-5)
    assert found[7].others["clip_difference"] == 0
    assert found[7].reason == "the text is empty"
    assert all(each.reason == "" for number, each in found.items() if number != 7)


def test_nothing_is_scored_as_nothing(held_out: MadeHeldOut) -> None:
    assert Clip(held_out, embedder(), Scoring()).score([]) == []


def test_facts_are_plain_and_hold_what_numbers_depend_on(held_out: MadeHeldOut) -> None:
    def facts(**options: object) -> dict[str, object]:
        scorer = Clip(held_out, embedder(), Scoring(**options))
        assert isinstance(scorer, Scorer)
        return json.loads(json.dumps(dict(scorer.facts)))

    assert facts()["embedder"] == embedder().facts
    assert (
        len({json.dumps(facts(**each)) for each in ({}, {"seed": 1}, {"n_exemplars": 5}, {"holding": "shared"})}) == 4
    )
    assert facts() == facts(n_images=3, overlay="mask")


def test_the_right_words_are_nearer_than_another_features() -> None:
    names = ["red", "green", "blue", "yellow"]
    colours = {number: [Image.new("RGB", (SIDE, SIDE), name)] * 2 for number, name in enumerate(names)}
    whole = np.ones((GRID, GRID))
    held_out = MadeHeldOut({number: {"top": [(each, whole) for each in own]} for number, own in colours.items()})
    scorer = Clip(held_out, embedder(), Scoring())
    for number, name in enumerate(names):
        items = [Item(number, each) for each in names]
        differences = [found.others["clip_difference"] for found in scorer.score(items)]
        assert np.argmax(differences) == number, name
