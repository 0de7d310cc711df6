"""Exemplars as they are shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.exemplars.heatmap import Heatmap
from seesay.images.grid import Box

SIZE, BOX = (200, 100), (20.0, 0.0, 180.0, 100.0)


def exemplar() -> Exemplar:
    """Active in the upper right of a grid that leaves out a tenth of the image on either side."""
    image = KeptImage(1, "0" * 64, "a.png", "explaining", SIZE, (2, 2), BOX)
    heatmap = Heatmap(np.array([1], dtype=np.int32), np.array([0.5], dtype=np.float32))
    return Exemplar(7, "top", 0, image, 0.125, None, heatmap)


@pytest.mark.parametrize("size", [SIZE, (100, 50), (40, 20)])
def test_an_overlay_lies_on_the_same_part_of_an_image_and_of_its_thumbnail(size: tuple[int, int]) -> None:
    shown = np.asarray(exemplar().drawn("mask", Image.new("RGB", size, "white"))).any(2)
    wanted = np.zeros((size[1], size[0]), dtype=bool)
    wanted[: size[1] // 2, size[0] // 2 : size[0] * 9 // 10] = True
    np.testing.assert_array_equal(shown, wanted)


def test_a_heatmap_has_a_number_for_every_patch() -> None:
    assert exemplar().dense().tolist() == [[0, 0.5], [0, 0]]


GRIDS = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(lambda grid: arrays(np.bool_, grid))
SIZES = st.tuples(st.integers(6, 60), st.integers(6, 60))


def active_on(active: np.ndarray, size: tuple[int, int], box: Box) -> Exemplar:
    patches = active.reshape(-1).nonzero()[0].astype(np.int32)
    image = KeptImage(1, "0" * 64, "a.png", "explaining", size, active.shape, box)
    heatmap = Heatmap(patches, np.full(len(patches), 0.5, dtype=np.float32))
    return Exemplar(7, "top", 0, image, 0.5, None, heatmap)


def whole(size: tuple[int, int]) -> Box:
    return 0.0, 0.0, float(size[0]), float(size[1])


@given(GRIDS, SIZES, st.sampled_from(["plain", "mask", "heatmap"]), st.floats(-9, 9), st.floats(-9, 9))
def test_on_the_image_itself_the_active_patches_are_the_heatmaps(
    active: np.ndarray, size: tuple[int, int], overlay: str, x: float, y: float
) -> None:
    """Whatever part of it the grid covers."""
    box = (x, y, size[0] - x / 2, size[1] - y / 2)
    found = active_on(active, size, box).active_in(overlay, size, active.shape, box)
    np.testing.assert_array_equal(found, active)


@given(GRIDS, SIZES, st.integers(2, 4))
def test_on_a_thumbnail_they_are_the_same(active: np.ndarray, size: tuple[int, int], times: int) -> None:
    shown = active_on(active, (size[0] * times, size[1] * times), whole((size[0] * times, size[1] * times)))
    np.testing.assert_array_equal(shown.active_in("plain", size, active.shape, whole(size)), active)


@given(GRIDS, SIZES, st.integers(2, 4))
def test_a_finer_grid_has_each_of_them_several_times(active: np.ndarray, size: tuple[int, int], times: int) -> None:
    finer = active.repeat(times, 0).repeat(times, 1)
    found = active_on(active, size, whole(size)).active_in("plain", size, finer.shape, whole(size))
    np.testing.assert_array_equal(found, finer)


def test_patches_beside_the_heatmap_are_not_active() -> None:
    """An image whose sides were cut off when it was collected, seen whole."""
    found = active_on(np.ones((2, 2), dtype=bool), SIZE, BOX).active_in("plain", SIZE, (2, 20), whole(SIZE))
    assert found.tolist() == [[False] * 2 + [True] * 16 + [False] * 2] * 2


@given(GRIDS.filter(np.any), st.integers(2, 9), st.integers(2, 9))
def test_a_patch_for_each_pixel_of_a_crop_is_active_where_a_mask_would_show_it(
    active: np.ndarray, patch_width: int, patch_height: int
) -> None:
    """The picture tells by its colours where a pixel comes from."""
    size = active.shape[1] * patch_width, active.shape[0] * patch_height
    shown = active_on(active, size, whole(size))
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    told = Image.fromarray(np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8))
    crop = np.asarray(shown.drawn("crop", told))
    mask = np.asarray(shown.drawn("mask", Image.new("RGB", size, "white"))).any(2)
    height, width = crop.shape[:2]
    found = shown.active_in("crop", size, (height, width), whole((width, height)))
    np.testing.assert_array_equal(found, mask[crop[..., 1], crop[..., 0]])
    assert found.sum() == mask.sum(), "nothing active is cut away"


def test_a_mask_is_painted_in_any_colour() -> None:
    shown = np.asarray(exemplar().drawn("mask", Image.new("RGB", SIZE, "white"), (255, 0, 255)))
    assert shown[-1, 0].tolist() == [255, 0, 255]
    assert shown[0, SIZE[0] * 3 // 4].tolist() == [255, 255, 255]
