"""Fuzzing: which highlights are shown, and what the judge's answers are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from seesay.exemplars.exemplar import Exemplar
from seesay.exemplars.heatmap import Heatmap
from seesay.images.decoding import pixel_hash
from seesay.images.options import Overlay
from seesay.images.overlays import highlighted, masked
from seesay.instruments.instrument import Question, Verdict
from seesay.scorers.activations import Activations, Looked
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.fuzzing import DISSIMILAR, Fuzzing, Pair, contrast, pair_up
from seesay.scorers.scorer import Item, Scorer
from tests.explainers.galleries import noise, vlm_of
from tests.families import SIDE
from tests.scorers.held_out import Made, MadeHeldOut, exemplar, kept_image
from tests.tiny import tiny_sae

LAYER, N_IMAGES = 1, 30
SCORING = Scoring(n_positives=8, overlay="heatmap")
PINK = (255, 0, 255)


@cache
def activations(family: str = "gemma3") -> Activations:
    return Activations(vlm_of(family).encoder, tiny_sae(), LAYER)


@cache
def pictures() -> tuple[Image.Image, ...]:
    return tuple(noise((SIDE, SIDE), seed) for seed in range(N_IMAGES))


@cache
def looked() -> tuple[Looked, ...]:
    return tuple(activations().look(list(pictures()), [pixel_hash(each) for each in pictures()]))


@cache
def feature() -> int:
    """The feature that is active on most pictures, but not on most of their patches."""
    return int(np.argmax([sum(0 < (each.dense(f) > 0).sum() <= 8 for each in looked()) for f in range(64)]))


def shelf(numbers: Sequence[int] | None = None) -> MadeHeldOut:
    """Pictures that activate the feature, with its own heatmaps."""
    own = [n for n in range(N_IMAGES) if looked()[n].activation(feature()) > 0] if numbers is None else numbers
    made: list[Made] = [(pictures()[n], looked()[n].dense(feature())) for n in own]
    return MadeHeldOut({feature(): {"quantile": made}})


def paired(held_out: MadeHeldOut, scoring: Scoring = SCORING) -> tuple[Pair, ...]:
    found = pair_up(held_out, activations(), scoring, feature())
    assert found is not None
    return found


class Judging:
    """A judge that is told what to answer of which picture, whatever the words."""

    facts: Mapping[str, Any] = {"judge": "told"}
    mask_fill = PINK

    def __init__(self, yes: Mapping[str, float], answered: bool = True) -> None:
        self.yes, self.answered = yes, answered
        self.asked: list[tuple[Question, str, str]] = []

    def ask(self, question: Question, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[Verdict]:
        hashes = [pixel_hash(image) for image in images]
        self.asked += [(question, each, said) for each, said in zip(hashes, phrases, strict=True)]
        return [Verdict(self.yes.get(each, 0.0), self.answered) for each in hashes]


def shown(exemplar: Exemplar, picture: Image.Image, overlay: Overlay = "heatmap") -> str:
    """The hash of what the judge should be shown, drawn without the exemplar's own way of drawing."""
    active = np.isin(np.arange(16), exemplar.heatmap.patches).reshape(4, 4)
    pixels = np.asarray(picture)
    drawn = highlighted(pixels, active) if overlay == "heatmap" else masked(pixels, active, PINK)
    return pixel_hash(Image.fromarray(drawn))


def knowing(overlay: Overlay = "heatmap", right: float = 0.9, wrong: float = 0.2) -> dict[str, float]:
    held_out = shelf()
    found: dict[str, float] = {}
    for pair in paired(held_out):
        picture = held_out.picture(pair.right.image)
        found |= {shown(pair.right, picture, overlay): right, shown(pair.wrong, picture, overlay): wrong}
    return found


def scored(judge: Judging, items: Sequence[Item], scoring: Scoring = SCORING, held_out: Any = None) -> list[Any]:
    return Fuzzing(held_out or shelf(), activations(), judge, scoring).score(items)


def frog(text: str = "a frog") -> Item:
    return Item(feature(), text)


