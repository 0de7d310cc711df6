"""What is exported, and in which form. Free of everything heavy."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, final

from seesay.records import Method, Split

Format = Literal["parquet", "neuronpedia", "hub"]
"""Tables for pandas, polars and DuckDB; what Neuronpedia imports; or the same tables with a card, for the Hub."""


@final
@dataclass(frozen=True)
class Selection:
    """Which part of a run is exported.

    Args:
        features: only these; None for all.
        methods: only what was said by these; None for all.
        split: only features of this part; None for both.
    """

    features: frozenset[int] | None = None
    methods: Collection[Method] | None = None
    split: Split | None = None

    def has(self, feature_id: int, split: Split) -> bool:
        """Whether a feature is in it.

        Args:
            feature_id: of the feature.
            split: the part that it is of.
        """
        return (self.features is None or feature_id in self.features) and self.split in (None, split)

    @property
    def has_all_features(self) -> bool:
        """Whether every feature is in it."""
        return self.features is None and self.split is None
