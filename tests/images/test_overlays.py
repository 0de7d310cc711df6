"""Overlays show the active patches and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seesay.images.overlays import BLACK, highlighted, masked, to_pixels

PIXELS = arrays.arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40), st.just(3)))
GRIDS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 8)))


@given(PIXELS, GRIDS)
def test_a_mask_keeps_active_patches_and_fills_the_others(pixels: np.ndarray, active: np.ndarray) -> None:
    shown = to_pixels(active, *pixels.shape[:2])
    result = masked(pixels, active)
    assert np.array_equal(result[shown], pixels[shown])
    assert (result[~shown] == BLACK).all()


@given(PIXELS, GRIDS)
def test_a_heatmap_leaves_inactive_patches_alone_and_greens_the_others(pixels: np.ndarray, active: np.ndarray) -> None:
    shown = to_pixels(active, *pixels.shape[:2])
    result = highlighted(pixels, active)
    assert np.array_equal(result[~shown], pixels[~shown])
    assert (result[shown][:, 1] >= pixels[shown][:, 1]).all()
    assert (result[shown][:, [0, 2]] <= pixels[shown][:, [0, 2]]).all()


@given(GRIDS)
def test_a_grid_enlarged_by_a_whole_factor_repeats_its_cells(active: np.ndarray) -> None:
    rows, columns = active.shape
    assert np.array_equal(to_pixels(active, rows * 3, columns * 5), active.repeat(3, 0).repeat(5, 1))


def test_one_hot_patch_lights_just_that_patch() -> None:
    active = np.zeros((4, 4), dtype=bool)
    active[1, 2] = True
    shown = to_pixels(active, 32, 32)
    assert shown.sum() == 64
    assert shown[8:16, 16:24].all()
