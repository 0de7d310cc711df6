"""Features are parted cluster by cluster, so that nothing that is judged is like anything that was looked at."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seesay.split import split_of
from seesay.study.parts import BlockFeatures, Parts, clusters_across, concepts_held_out, part_features
from seesay.study.protocol import STEERING_PLUS

NAMES = [f"thing:{number}" for number in range(20)]
STUDY = replace(STEERING_PLUS, max_share=0.3)


def a_block(seed: int, n: int = 60, *, n_images: int = 40) -> BlockFeatures:
    """Features of which some have directions, some activations, and most a concept in common."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(n, 24, generator=generator)
    directions[1:20:2] = directions[:20:2] + 0.3 * torch.randn(10, 24, generator=generator)
    # the same for all blocks
    shared = torch.randn(n_images, n, generator=torch.Generator().manual_seed(9)).relu()
    own = torch.randn(n_images, n, generator=generator).relu()
    is_shared = torch.rand(n, generator=generator) < 0.3
    concepts = [[NAMES[(each + seed) % 20]] if each % 5 else [] for each in range(n)]
    return BlockFeatures(list(range(7, 7 + n)), directions, shared.where(is_shared, own), concepts)


def linked(blocks: list[BlockFeatures]) -> set[frozenset[tuple[int, int]]]:
    """Pairs that are too alike, one by one."""
    found: set[frozenset[tuple[int, int]]] = set()
    of = [(number, place) for number, block in enumerate(blocks) for place in range(len(block.ids))]
    for first in of:
        for second in of:
            one, two = blocks[first[0]], blocks[second[0]]
            if first >= second:
                continue
            if first[0] == second[0]:
                pair = (one.directions[first[1]], two.directions[second[1]])
                is_alike = torch.cosine_similarity(*pair, dim=0) > STUDY.max_cosine
            else:
                pair = torch.stack([one.activations[:, first[1]], two.activations[:, second[1]]])
                is_alike = torch.corrcoef(pair)[0, 1] > STUDY.max_correlation
            if is_alike:
                found.add(frozenset({(first[0], one.ids[first[1]]), (second[0], two.ids[second[1]])}))
    return found


def of_part(parts: list[Parts], *names: str) -> set[tuple[int, int]]:
    return {(number, each) for number, own in enumerate(parts) for name in names for each in getattr(own, name)}


@pytest.mark.parametrize("seed", range(4))
def test_no_two_parts_have_features_that_are_alike(seed: int) -> None:
    blocks = [a_block(seed), a_block(seed + 10)]
    parts = part_features(blocks, STUDY, concepts_held_out(NAMES, STUDY))
    links = linked(blocks)
    assert len(links) > 10, "there is something to be kept apart"
    for first, second in [("teaching", "validation"), ("teaching", "test"), ("validation", "test")]:
        ours, theirs = of_part(parts, first), of_part(parts, second)
        assert ours and theirs
        assert not ours & theirs
        assert not [pair for pair in links if pair & ours and pair & theirs]


def test_no_feature_of_a_held_out_concept_teaches_or_chooses() -> None:
    blocks = [a_block(1), a_block(2)]
    held_out = concepts_held_out(NAMES, STUDY)
    assert len(held_out) == 4
    parts = part_features(blocks, STUDY, held_out)
    concepts = {
        (number, feature_id): set(fitting)
        for number, block in enumerate(blocks)
        for feature_id, fitting in zip(block.ids, block.concepts, strict=True)
    }
    assert not [each for each in of_part(parts, "teaching", "validation") if concepts[each] & held_out]
    assert of_part(parts, "held_out") == {each for each in of_part(parts, "test") if concepts[each] & held_out}
    assert of_part(parts, "held_out")


def test_only_features_that_can_be_judged_are() -> None:
    block = a_block(3)
    (parts,) = part_features([block], STUDY, frozenset())
    without = {each for each, fitting in zip(block.ids, block.concepts, strict=True) if not fitting}
    assert not without & {*parts.validation, *parts.test}
    assert without & set(parts.teaching)
    assert {split_of(each) for each in parts.test} == {"test"}


def test_what_stands_apart_is_like_nothing_that_was_looked_at_before() -> None:
    blocks = [a_block(5), a_block(6)]
    parts = part_features(blocks, STUDY, frozenset())
    apart = of_part(parts, "apart")
    assert apart
    assert apart < of_part(parts, "test")
    for pair in linked(blocks):
        (other,) = pair - apart if len(pair & apart) == 1 else (None,)
        assert other is None or split_of(other[1]) == "test"


def test_a_cluster_that_is_too_large_to_be_drawn_is_judged() -> None:
    block = a_block(4)
    same = replace(block, directions=block.directions[:1].expand(60, -1))
    assert len(set(clusters_across([same], STUDY).tolist())) == 1
    (parts,) = part_features([same], STUDY, frozenset())
    assert not parts.teaching and not parts.validation
    (drawn,) = part_features([same], replace(STUDY, max_share=1.0), frozenset())
    assert [bool(each) for each in (drawn.teaching, drawn.validation, drawn.test)].count(True) == 1


@given(st.permutations(NAMES))
def test_which_concepts_are_held_out_hangs_on_their_names_alone(names: list[str]) -> None:
    assert concepts_held_out(names, STUDY) == concepts_held_out(NAMES, STUDY)


NONE: dict[str, list[int]] = vars(Parts([], [], [], [], []))


@pytest.mark.parametrize(
    "noted",
    [
        {},
        {"teaching": 1},
        dict.fromkeys(NONE, ["x"]),
        {**NONE, "teaching": [1], "test": [1]},
        {**NONE, "validation": [2, 2]},
        {**NONE, "test": [1], "apart": [3]},
    ],
)
def test_notes_that_hold_no_parts_are_refused(noted: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Parts.read_from(noted)
