"""The bins that the activations of all features are counted in."""

import math

BINS_PER_OCTAVE = 4
_FIRST_OCTAVE, _LAST_OCTAVE = -16, 16
N_BINS = BINS_PER_OCTAVE * (_LAST_OCTAVE - _FIRST_OCTAVE)


def bin_edge(place: int) -> float:
    """Where a bin of the activation histogram begins; it ends where the next one begins.

    All features have the same bins, so that histograms add up: four to an octave, from 2^-16 to 2^16. What is smaller
    or larger counts in the first or last one.

    Args:
        place: of the bin, 0 to `N_BINS`.
    """
    return math.pow(2.0, _FIRST_OCTAVE + place / BINS_PER_OCTAVE)
