"""How well numbers, or answers, tell images with a feature from images without it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from scipy.stats import rankdata


def roc_auc(positive: Float64[np.ndarray, " positive"], negative: Float64[np.ndarray, " negative"]) -> float:
    """Area under the ROC curve: how probably a positive exceeds a negative, a tie being half a success.

    Source: Mann and Whitney's U over the number of pairs, from the ranks of all values.

    Args:
        positive: values where a high one is right, at least one, none of them NaN.
        negative: values where a low one is right, likewise.
    """
    n_positive, n_negative = len(positive), len(negative)
    assert n_positive and n_negative, f"{n_positive} positives against {n_negative} negatives"
    both = np.concatenate([positive, negative])
    assert not np.isnan(both).any(), "values that are no numbers"
    n_won = rankdata(both)[:n_positive].sum() - n_positive * (n_positive + 1) / 2
    return float(n_won / (n_positive * n_negative))


def pooled_auc(
    groups: Sequence[tuple[Float64[np.ndarray, " _positive"], Float64[np.ndarray, " _negative"]]],
) -> float:
    """Area under one ROC curve of all features' values together.

    A positive of one feature is held against the negatives of all: features on a large scale decide.

    Args:
        groups: positives and negatives of each feature, see `roc_auc`; at least one of each in all.
    """
    assert groups, "no features"
    return roc_auc(*(np.concatenate([group[side] for group in groups]) for side in (0, 1)))


def balanced_accuracy(
    positive_right: Bool[np.ndarray, " positive"], negative_right: Bool[np.ndarray, " negative"]
) -> float:
    """Mean of the shares of positives and of negatives that were answered rightly, whatever their numbers.

    Args:
        positive_right: whether yes was said, of each image where it should be; at least one.
        negative_right: whether no was said, of each where that should be; at least one.
    """
    assert len(positive_right) and len(negative_right), "no positives, or no negatives"
    return float((positive_right.mean() + negative_right.mean()) / 2)


def mad(synthesised: Float64[np.ndarray, " synthesised"], control: Float64[np.ndarray, " control"]) -> float:
    """Mean activation difference: by how many standard deviations synthesised images activate a feature more.

    Source: CoSy, arXiv 2405.20331.

    Args:
        synthesised: activations on images made from the words, at least one.
        control: activations on control images, at least one.

    Returns:
        The difference of the means over the unbiased standard deviation of the control images; 0 if they are all the
        same, or but one.
    """
    assert len(synthesised) and len(control), "no synthesised images, or no control images"
    assert np.isfinite(synthesised).all() and np.isfinite(control).all(), "activations that are no numbers"
    # Asked of the values, not of their deviation: that of three times 0.1 is 1e-17, and would be divided by.
    if np.ptp(control) == 0:
        return 0.0
    return float((synthesised.mean() - control.mean()) / control.std(ddof=1))
