"""Exemplars as they are shown."""

import numpy as np
import pytest
from PIL import Image

from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.exemplars.heatmap import Heatmap

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
