"""Whose direction is pushed and whose images are shown, with every control and ablation."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seesay.errors import FeatureNotFound
from seesay.exemplars.exemplar import KeptImage
from seesay.explainers.cases import Case, Cases, directions
from seesay.explainers.config import Setting
from seesay.explainers.gallery import Gallery, NoImages
from seesay.records import Strength
from seesay.steering import random_direction
from tests.explainers.galleries import Shelf, active_on
from tests.tiny import N_FEATURES, tiny_sae

SAE, SEED = tiny_sae(), 3
GROUPS = [[1, 2, 3, 4, 5], [10, 11, 12, 13], [30]]
ALL = [feature_id for group in GROUPS for feature_id in group]
EVERY = Setting("hybrid", Strength(2.0, "max_activation"), n_images=3, seed=SEED)


def gallery(n_images: int = 4) -> Shelf:
    """Every feature has images of its own, whose numbers tell whose they are, and a largest activation."""
    filled = Shelf({}, {}, {feature_id: feature_id + 0.5 for feature_id in ALL}, GROUPS)
    for feature_id in ALL:
        images = [image(100 * feature_id + rank) for rank in range(n_images)]
        filled.exemplars_of[feature_id] = [
            active_on(feature_id, each, np.eye(2, dtype=bool), rank) for rank, each in enumerate(images)
        ]
        filled.pictures |= {each.image_id: Image.new("RGB", each.size) for each in images}
    return filled


def image(image_id: int) -> KeptImage:
    return KeptImage(image_id, f"{image_id:064x}", "", "explaining", (16, 16), (2, 2), (0.0, 0.0, 16.0, 16.0))


def cases(control: str | None = None, of: Gallery | None = None, **more: Any) -> Cases:
    """With a coefficient of ten times the largest activation."""
    setting = Setting(**(vars(EVERY) | {"control": control} | more))
    return Cases(
        setting, gallery() if of is None else of, SAE, lambda largest: 10 * (0.0 if largest is None else largest)
    )


def whose(case: Case) -> list[int]:
    """The features whose images are shown."""
    return [exemplar.feature_id for exemplar in case.exemplars]


def own_images(feature_id: int) -> list[int]:
    return [100 * feature_id + rank for rank in range(EVERY.n_images)]


@pytest.mark.parametrize(
    ("control", "pushed", "shown"),
    [
        (None, "own", "own"),
        ("none", "nothing", "own"),
        ("random", "random", "random"),
        ("permuted", "donor", "donor"),
        ("random-direction", "random", "own"),
        ("permuted-direction", "donor", "own"),
        ("random-images", "own", "random"),
        ("permuted-images", "own", "donor"),
    ],
)
def test_a_control_says_whose_direction_is_pushed_and_whose_images_are_shown(
    control: str | None, pushed: str, shown: str
) -> None:
    made = cases(control)
    for feature_id in (2, 5, 11):
        case = made.of(feature_id)
        assert (case.feature_id, case.reason) == (feature_id, "")
        donor_id = made.donor_of(feature_id)
        assert case.donor_id == (donor_id if "donor" in (pushed, shown) else None)
        pushes = donor_id if pushed == "donor" else feature_id
        if pushed == "nothing":
            assert case.direction is None
            assert case.coefficient == 0
        else:
            wanted = random_direction(feature_id, SAE.d_model, SEED) if pushed == "random" else SAE.direction(pushes)
            assert torch.equal(case.direction, wanted)
            assert case.coefficient == 10 * (pushes + 0.5), "as hard as the feature that is pushed"
            assert case.activating == pushes
        if shown == "random":
            assert feature_id not in whose(case)
        else:
            shows = donor_id if shown == "donor" else feature_id
            assert [exemplar.image.image_id for exemplar in case.exemplars] == own_images(shows)


def test_a_permuted_feature_draws_the_words_of_its_donor() -> None:
    """So that the control is nothing but the features' own words under other numbers."""
    same_images = gallery()
    permuted, own = cases("permuted", same_images), cases(None, same_images)
    for feature_id in GROUPS[0]:
        case = permuted.of(feature_id)
        same = own.of(case.donor_id)
        assert (case.key, case.activating, case.coefficient) == (same.key, same.activating, same.coefficient)
        assert torch.equal(case.direction, same.direction)
        assert case.exemplars == same.exemplars
    assert {cases(control).of(2).key for control in ("permuted-direction", "permuted-images", "random")} == {2}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 5))
def test_donors_are_of_the_same_group_and_no_feature_is_its_own(group_of: list[int], seed: int) -> None:
    groups = [[each for each, group in enumerate(group_of) if group == number] for number in range(4)]
    made = cases("permuted", Shelf({}, {}, apart=groups), seed=seed)
    for group in groups:
        donors = [made.donor_of(feature_id) for feature_id in group]
        if len(group) == 1:
            assert donors == [None]
        else:
            assert sorted(donors) == group
            assert all(donor != own for donor, own in zip(donors, group, strict=True))


