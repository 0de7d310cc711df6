"""Runs into contenders: who takes part, on which features, and which way of scoring counts."""

from pathlib import Path

import pytest

from seesay.comparison.contender import FeatureKey
from seesay.comparison.reading import Contest, read
from seesay.errors import InvalidSetting, UnusablePath
from seesay.explainers.config import Setting
from seesay.records import Decoding, Strength
from seesay.store.run import Run
from tests.comparison.making import FACTS, judged, making, said, scored

IDS = judged()
WORDS = dict.fromkeys(range(60), "a red car")
HALF = dict.fromkeys(IDS, 0.5)


def at(value: float, control: str | None = None) -> Setting:
    return Setting("steering", Strength(value, "residual_norm"), control)  # pyright: ignore[reportArgumentType]


def reading(*folders: Path, **options: object) -> Contest:
    runs = [Run.open(folder) for folder in folders]
    try:
        return read(runs, **options)  # pyright: ignore[reportArgumentType]
    finally:
        for run in runs:
            run.close()


def names(contest: Contest) -> list[str]:
    return [each.name for each in contest.contenders]


def values(contest: Contest, score: str, number: int = 0) -> dict[int, float]:
    numbers = contest.scored[score].numbers[number]  # pyright: ignore[reportArgumentType]
    return {key.feature_id: value for key, value in numbers.values[score].items()}