def cosine(one: int, other: int) -> float:
    directions = tiny_sae().W_dec.double()
    return float(directions[one] @ directions[other])


def test_it_is_a_scorer() -> None:
    assert isinstance(Fuzzing(shelf(), activations(), Judging({}), SCORING), Scorer)
    assert len(shelf().exemplars(feature(), "quantile")) >= 8


def test_both_highlights_are_of_one_size_in_one_image_and_apart() -> None:
    held_out = shelf()
    found = paired(held_out)
    assert len(found) == 8
    own = {each.image.image_id: each for each in held_out.exemplars(feature(), "quantile")}
    for pair in found:
        whole = own[pair.right.image.image_id]
        assert pair.wrong.image == pair.right.image == whole.image
        right, wrong = (set(each.heatmap.patches.tolist()) for each in (pair.right, pair.wrong))
        assert len(right) == len(wrong) == len(pair.right.heatmap.patches) == len(pair.wrong.heatmap.patches) > 0
        assert right <= set(whole.heatmap.patches.tolist())
        assert not wrong & set(whole.heatmap.patches.tolist())
        assert cosine(feature(), pair.wrong.feature_id) < DISSIMILAR
        (seen,) = activations().look([held_out.picture(whole.image)], [whole.image.pixel_hash])
        theirs = seen.dense(pair.wrong.feature_id).reshape(-1)
        assert (theirs[sorted(wrong)] > 0).all()
        elsewhere = [patch for patch in theirs.nonzero()[0] if patch not in whole.heatmap.patches]
        assert sorted(theirs[sorted(wrong)]) == sorted(theirs[elsewhere])[-len(wrong) :], "where it is strongest"


def test_similar_features_are_never_the_wrong_ones() -> None:
    alike = replace(tiny_sae(), W_dec=tiny_sae().W_dec[feature()].expand(64, -1).clone())
    for_all = Activations(vlm_of().encoder, tiny_sae(), LAYER)
    for_all.sae = alike
    assert pair_up(shelf(), for_all, SCORING, feature()) == ()


patch_sets = st.sets(st.integers(0, 15), min_size=1, max_size=15)
others_active = st.dictionaries(st.integers(0, 9), patch_sets, max_size=6)
candidates = st.sets(st.integers(0, 9))


def as_looked(active: Mapping[int, set[int]]) -> Looked:
    entries = [(other, patch) for other in sorted(active) for patch in sorted(active[other])]
    rng = np.random.default_rng(len(entries))
    return Looked(
        grid=(4, 4),
        feature_ids=np.array(sorted(active), dtype=np.int64),
        activations=np.ones(len(active), dtype=np.float32),
        patch_features=np.array([other for other, _ in entries], dtype=np.int64),
        patches=np.array([patch for _, patch in entries], dtype=np.int64),
        patch_activations=rng.permutation(len(entries)).astype(np.float32) + 1,
    )


@given(patch_sets, others_active, candidates, st.integers(0, 3))
def test_the_other_feature_is_one_that_suffices_or_the_one_with_most(
    own: set[int], active: dict[int, set[int]], among: set[int], salt: int
) -> None:
    patches = np.array(sorted(own), dtype=np.int32)
    strengths = np.random.default_rng(salt).permutation(len(own)).astype(np.float32) + 1
    found = contrast(Heatmap(patches, strengths), as_looked(active), sorted(among), (salt,))
    beside = {other: set(where) - own for other, where in active.items() if other in among and set(where) - own}
    if not beside:
        assert found is None
        return
    assert found is not None
    right, other, wrong = found
    largest = max(map(len, beside.values()))
    n = min(len(own), largest)
    assert other in {each for each, where in beside.items() if len(where) >= n}
    assert len(right.patches) == len(wrong.patches) == n
    assert set(wrong.patches.tolist()) <= beside[other]
    assert set(right.patches.tolist()) <= own
    assert sorted(right.activations) == sorted(strengths)[-n:]
    by_patch = as_looked(active).dense(other).reshape(-1)
    assert sorted(wrong.activations) == sorted(by_patch[list(beside[other])])[-n:]
    assert by_patch[wrong.patches].tolist() == wrong.activations.tolist()


