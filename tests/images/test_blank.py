import numpy as np
import pytest

from seesay.images.blank import blank_image


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
