"""Features divided: by what they stand for, by block, by how often they are active."""

from collections.abc import Collection, Mapping
from typing import get_args

import numpy as np

from seesay.comparison.contender import FeatureKey
from seesay.comparison.reading import Contest
from seesay.comparison.results import Kind
from seesay.records import Level

Parts = Mapping[Kind, Mapping[str, Collection[FeatureKey]]]
"""By what features are divided, and of each part, by its name, which they are."""

THIRDS = ("rarest third", "middle third", "most frequent third")


def parts_of(contest: Contest, levels: Mapping[FeatureKey, Level] | None = None) -> Parts:
    """Divide the features that any contender explained.

    Args:
        contest: with its features.
        levels: of what each feature stands for, as [seesay.comparison.levels.majority][] tells, or the truth. A feature
            may be missing. None leaves that out.

    Returns:
        Only divisions that divide: by layer where there are several, by frequency where it is known.
    """
    keys = sorted({key for contender in contest.contenders for key in contender.words})
    found: dict[Kind, dict[str, frozenset[FeatureKey]]] = {}
    if levels:
        found["level"] = {
            level: frozenset(key for key in keys if levels.get(key) == level)
            for level in get_args(Level)
            if level in levels.values()
        }
    if len(contest.origins) > 1:
        found["layer"] = {
            origin.label: frozenset(key for key in keys if key.origin == place)
            for place, origin in enumerate(contest.origins)
        }
    known = [key for key in keys if key in contest.frequencies]
    if known:
        frequencies = np.array([contest.frequencies[key] for key in known])
        # Equal frequencies are never parted, so that thirds may be unequal.
        thirds = np.searchsorted(np.quantile(frequencies, [1 / 3, 2 / 3]), frequencies)
        found["frequency"] = {
            name: frozenset(key for key, third in zip(known, thirds, strict=True) if third == number)
            for number, name in enumerate(THIRDS)
        }
    return found
