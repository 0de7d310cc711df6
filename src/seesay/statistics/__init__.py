"""Statistics of scores: pure functions on numbers, in 64 bits, without torch."""

from seesay.statistics.agreement import Alpha, ordinal_alpha
from seesay.statistics.certainty import Bin, calibration_error, coverage_accuracy, reliability
from seesay.statistics.clusters import clusters_of, clusters_within
from seesay.statistics.comparison import Paired, holm, paired
from seesay.statistics.correlation import Correlation, rank_correlation
from seesay.statistics.discrimination import balanced_accuracy, mad, pooled_auc, roc_auc
from seesay.statistics.estimates import Estimate, contrast, estimate

__all__ = [
    "Alpha",
    "Bin",
    "Correlation",
    "Estimate",
    "Paired",
    "balanced_accuracy",
    "calibration_error",
    "clusters_of",
    "clusters_within",
    "contrast",
    "coverage_accuracy",
    "estimate",
    "holm",
    "mad",
    "ordinal_alpha",
    "paired",
    "pooled_auc",
    "rank_correlation",
    "reliability",
    "roc_auc",
]