def test_a_group_is_the_same_in_any_order() -> None:
    made, turned = cases("permuted"), cases("permuted", Shelf({}, {}, apart=[group[::-1] * 2 for group in GROUPS]))
    assert [made.donor_of(each) for each in ALL] == [turned.donor_of(each) for each in ALL]
    assert [made.donor_of(each) for each in ALL] != [cases("permuted", seed=4).donor_of(each) for each in ALL]


@pytest.mark.parametrize("control", [None, "none"])
def test_without_a_control_nobody_asks_who_stands_in_for_whom(control: str | None) -> None:
    assert [cases(control).donor_of(each) for each in ALL] == [None] * len(ALL)


@pytest.mark.parametrize("control", ["random", "random-images"])
def test_random_images_come_each_from_another_feature_of_the_group(control: str) -> None:
    made = cases(control)
    for feature_id in GROUPS[0] + GROUPS[1]:
        case = made.of(feature_id)
        group = next(group for group in GROUPS if feature_id in group)
        assert len(case.exemplars) == EVERY.n_images
        assert max(Counter(whose(case)).values()) == 1
        assert set(whose(case)) <= set(group) - {feature_id}


def test_random_images_are_fewer_where_there_are_fewer_other_features() -> None:
    assert len(cases("random-images", n_images=10).of(11).exemplars) == 3
    assert cases("random-images").of(30).reason == "no image of the explaining half activates it"


def test_random_images_are_any_of_those_that_would_be_shown() -> None:
    ranks = {each.rank for seed in range(20) for each in cases("random-images", seed=seed).of(2).exemplars}
    assert ranks == {0, 1, 2}


def test_random_images_depend_on_the_feature_and_the_seed_alone() -> None:
    def shown(features: list[int], seed: int = SEED) -> dict[int, list[int]]:
        made = cases("random", seed=seed)
        return {each: [exemplar.image.image_id for exemplar in made.of(each).exemplars] for each in features}

    everywhere = shown(ALL[:9])
    assert shown(ALL[8::-1]) == everywhere
    assert [shown([each])[each] for each in ALL[:9]] == list(everywhere.values())
    assert shown(ALL[:9], seed=4) != everywhere
    assert everywhere[1] != everywhere[2]


def test_a_method_takes_what_it_has_a_use_for() -> None:
    steers = cases(method="steering").of(2)
    assert (steers.exemplars, steers.direction is None) == ((), False)
    shows = Cases(Setting("topk", n_images=3), gallery(), None, lambda _largest: 1.0).of(2)
    assert (whose(shows), shows.direction, shows.coefficient) == ([2, 2, 2], None, 0.0)


def test_a_feature_without_images_has_a_reason() -> None:
    for method in ("topk", "hybrid"):
        strength = None if method == "topk" else EVERY.strength
        case = cases(method=method, strength=strength).of(20)
        assert case.reason == "no image of the explaining half activates it"
        assert case.exemplars == ()
    assert "stand in" in cases("permuted").of(20).reason


def test_a_feature_that_was_never_active_has_a_reason_where_that_tells_the_strength() -> None:
    dead = gallery()
    dead.maxima[2] = 0.0
    for control in (None, "random-direction", "random-images", "permuted-images"):
        assert "never active" in cases(control, dead, method="hybrid").of(2).reason
    assert "never active" in cases(None, dead, method="steering").of(2).reason
    assert cases("none", dead).of(2).reason == "", "where nothing is pushed"
    for unit in ("coefficient", "residual_norm", "kl"):
        assert cases(None, dead, strength=Strength(1.0, unit)).of(2).reason == ""


def test_a_feature_whose_donor_was_never_active_has_a_reason() -> None:
    dead = gallery()
    donor_id = cases("permuted").donor_of(2)
    dead.maxima[donor_id] = 0.0
    assert "never active" in cases("permuted", dead).of(2).reason
    dead.maxima |= {donor_id: 1.0, 2: 0.0}
    assert cases("permuted", dead).of(2).reason == "", "its own strength does not matter"


@pytest.mark.parametrize("control", ["permuted", "permuted-direction", "permuted-images"])
@pytest.mark.parametrize("feature_id", [30, 20])
def test_a_feature_that_nobody_can_stand_in_for_has_a_reason(control: str, feature_id: int) -> None:
    case = cases(control).of(feature_id)
    assert (case.feature_id, case.donor_id) == (feature_id, None)
    assert "no feature can stand in for it" in case.reason


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(FeatureNotFound, match=str(N_FEATURES)):
        cases(method="steering", strength=Strength(1.0)).of(N_FEATURES)


def test_features_can_stand_in_for_each_other_without_images() -> None:
    made = cases("permuted", NoImages([4, 1, 1]), method="steering", strength=Strength(1.0))
    assert (made.donor_of(1), made.donor_of(4)) == (4, 1)


def test_directions_are_stacked_in_order() -> None:
    made = cases()
    for some in (ALL[:4], ALL[4:], ALL[:1]):
        assert torch.equal(directions([made.of(each) for each in some]), SAE.directions(some))
