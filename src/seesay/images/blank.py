"""Empty images: something for the vision encoder to look at that shows nothing."""

from collections.abc import Iterable
from typing import assert_never, get_args

import numpy as np
from PIL import Image

from seesay.errors import check_choice
from seesay.images.options import EmptyImage

MID_GREY = 128
NOISE_DEVIATION = 64


def blank_image(kind: EmptyImage, size: int, seed: int = 0) -> Image.Image:
    """Make a square image that shows nothing.

    The colour is set in pixels, before any normalisation, so that black is black.

    Args:
        kind: a flat colour, or Gaussian noise around mid-grey (deviation 64 of 255, clipped).
        size: side in pixels.
        seed: of the noise; flat colours ignore it.

    Raises:
        UnknownChoice: another kind.

    Source: "Language Models Can Explain Visual Features via Steering", arXiv 2603.22593, set-up.
    """
    check_choice(kind, get_args(EmptyImage), "empty image")
    match kind:
        case "white" | "black":
            return Image.new("RGB", (size, size), kind)
        case "grey":
            return Image.new("RGB", (size, size), (MID_GREY, MID_GREY, MID_GREY))
        case "noise":
            pixels = np.random.default_rng(seed).normal(MID_GREY, NOISE_DEVIATION, (size, size, 3))
            return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        case _:
            assert_never(kind)


def mean_image(images: Iterable[Image.Image], size: int) -> Image.Image:
    """The mean of images, pixel by pixel, each stretched to a square.

    Args:
        images: at least one.
        size: of a side, in pixels.
    """
    total, count = np.zeros((size, size, 3)), 0
    for image in images:
        total += np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
        count += 1
    return Image.fromarray((total / count).round().astype(np.uint8))
