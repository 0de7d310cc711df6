"""Which features teach, which choose and which are judged: no two that are alike in different parts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import normalize

from seesay.split import split_of
from seesay.study.protocol import Study


@final
@dataclass(frozen=True, eq=False)
class BlockFeatures:
    """The features of a block that take part.

    Args:
        ids: of the features that an image of the explaining half activates.
        directions: of each.
        activations: of each on some images, the same for all blocks: its largest one on each.
        concepts: of each, the names of those that fit it, by the truth; those of none cannot be judged.
    """

    ids: Sequence[int]
    directions: Float[Tensor, "feature d_model"]
    activations: Float[Tensor, "image feature"]
    concepts: Sequence[Sequence[str]]


@final
@dataclass(frozen=True)
class Parts:
    """The features of a block, by what they are for.

    Args:
        teaching: take part in teaching lenses.
        validation: choose; all of them can be judged.
        test: are judged.
        held_out: test features that a concept fits of which no feature teaches or chooses.
        apart: test features that are like no feature at which anyone looked while the method was made: none of
            [seesay.split.split_of][]'s validation features is in their cluster.
    """

    teaching: list[int]
    validation: list[int]
    test: list[int]
    held_out: list[int]
    apart: list[int]

    @classmethod
    def read_from(cls, noted: Mapping[str, Any]) -> "Parts":
        """As notes have them.

        Args:
            noted: lists of ids.

        Raises:
            ValueError: something else.
            KeyError: a part is missing.
        """
        parts = [noted[name] for name in ("teaching", "validation", "test", "held_out", "apart")]
        if not all(isinstance(part, list) and all(type(each) is int for each in part) for part in parts):
            raise ValueError("parts that are no lists of ids")
        teaching, validation, test, *within = parts
        if len({*teaching, *validation, *test}) != sum(map(len, (teaching, validation, test))):
            raise ValueError("features in two parts")
        if not all(set(each) <= set(test) for each in within):
            raise ValueError("a group of test features that are none")
        return cls(*parts)


def clusters_across(blocks: Sequence[BlockFeatures], study: Study) -> Int64[np.ndarray, " feature"]:
    """Put features that are alike into one cluster: by direction within a block, by activation between blocks.

    Args:
        blocks: in their order.
        study: how alike is alike.

    Returns:
        The number of each feature's cluster: those of the first block first.
    """
    activations = torch.cat([each.activations for each in blocks], dim=1)
    # Pearson's correlation: the cosine of what is left when the mean is taken away
    centred = normalize(activations - activations.mean(0), dim=0)
    is_linked = (centred.T @ centred) > study.max_correlation
    start = 0
    for each in blocks:
        own = slice(start, start := start + len(each.ids))
        unit = normalize(each.directions.float(), dim=-1)
        is_linked[own, own] = (unit @ unit.T) > study.max_cosine
    _, labels = connected_components(is_linked.numpy(), directed=False)
    return np.asarray(labels, dtype=np.int64)


def part_features(blocks: Sequence[BlockFeatures], study: Study, held_out: frozenset[str]) -> list[Parts]:
    """Part the features of all blocks, cluster by cluster.

    A cluster goes to one part whole: to test, if it is too large to be drawn or a held-out concept fits any of it, or
    else where a hash says. Of its test features those are judged that [seesay.split.split_of][] counts among such.

    Args:
        blocks: in their order.
        study: the shares.
        held_out: names of concepts.

    Returns:
        The parts of each block.
    """
    clusters = clusters_across(blocks, study).tolist()
    features = [(number, each) for number, block in enumerate(blocks) for each in block.ids]
    concepts = [frozenset(each) for block in blocks for each in block.concepts]
    sizes = Counter(clusters)
    has_held_out = {cluster for cluster, fitting in zip(clusters, concepts, strict=True) if fitting & held_out}
    looked_at = {
        cluster for cluster, (_, each) in zip(clusters, features, strict=True) if split_of(each) == "validation"
    }
    first: dict[int, tuple[int, int]] = {}
    for cluster, feature in zip(clusters, features, strict=True):
        first.setdefault(cluster, feature)
    parts = [Parts([], [], [], [], []) for _ in blocks]
    for cluster, (number, feature_id), fitting in zip(clusters, features, concepts, strict=True):
        own, place = parts[number], _drawn(*first[cluster])
        if sizes[cluster] > study.max_share * len(features) or cluster in has_held_out:
            place = 1.0
        if place < study.teaching_share:
            own.teaching.append(feature_id)
        elif not fitting:
            continue
        elif place < study.teaching_share + study.validation_share:
            own.validation.append(feature_id)
        elif split_of(feature_id) == "test":
            own.test.append(feature_id)
            if fitting & held_out:
                own.held_out.append(feature_id)
            if cluster not in looked_at:
                own.apart.append(feature_id)
    return parts


def concepts_held_out(names: Sequence[str], study: Study) -> frozenset[str]:
    """Concepts of which no feature teaches or chooses: those with the least hashes.

    Args:
        names: of all.
        study: how many.
    """
    order = sorted(names, key=lambda name: _share(name.encode()))
    return frozenset(order[: round(study.held_out_share * len(order))])


def _drawn(block: int, feature_id: int) -> float:
    """Where in 0 to 1 a cluster lies, by its first feature."""
    return _share(f"{block} {feature_id}".encode())


def _share(of: bytes) -> float:
    return int.from_bytes(blake2b(of, digest_size=8, person=b"seesay-parts").digest(), "little") / 2**64