def test_only_the_features_of_the_split_take_part(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        topk = said(run, WORDS)
        scored(run, "iou", topk, dict.fromkeys(WORDS, 0.5))
    assert values(reading(tmp_path), "iou").keys() == set(IDS)
    assert values(reading(tmp_path, part="validation"), "iou").keys() == set(WORDS) - set(IDS)
    assert values(reading(tmp_path, part="all"), "iou").keys() == set(WORDS)


def test_whoever_explained_no_feature_of_the_split_does_not_compete(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        said(run, WORDS, at(2.0))
        said(run, {each: "grass" for each in WORDS if each not in IDS}, at(4.0))
    assert names(reading(tmp_path)) == ["steering"]
    assert names(reading(tmp_path, part="validation")) == [
        "steering, at 2 residual_norm",
        "steering, at 4 residual_norm",
    ]


def test_several_ways_of_one_method_are_named_by_what_tells_them_apart(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        said(run, WORDS, explainer="small")
        said(run, WORDS, explainer="large")
        said(run, WORDS, Setting("hybrid", Strength(2.0), n_images=3))
        said(run, WORDS, Setting("hybrid", Strength(2.0), n_images=5))
        said(run, WORDS, at(2.0))
    assert names(reading(tmp_path)) == [
        "steering",
        "topk, by large",
        "topk, by small",
        "hybrid, n images 3",
        "hybrid, n images 5",
    ]


def test_what_cannot_be_told_apart_in_few_words_is_numbered(tmp_path: Path) -> None:
    long = "What on earth is it that is to be seen there, "
    with making(tmp_path) as run:
        for ending in ("please?", "now?"):
            said(run, WORDS, prompt=long + ending)
    assert names(reading(tmp_path)) == ["topk", "topk (2)"]


def test_controls_do_not_compete_but_random_ones_stand_beside_their_method(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        own, other = said(run, WORDS, at(2.0)), said(run, WORDS, Setting("topk"))
        far, near = said(run, WORDS, at(8.0, "random")), said(run, WORDS, at(2.0, "random"))
        none = said(run, WORDS, at(2.0, "permuted"))
        for setting, value in ((own, 0.9), (other, 0.8), (far, 0.1), (near, 0.2), (none, 0.3)):
            scored(run, "iou", setting, dict.fromkeys(IDS, value))
    contest = reading(tmp_path)
    assert names(contest) == ["steering", "topk"]
    aids = contest.scored["iou"].aids
    assert set(aids[0]["random"].values["iou"].values()) == {0.2}  # the same strength goes first
    assert not aids[1]


def test_a_random_direction_of_another_strength_will_do(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        own, far = said(run, WORDS, at(2.0)), said(run, WORDS, at(8.0, "random"))
        another = said(run, WORDS, at(2.0, "random"), explainer="b")
        for setting, value in ((own, 0.9), (far, 0.1), (another, 0.7)):
            scored(run, "iou", setting, dict.fromkeys(IDS, value))
    assert set(reading(tmp_path).scored["iou"].aids[0]["random"].values["iou"].values()) == {0.1}


def notes_beside(folder: Path, own: Setting, *randoms: Setting) -> tuple[str, ...]:
    with making(folder) as run:
        for setting in (own, *randoms):
            scored(run, "iou", said(run, WORDS, setting), HALF)
    return reading(folder).scored["iou"].notes


def test_random_directions_that_were_explained_otherwise_are_told(tmp_path: Path) -> None:
    drawing = Decoding(temperature=0.7)
    sampled = Setting("topk", control="random", decoding=drawing)
    assert notes_beside(tmp_path / "strength", at(2.0), at(8.0, "random")) == (
        "random directions beside steering were explained otherwise (strength value 8.0, not 2.0)",
    )
    (note,) = notes_beside(tmp_path / "decoding", Setting("topk"), sampled)
    assert note.startswith("random directions beside topk were explained otherwise (")
    assert "decoding temperature 0.7, not none" in note


def test_random_directions_that_were_explained_alike_are_no_matter(tmp_path: Path) -> None:
    assert notes_beside(tmp_path / "a", at(2.0), at(2.0, "random")) == ()
    assert notes_beside(tmp_path / "b", at(2.0), at(8.0, "random"), at(2.0, "random")) == (), "those stand beside it"
    drawing = Decoding(temperature=0.7)
    sampled = (Setting("topk", control=each, decoding=drawing, seed=3) for each in (None, "random"))
    assert notes_beside(tmp_path / "c", *sampled) == ()
    assert notes_beside(tmp_path / "d", Setting("topk")) == ()


def test_aids_that_were_scored_in_another_way_are_left_out(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        topk = said(run, WORDS)
        scored(run, "iou", topk, HALF)
        scored(run, "iou", topk, HALF, "grass", aid="permuted")
        scored(run, "iou", topk, HALF, "grass", aid="constant", facts={**FACTS, "n_images": 3})
    assert reading(tmp_path).scored["iou"].aids[0].keys() == {"permuted"}


def test_several_samples_count_by_their_mean_and_failures_not_at_all(tmp_path: Path) -> None:
    words = {**{each: ("a", "b") for each in IDS[2:]}, IDS[0]: ("a", None), IDS[1]: (None, None)}
    with making(tmp_path) as run:
        topk = said(run, words)
        scored(run, "iou", topk, {each: (0.2, 0.6) for each in IDS}, words)
    contest = reading(tmp_path)
    found = values(contest, "iou")
    assert found[IDS[0]] == 0.2
    assert IDS[1] not in found
    assert found[IDS[2]] == pytest.approx(0.4)
    assert (contest.contenders[0].n_explained, contest.contenders[0].n_failed) == (len(IDS), 1)


def test_silence_counts_with_the_number_that_it_was_given(tmp_path: Path) -> None:
    words = {**WORDS, IDS[0]: ""}
    with making(tmp_path) as run:
        scored(run, "auroc", said(run, words), HALF, words)
    assert values(reading(tmp_path), "auroc")[IDS[0]] == 0.5


def test_a_feature_without_anything_to_measure_has_no_number(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        scored(run, "iou", said(run, WORDS), {**HALF, IDS[3]: None})
    assert values(reading(tmp_path), "iou").keys() == set(IDS) - {IDS[3]}


def test_numbers_of_words_that_were_replaced_since_do_not_count(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        topk = said(run, WORDS)
        scored(run, "iou", topk, HALF)
        said(run, {IDS[0]: "something else"})
    assert values(reading(tmp_path), "iou").keys() == set(IDS[1:])


def test_of_several_ways_of_scoring_the_one_that_most_share_counts_and_the_other_is_named(tmp_path: Path) -> None:
    paper = {**FACTS, "n_images": 3}
    with making(tmp_path) as run:
        topk, steering, hybrid = said(run, WORDS), said(run, WORDS, at(2.0)), said(run, WORDS, Setting("hybrid"))
        scored(run, "auroc", topk, dict.fromkeys(IDS, 0.1), facts=paper)
        scored(run, "auroc", topk, dict.fromkeys(IDS, 0.6))
        scored(run, "auroc", steering, dict.fromkeys(IDS, 0.7))
        scored(run, "auroc", hybrid, dict.fromkeys(IDS[1:], 0.2), facts=paper)
        scored(run, "auroc", hybrid, dict.fromkeys(IDS, 0.3), facts={**paper, "n_images": 4})
    contest = reading(tmp_path)
    found = contest.scored["auroc"]
    order = names(contest)
    assert {order[number]: set(each.values["auroc"].values()) for number, each in found.numbers.items()} == {
        "topk": {0.6},
        "steering": {0.7},
    }
    assert sorted(found.notes) == [
        "auroc of hybrid was also computed in another way (n images 4, not 20): left aside; that of hybrid in no "
        "other, so that it is missing here",
        "auroc of topk, hybrid was also computed in another way (n images 3, not 20): left aside; that of hybrid in no "
        "other, so that it is missing here",
    ]


def test_of_two_ways_that_are_shared_alike_the_later_one_counts(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        topk = said(run, WORDS)
        for n_images in (3, 4, 5):
            scored(run, "auroc", topk, dict.fromkeys(IDS, n_images / 10), facts={**FACTS, "n_images": n_images})
        scored(run, "auroc", topk, dict.fromkeys(IDS[:9], 0.6), facts={**FACTS, "n_images": 6})
    assert set(values(reading(tmp_path), "auroc").values()) == {0.5}


def test_the_way_with_more_contenders_wins_whatever_came_first(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        for number, setting in enumerate((Setting("topk"), at(2.0), Setting("hybrid"))):
            stored = said(run, WORDS, setting)
            scored(run, "iou", stored, HALF, facts={**FACTS, "n_images": number + 3})
            scored(run, "iou", stored, dict.fromkeys(IDS, 0.9))
    found = reading(tmp_path).scored["iou"]
    assert len(found.numbers) == 3
    assert found.facts == FACTS


def test_contenders_that_share_no_way_are_refused_with_what_differs(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        scored(run, "auroc", said(run, WORDS), HALF)
        scored(run, "auroc", said(run, WORDS, at(2.0)), HALF, facts={**FACTS, "n_images": 3})
    with pytest.raises(InvalidSetting, match="auroc .* steering than for topk: n images 3, not 20"):
        reading(tmp_path, scores={"auroc"})
    contest = reading(tmp_path)
    assert not contest.scored
    assert "n images 3, not 20" in contest.notes[0]


def test_what_a_method_names_by_itself_is_no_other_way_of_telling_the_truth(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        for setting, unsteered in ((Setting("topk"), []), (at(2.0), ["grass"])):
            stored = said(run, WORDS, setting)
            scored(run, "ground_truth", stored, HALF, facts={**FACTS, "unsteered": unsteered})
    assert len(reading(tmp_path).scored["ground_truth"].numbers) == 2


def test_runs_of_several_blocks_make_one_contender_each_with_its_own_strength(tmp_path: Path) -> None:
    for layer, strength in ((3, 2.0), (5, 4.0)):
        with making(tmp_path / str(layer), layer=layer, identity=f"block {layer}") as run:
            scored(run, "iou", said(run, WORDS, at(strength)), dict.fromkeys(IDS, layer / 10))
    contest = reading(tmp_path / "3", tmp_path / "5")
    assert names(contest) == ["steering"]
    assert [each.label for each in contest.origins] == ["block 3", "block 5"]
    assert contest.contenders[0].strengths == (Strength(2.0, "residual_norm"), Strength(4.0, "residual_norm"))
    found = contest.scored["iou"].numbers[0].values["iou"]
    assert found[FeatureKey(0, IDS[0])] == 0.3
    assert found[FeatureKey(1, IDS[0])] == 0.5


def test_a_run_and_its_copy_hold_the_same_features(tmp_path: Path) -> None:
    for name, setting in (("a", at(2.0)), ("b", at(4.0)), ("c", Setting("topk"))):
        with making(tmp_path / name) as run:
            scored(run, "iou", said(run, WORDS, setting), HALF)
    contest = reading(*(tmp_path / name for name in "abc"))
    assert len(contest.origins) == 1
    assert names(contest) == ["steering, at 2 residual_norm", "steering, at 4 residual_norm", "topk"]
    assert {key.origin for each in contest.contenders for key in each.words} == {0}


def test_the_same_features_on_other_images_do_not_pair_but_are_no_evidence_of_their_own(tmp_path: Path) -> None:
    for images in ("photographs", "drawings"):
        with making(tmp_path / images, images=images) as run:
            scored(run, "iou", said(run, WORDS), HALF)
    contest = reading(tmp_path / "photographs", tmp_path / "drawings")
    assert [each.label for each in contest.origins] == ["block 1, photographs", "block 1, drawings"]
    keys = sorted(contest.contenders[0].words)
    clusters = dict(zip(keys, contest.clusters(keys).tolist(), strict=True))
    assert all(clusters[FeatureKey(0, each)] == clusters[FeatureKey(1, each)] for each in IDS)
    assert len(set(clusters.values())) == len(IDS)


def test_near_duplicates_are_one_cluster_and_features_of_other_saes_never(tmp_path: Path) -> None:
    near = {IDS[0]: [(IDS[1], 0.9), (IDS[2], 0.3)]}
    for sae in "ab":
        with making(tmp_path / sae, identity=sae, sae=sae, nearest=near) as run:
            scored(run, "iou", said(run, WORDS), HALF)
    contest = reading(tmp_path / "a", tmp_path / "b")
    assert [each.label for each in contest.origins] == ["block 1, a", "block 1, b"]
    keys = [FeatureKey(origin, each) for each in IDS[:3] for origin in (0, 1)]
    clusters = contest.clusters(keys).tolist()
    assert clusters[0] == clusters[2] != clusters[4]
    assert clusters[1] == clusters[3] != clusters[5]
    assert not set(clusters[::2]) & set(clusters[1::2])


def test_scores_of_features_belong_to_no_contender(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        said(run, WORDS)
        scored(run, "monosemanticity", None, HALF, "")
        scored(run, "monosemanticity", None, {IDS[0]: 0.9}, "", facts={**FACTS, "n_images": 5})
    found = reading(tmp_path).scored["monosemanticity"]
    assert set(found.numbers[0].values["monosemanticity"].values()) == {0.5}
    assert "n images 5, not 20" in found.notes[0]


def test_only_the_methods_and_the_explainer_that_are_asked_for_compete(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        said(run, WORDS, explainer="small")
        said(run, WORDS, at(2.0), explainer="large")
    assert names(reading(tmp_path, methods=["topk"])) == ["topk"]
    assert names(reading(tmp_path, explainer="large")) == ["steering"]
    with pytest.raises(InvalidSetting, match="by huge in .*expected steering by large; topk by small|topk by small"):
        reading(tmp_path, explainer="huge")


def test_a_run_without_explanations_says_how_to_get_some(tmp_path: Path) -> None:
    with making(tmp_path):
        pass
    with pytest.raises(UnusablePath, match=f"seesay explain {tmp_path}"):
        reading(tmp_path)
