"""Edges, boundaries, brightness and positions, on pictures whose answer is plain to see."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from seesay.world.concepts import BRIGHTNESSES, EDGES, POSITIONS
from seesay.world.lowlevel import boundary_mask, brightness_ids, edge_ids, position_ids
from seesay.world.rendering import render
from seesay.world.scenes import IMAGE_SIZE, Scene

DOWN, ACROSS = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
HALVES = {
    "horizontal": DOWN < IMAGE_SIZE / 2,
    "vertical": ACROSS < IMAGE_SIZE / 2,
    "rising": DOWN + ACROSS < IMAGE_SIZE,
    "falling": DOWN < ACROSS,
}


def two_colours(half: np.ndarray, one: tuple[int, int, int], other: tuple[int, int, int]) -> np.ndarray:
    return np.where(half[..., None], np.array(one), np.array(other)).astype(np.uint8)


@pytest.mark.parametrize("orientation", EDGES)
@pytest.mark.parametrize(
    "colours", [((250, 250, 250), (20, 20, 20)), ((20, 20, 20), (250, 250, 250)), ((200, 60, 60), (60, 130, 60))]
)
def test_an_edge_has_the_orientation_it_was_drawn_in_whichever_side_is_brighter(
    orientation: str, colours: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    half = HALVES[orientation]
    ids = edge_ids(two_colours(half, *colours))
    inside = ids[4:-4, 4:-4]
    assert set(np.unique(inside).tolist()) == {0, 1 + EDGES.index(orientation)}
    found = inside > 0
    assert found.sum() >= 2 * len(inside)
    near = binary_dilation(boundary_mask(half.astype(np.uint8)))[4:-4, 4:-4]
    assert not (found & ~near).any()


@pytest.mark.parametrize("background", ["red", "grey", "white"])
def test_a_plain_picture_has_no_edge(background: str) -> None:
    pictures = [render(Scene(seed, "empty", background, ())).pixels for seed in range(40)]
    assert np.mean([(edge_ids(pixels) > 0).mean() for pixels in pictures]) < 0.005


def test_a_boundary_is_where_the_owner_changes() -> None:
    owner = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    owner[:, 32:] = 1
    assert np.array_equal(np.flatnonzero(boundary_mask(owner)[10]), [30, 31, 32, 33])
    assert not boundary_mask(np.ones_like(owner)).any()


def test_black_is_dark_white_is_bright_and_grey_is_neither() -> None:
    greys = np.array([[[0] * 3, [130] * 3, [255] * 3]], dtype=np.uint8)
    dark, bright = (1 + BRIGHTNESSES.index(name) for name in ("dark", "bright"))
    assert brightness_ids(greys).tolist() == [[dark, 0, bright]]


def test_positions_are_read_like_a_page() -> None:
    ids = position_ids()
    corners = [ids[0, 0], ids[0, -1], ids[32, 32], ids[-1, 0], ids[-1, -1]]
    assert [POSITIONS[i] for i in corners] == ["top left", "top right", "centre", "bottom left", "bottom right"]
