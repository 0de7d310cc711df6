"""Features that are nearly the same."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Group = TypeVar("Group", bound=Hashable)

MIN_COSINE = 0.5
"""Directions nearer to each other than this count as duplicates."""


def clusters_of(
    feature_ids: Sequence[int], nearest: Mapping[int, Sequence[tuple[int, float]]], threshold: float = MIN_COSINE
) -> Int64[np.ndarray, " feature"]:
    """Put features whose directions are nearly the same into one cluster, and with them what is like either.

    Args:
        feature_ids: in any order; one may stand there several times.
        nearest: of each feature those with the nearest directions, and the cosine; a link that one of the two names
            is enough. One that leads to a feature not asked for does not count, nor does what it might lead on to.
        threshold: of the cosine, which must be above it.

    Returns:
        The number of each feature's cluster, from 0.
    """
    places = {feature_id: place for place, feature_id in enumerate(dict.fromkeys(feature_ids))}
    links = [
        (place, places[other])
        for feature_id, place in places.items()
        for other, cosine in nearest.get(feature_id, ())
        if cosine > threshold and other in places
    ]
    rows, columns = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(len(places), len(places)))
    _, labels = connected_components(graph, directed=False)
    return np.array([labels[places[feature_id]] for feature_id in feature_ids], dtype=np.int64)


def clusters_within(
    groups: Sequence[Group],
    feature_ids: Sequence[int],
    nearest: Mapping[Group, Mapping[int, Sequence[tuple[int, float]]]],
) -> Int64[np.ndarray, " feature"]:
    """The same for features of several dictionaries: two features of different ones are never in one cluster.

    Args:
        groups: of each feature, what it belongs to.
        feature_ids: of each, within that.
        nearest: by group, as for `clusters_of`; a group that is not there has no links.
    """
    found, n_before = np.zeros(len(feature_ids), dtype=np.int64), 0
    for group in dict.fromkeys(groups):
        places = [place for place, other in enumerate(groups) if other == group]
        own = clusters_of([feature_ids[place] for place in places], nearest.get(group, {}))
        found[places] = own + n_before
        n_before += int(own.max()) + 1
    return found
