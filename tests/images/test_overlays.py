"""Overlays show the active patches and nothing else."""

from typing import get_args

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seesay.images.grid import Box
from seesay.images.options import BLACK, Overlay
from seesay.images.overlays import cropped, draw, highlighted, masked, to_pixels
from seesay.vlm.geometry import Geometry

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


@given(GRIDS, st.tuples(st.floats(-10, 10), st.floats(-10, 10), st.floats(20, 50), st.floats(20, 50)))
def test_what_a_grid_covers_is_what_an_encoders_geometry_says(active: np.ndarray, box: Box) -> None:
    n = active.size
    where = Geometry((37, 29), active.shape, torch.arange(n), torch.ones(n, dtype=torch.bool), box)
    shown = where.heatmap_to_image(torch.from_numpy(active.reshape(-1)).float()).numpy() > 0
    assert np.array_equal(to_pixels(active, 29, 37, box), shown)


@given(PIXELS, GRIDS)
def test_a_crop_has_all_active_patches(pixels: np.ndarray, active: np.ndarray) -> None:
    shown = to_pixels(active, *pixels.shape[:2])
    pixels = np.dstack([shown, pixels[..., 1:]]).astype(np.uint8)
    result = cropped(pixels, active)
    assert result[..., 0].sum() == shown.sum()
    assert result.size <= pixels.size


def test_a_crop_leaves_a_margin_and_an_image_without_activity_whole() -> None:
    active = np.zeros((8, 8), dtype=bool)
    pixels = np.zeros((80, 80, 3), dtype=np.uint8)
    assert cropped(pixels, active).shape == pixels.shape
    active[2:6, 3] = True
    assert cropped(pixels, active).shape == (60, 30, 3)


def test_every_overlay_can_be_drawn_and_leaves_the_image_alone() -> None:
    pixels = np.full((16, 16, 3), 100, dtype=np.uint8)
    active = np.eye(4, dtype=bool)
    drawn = {overlay: draw(overlay, pixels, active) for overlay in get_args(Overlay)}
    assert np.array_equal(drawn["plain"], pixels)
    assert (drawn["mask"] == masked(pixels, active)).all()
    assert (drawn["heatmap"] == highlighted(pixels, active)).all()
    assert drawn["crop"].shape == (16, 16, 3)
    assert (pixels == 100).all()