def test_which_of_the_features_that_suffice_is_drawn_by_the_seed() -> None:
    own = Heatmap(np.array([0, 1], dtype=np.int32), np.ones(2, dtype=np.float32))
    seen = as_looked({other: {other, other + 1, other + 2} for other in range(2, 10)})
    drawn = [contrast(own, seen, range(2, 10), (seed,)) for seed in range(200)]
    counts = np.bincount([found[1] for found in drawn if found is not None], minlength=10)[2:]
    assert counts.sum() == 200
    assert (counts > 8).all(), "each of eight, about 25 times"


def test_the_choice_depends_on_the_seed_and_the_feature_alone() -> None:
    def told(seed: int) -> list[Any]:
        return [
            (pair.right.image.image_id, pair.wrong.feature_id, pair.wrong.heatmap.patches.tolist())
            for pair in paired(shelf(), replace(SCORING, seed=seed))
        ]

    assert told(0) == told(0) != told(1)


def test_an_exemplar_that_nothing_else_is_active_in_is_left_out() -> None:
    held_out = shelf()
    everywhere = exemplar(feature(), held_out.exemplars(feature(), "quantile")[0].image, np.ones((4, 4)), "quantile")
    held_out.exemplars_of[feature()]["quantile"][0] = replace(everywhere, quantile=3)
    n = len(held_out.exemplars(feature(), "quantile"))
    found = paired(held_out, Scoring(n_positives=100))
    assert len(found) == n - 1
    assert everywhere.image not in [pair.right.image for pair in found]
    held_out.exemplars_of[feature()]["quantile"] = [replace(everywhere, quantile=3)]
    (measured,) = scored(Judging({}), [frog()], held_out=held_out)
    assert (measured.value, measured.reason) == (None, "no dissimilar feature is active elsewhere in its exemplars")


def test_a_heatmap_is_shrunk_to_its_strongest_patches_where_no_other_feature_has_as_many() -> None:
    held_out = shelf()
    whole = held_out.exemplars(feature(), "quantile")[0]
    heat = np.arange(1.0, 17.0).reshape(4, 4)
    heat[0] = 0  # nothing is known of the first row alone
    held_out.exemplars_of[feature()]["quantile"] = [exemplar(feature(), whole.image, heat, "quantile", quantile=0)]
    (pair,) = paired(held_out)
    n = len(pair.wrong.heatmap.patches)
    assert 1 <= n <= 4
    assert pair.right.heatmap.patches.tolist() == list(range(16 - n, 16))
    assert set(pair.wrong.heatmap.patches.tolist()) <= {0, 1, 2, 3}


def test_a_thumbnail_that_is_divided_otherwise_is_judged_by_its_own_heatmap() -> None:
    activation = activations("qwen2_5_vl")
    picture = noise((64, 48), 3)
    grid = activation.encoder.geometry(picture.size).grid
    (seen,) = activation.look([picture], [pixel_hash(picture)])
    rows, columns = grid
    n_pairs = 0
    for feature_id in seen.feature_ids.tolist():
        image = kept_image(picture, (rows + 2, columns), size=(640, 480))
        original = exemplar(feature_id, image, np.ones((rows + 2, columns)))
        held_out = MadeHeldOut({})
        held_out.exemplars_of = {feature_id: {"quantile": [replace(original, kind="quantile", quantile=0)]}}
        held_out.pictures = {original.image.image_id: picture}
        found = pair_up(held_out, activation, SCORING, feature_id)
        assert found is not None
        n_pairs += len(found)
        for pair in found:
            assert pair.right.image.grid == pair.wrong.image.grid == grid
            assert set(pair.right.heatmap.patches.tolist()) <= set(seen.dense(feature_id).reshape(-1).nonzero()[0])
            assert not seen.dense(feature_id).reshape(-1)[pair.wrong.heatmap.patches].any()
            drawn = np.asarray(pair.right.drawn("heatmap", picture))
            active = np.isin(np.arange(rows * columns), pair.right.heatmap.patches).reshape(grid)
            box = activation.encoder.geometry(picture.size).box
            assert (drawn == highlighted(np.asarray(picture), active, box=box)).all()
    assert n_pairs > 5
    silent = next(each for each in range(64) if each not in seen.feature_ids)
    held_out.exemplars_of = {silent: {"quantile": [replace(original, feature_id=silent, quantile=0)]}}
    assert pair_up(held_out, activation, SCORING, silent) == (), "it is not active on the thumbnail"


