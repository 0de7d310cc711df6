"""Where patches lie, found out by painting: what a patch's pixels change in front of the first block, and no more."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from seesay.vlm import Encoder
from seesay.vlm.geometry import Geometry, Size, by_merged_squares, cropped, padded_to_square
from tests.families import BUILDERS, EYES, N_BLOCKS, SIDE

# Sizes that the processor neither enlarges nor shrinks, so that a pixel belongs to one patch alone.
NATIVE: list[tuple[str, Size]] = [
    *(
        (name, (SIDE, SIDE))
        for name in sorted((BUILDERS | EYES).keys() - {"gemma4", "dinov2", "dinov2_with_registers"})
    ),
    ("gemma4", (56, 80)),
    ("gemma4", (72, 56)),
    ("llava", (48, 32)),
    ("llava", (32, 56)),
    ("llava_onevision", (32, 24)),
    ("llava_onevision", (24, 32)),
    ("mistral3", (48, 32)),
    ("mistral3", (32, 64)),
    ("qwen2_5_vl", (48, 40)),
    ("qwen2_5_vl", (24, 56)),
    ("qwen3_vl", (48, 40)),
    ("qwen3_vl", (24, 40)),
    ("clip_vision_model", (48, 32)),
    ("dinov2", (48, 48)),
    ("dinov2", (64, 48)),
    ("dinov2_with_registers", (48, 72)),
    ("siglip2_vision_model", (48, 24)),
    ("siglip2_vision_model", (16, 64)),
]
# Sizes that it stretches: the neighbours of a patch change a little, too.
STRETCHED: list[tuple[str, Size]] = [
    (name, (96, 64))
    for name in (
        "gemma3",
        "idefics3",
        "internvl",
        "llava_next",
        "paligemma",
        "smolvlm",
        "siglip_vision_model",
        "dinov3_vit",
        "vit",
    )
] + [("llava", (144, 96)), ("llava_onevision", (96, 64)), ("clip_vision_model", (64, 96)), ("dinov2", (96, 144))]


@cache
def encoder_of(name: str) -> Encoder:
    return BUILDERS[name]().vlm().encoder if name in BUILDERS else EYES[name]().encoder()


def embedded(encoder: Encoder, pixels: np.ndarray) -> Tensor:
    """What goes into the first block, one row a position; the two sights of LLaVA-NeXT one after the other."""
    inputs: list[Tensor] = []
    handle = encoder.blocks[0].register_forward_pre_hook(lambda _block, args: inputs.append(args[0]))
    encoder.encode_to([Image.fromarray(pixels)], 0)
    handle.remove()
    return inputs[0].flatten(0, -2)


def changes(encoder: Encoder, pixels: np.ndarray, where: Tensor) -> Tensor:
    """How much every position changes when some pixels are inverted."""
    painted = np.where(where.bool().numpy()[..., None], 255 - pixels, pixels)
    return (embedded(encoder, painted) - embedded(encoder, pixels)).abs().amax(-1)


def picture(size: Size) -> np.ndarray:
    # Nothing near the middle: every pixel changes when it is inverted.
    low = np.random.default_rng(0).integers(0, 80, (size[1], size[0], 3), dtype=np.uint8)
    return np.where(np.random.default_rng(1).integers(0, 2, low.shape, dtype=bool), low, 255 - low)


def hot(geometry: Geometry, position: int) -> Tensor:
    activations = torch.zeros(geometry.n_positions)
    activations[position] = 1
    return activations


def some_patches(geometry: Geometry) -> list[int]:
    n = len(geometry.position_of_patch)
    drawn = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:6].tolist()
    return list(range(n)) if n <= 24 else [0, n - 1, *drawn]


@pytest.mark.parametrize(("name", "size"), NATIVE)
def test_a_hot_patch_lights_the_pixels_that_it_is_made_of_and_no_other(name: str, size: Size) -> None:
    encoder, pixels = encoder_of(name), picture(size)
    geometry = encoder.geometry(size)
    two_sights = name == "llava_next"
    for patch in some_patches(geometry):
        position = int(geometry.position_of_patch[patch])
        lit = encoder.heatmap_to_image(hot(geometry, position), size)
        assert lit.shape == (size[1], size[0])
        assert set(lit.unique().tolist()) == {0, 1}
        inside = changes(encoder, pixels, lit)
        outside = changes(encoder, pixels, 1 - lit)
        assert inside.nonzero().flatten().tolist()[: 1 + two_sights] == [
            position,
            *([position + geometry.n_positions // 2] if two_sights else []),
        ], "the patch's pixels change it, and nothing else"
        assert outside[position] == 0, "no other pixel does"


@pytest.mark.parametrize(("name", "size"), STRETCHED)
def test_a_hot_patch_lights_the_pixels_that_matter_most_to_it_where_images_are_resized(name: str, size: Size) -> None:
    encoder, pixels = encoder_of(name), picture(size)
    geometry = encoder.geometry(size)
    n_first_sight = geometry.n_positions // (2 if name == "llava_next" else 1)
    for patch in some_patches(geometry):
        position = int(geometry.position_of_patch[patch])
        flat = np.full_like(pixels, 100)
        lit = encoder.heatmap_to_image(hot(geometry, position), size)
        assert changes(encoder, flat, lit)[:n_first_sight].argmax() == position


@pytest.mark.parametrize(("name", "size"), NATIVE + STRETCHED)
def test_every_pixel_that_is_seen_belongs_to_one_patch(name: str, size: Size) -> None:
    encoder = encoder_of(name)
    geometry = encoder.geometry(size)
    rows, columns = geometry.grid
    assert len(geometry.position_of_patch.unique()) == rows * columns == len(geometry.position_of_patch)
    assert geometry.is_patch[geometry.position_of_patch].all()
    numbers = torch.zeros(geometry.n_positions)
    numbers[geometry.position_of_patch] = torch.arange(1.0, rows * columns + 1)
    assert torch.equal(geometry.raster(numbers).flatten(), torch.arange(1.0, rows * columns + 1))
    lit = geometry.heatmap_to_image(numbers)
    assert set(lit.unique().tolist()) - {0.0} == set(range(1, rows * columns + 1))


@pytest.mark.parametrize("name", BUILDERS | EYES)
def test_prefix_tokens_are_no_patches(name: str) -> None:
    encoder = encoder_of(name)
    encoded = encoder.encode_to([Image.new("RGB", (SIDE, SIDE), "grey")], 1)
    n_prefix = int(encoded.is_patch[0].int().argmax())
    expected = {"internvl": 1, "llava": 1, "llava_next": 1, "clip_vision_model": 1, "dinov2": 1, "vit": 1}
    expected |= {"dinov2_with_registers": 3, "dinov3_vit": 3}
    assert n_prefix == expected.get(name, 0)
    assert encoded.residual.shape[:2] == encoded.is_patch.shape


@pytest.mark.parametrize("name", EYES)
@pytest.mark.parametrize("layer", range(N_BLOCKS))
def test_an_encoder_alone_gives_its_blocks_outputs(name: str, layer: int) -> None:
    encoder = encoder_of(name)
    pixels = [Image.fromarray(picture((SIDE, SIDE))), Image.fromarray(255 - picture((SIDE, SIDE)))]
    pictures = encoder.pictures(pixels)
    with torch.no_grad():
        hidden = encoder.tower(**pictures, output_hidden_states=True).hidden_states
    residual = encoder.encode_to(pixels, layer, batch_size=1).residual
    torch.testing.assert_close(residual, hidden[layer + 1], rtol=0, atol=1e-5)


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_square_around_an_image_holds_it(width: int, height: int) -> None:
    left, top, right, bottom = padded_to_square(None, (width, height))
    assert right - left == bottom - top == max(width, height)
    assert left <= 0
    assert top <= 0
    assert right >= width
    assert bottom >= height


class Cropping:
    do_resize = do_center_crop = True
    size = {"shortest_edge": 256}
    crop_size = {"height": 224, "width": 224}


@given(st.integers(20, 2000), st.integers(20, 2000))
def test_a_crop_lies_in_the_middle_and_keeps_its_shape(width: int, height: int) -> None:
    left, top, right, bottom = cropped(Cropping(), (width, height))
    scale = 256 / min(width, height)
    assert (right - left) * scale == pytest.approx(224, abs=1.5)
    assert (bottom - top) * scale == pytest.approx(224, abs=1.5)
    assert (left + right) / 2 == pytest.approx(width / 2, abs=1 / scale)
    assert (top + bottom) / 2 == pytest.approx(height / 2, abs=1 / scale)


def test_an_image_processor_that_does_not_crop_shows_it_all() -> None:
    whole = Cropping()
    whole.do_center_crop = False
    assert cropped(whole, (40, 30)) == (0, 0, 40, 30)
    whole.do_center_crop, whole.do_resize = True, False
    assert cropped(whole, (224, 448)) == (0, 112, 224, 336)


def test_pixels_outside_of_what_is_seen_stay_dark() -> None:
    encoder = encoder_of("llava")
    geometry = encoder.geometry((48, 32))
    lit = geometry.heatmap_to_image(torch.ones(geometry.n_positions))
    assert lit[:, :8].sum() == lit[:, 40:].sum() == 0
    assert lit[:, 8:40].all()


def test_merged_squares_stand_together() -> None:
    class Vision:
        spatial_merge_size = 2

    assert by_merged_squares((2, 4), Vision()).tolist() == [0, 1, 4, 5, 2, 3, 6, 7]


def test_a_patch_of_padding_lights_nothing() -> None:
    geometry = encoder_of("llava_onevision").geometry((16, 32))  # a quarter of the square on either side
    lit = torch.stack([geometry.heatmap_to_image(hot(geometry, position)) for position in range(16)])
    assert lit.sum(dim=(1, 2)).unflatten(0, (4, 4)).tolist() == [[0, 64, 64, 0]] * 4
