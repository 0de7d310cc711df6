import numpy as np
import pytest
from PIL import Image

from seesay.images.blank import blank_image, mean_image


@pytest.mark.parametrize(("kind", "value"), [("white", 255), ("black", 0), ("grey", 128)])
def test_flat_images_have_one_colour_in_pixels(kind: str, value: int) -> None:
    image = blank_image(kind, 16)
    assert image.size == (16, 16)
    assert image.mode == "RGB"
    assert np.unique(np.asarray(image)).tolist() == [value]


def test_noise_follows_its_seed() -> None:
    assert blank_image("noise", 16, seed=1).tobytes() == blank_image("noise", 16, seed=1).tobytes()
    assert blank_image("noise", 16, seed=1).tobytes() != blank_image("noise", 16, seed=2).tobytes()


def test_noise_is_centred_on_grey() -> None:
    assert abs(np.asarray(blank_image("noise", 64)).mean() - 128) < 2


def test_the_mean_image_is_the_mean_of_every_pixel() -> None:
    images = [blank_image("noise", 16, seed) for seed in range(4)]
    expected = np.mean([np.asarray(image) for image in images], axis=0)
    found = np.asarray(mean_image(iter(images), 16))
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.5


def test_the_mean_of_one_image_is_that_image() -> None:
    image = blank_image("noise", 16, seed=2)
    assert mean_image([image], 16).tobytes() == image.tobytes()


def test_images_of_any_shape_and_mode_are_stretched_to_a_square() -> None:
    images = [Image.new("RGB", (30, 10), "red"), Image.new("L", (8, 64), 255), Image.new("RGBA", (16, 16), "blue")]
    mean = mean_image(images, 16)
    assert (mean.size, mean.mode) == ((16, 16), "RGB")
    assert np.unique(np.asarray(mean).reshape(-1, 3), axis=0).tolist() == [[170, 85, 170]]