@pytest.mark.parametrize("overlay", ["heatmap", "mask"])
@pytest.mark.parametrize(
    ("right", "wrong", "value", "auc"), [(0.9, 0.2, 1, 1), (0.2, 0.9, 0, 0), (0.7, 0.7, 0.5, 0.5), (0.4, 0.3, 0.5, 1)]
)
def test_a_judge_that_knows_is_given_full_marks_and_one_that_guesses_none(
    right: float, wrong: float, value: float, auc: float, overlay: Overlay
) -> None:
    (found,) = scored(Judging(knowing(overlay, right, wrong)), [frog()], replace(SCORING, overlay=overlay))
    assert found.value == pytest.approx(value)
    assert found.others == {"fuzzing_auc": pytest.approx(auc), "unanswered": 0.0}
    assert found.reason == ""


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    yes = {name: float(rng.integers(0, 5)) / 4 for name in knowing()}
    (found,) = scored(Judging(yes, answered=False), [frog()])
    is_right = [share == 0.9 for share in knowing().values()]
    assert found.value == pytest.approx(balanced_accuracy_score(is_right, [share > 0.5 for share in yes.values()]))
    assert found.others["fuzzing_auc"] == pytest.approx(roc_auc_score(is_right, list(yes.values())))
    assert found.others["unanswered"] == 1.0


def test_the_judge_is_asked_about_both_highlights_of_every_image() -> None:
    judge = Judging(knowing())
    scored(judge, [frog(), frog("a car")])
    assert {question for question, _hash, _said in judge.asked} == {"fuzz"}
    for words in ("a frog", "a car"):
        assert sorted(name for _question, name, said in judge.asked if said == words) == sorted(knowing())


def test_an_empty_text_is_worth_chance_and_the_judge_is_not_asked() -> None:
    judge = Judging(knowing())
    for text in ("", "\t"):
        (found,) = scored(judge, [frog(text)])
        assert (found.value, found.others) == (SCORES["fuzzing"].chance, {"fuzzing_auc": 0.5})
        assert found.reason == "nothing was said"
    assert judge.asked == []


@pytest.mark.parametrize("text", ["a frog", ""])
def test_a_feature_without_exemplars_has_no_score(text: str) -> None:
    (found,) = scored(Judging({}), [Item(5, text)])
    assert (found.value, found.others, found.reason) == (None, {}, "no held-out exemplar")


def test_what_is_measured_does_not_depend_on_what_stands_beside_it() -> None:
    items = [frog(), Item(5, "a car"), frog(""), replace(frog("a tree"), sample=1)]
    together = scored(Judging(knowing()), items)
    assert together == [each for item in items for each in scored(Judging(knowing()), [item])]
    assert [each.value for each in together] == [1.0, None, 0.5, 1.0]
    assert scored(Judging({}), []) == []


def test_other_settings_are_other_facts() -> None:
    def facts(scoring: Scoring) -> Any:
        return Fuzzing(shelf(), activations(), Judging({}), scoring).facts

    known = facts(SCORING)
    assert (known["judge"], known["mask_fill"]) == ({"judge": "told"}, None)
    assert facts(replace(SCORING, overlay="mask"))["mask_fill"] == list(PINK)
    assert facts(replace(SCORING, n_images=3)) == known, "which it has no use for"
    for other in ({"seed": 1}, {"n_positives": 9}, {"holding": "shared"}, {"overlay": "mask"}):
        assert facts(replace(SCORING, **other)) != known
