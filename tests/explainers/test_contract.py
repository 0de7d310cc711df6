"""The contract of explaining, over families and methods: its words are those of the plain model under a plain hook.

What is shown, where it is steered and how hard is worked out here once more, pixel by pixel and patch by patch; the
whole model then generates greedily while a hook changes the block's output. The words must be the same token for
token, and as probable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import seesay
from seesay.exemplars.exemplar import Exemplar
from seesay.explainers.config import Setting
from seesay.explainers.explainer import Explainer
from seesay.images.blank import blank_image
from seesay.images.options import Overlay
from seesay.records import Decoding, Explanation, Mode, Strength
from seesay.sae import SAE, load_sae
from seesay.vlm import VLM
from seesay.world.pictures import Pictures
from tests.explainers.galleries import PROMPTS, Shelf, active_on, kept, noise, shelf, vlm_of
from tests.families import BUILDERS
from tests.tiny import tiny_sae

FAMILIES = sorted(BUILDERS)
ANY_SHAPE = ["mistral3", "qwen2_5_vl", "qwen3_vl"]
LAYER, ALPHA, SHORT = 1, 30.0, Decoding(max_new_tokens=5)
N_IMAGES = {3: 2, 40: 3, 17: 2}
FEATURES = list(N_IMAGES)


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture in a turn, and what is pushed where in its sequence."""

    picture: Image.Image
    at: Tensor
    feature_id: int


def plainly(
    vlm: VLM, prompt: str, rows: Sequence[Sequence[Shown]], sae: SAE, layer: int, alpha: float, mode: Mode = "add"
) -> list[tuple[str, float]]:
    """What the whole model says while a plain hook steers it, and the mean log-probability of each token."""
    flat = [shown for row in rows for shown in row]
    at_p = torch.cat([shown.at for shown in flat])[:, None]
    direction_pd = torch.cat([sae.W_dec[[shown.feature_id] * len(shown.at)] for shown in flat])
    of_position = torch.cat([torch.full((len(shown.at), 1), shown.feature_id) for shown in flat])

    def push(_block: object, _inputs: object, output: Tensor) -> Tensor:
        residual_pd = output.reshape(direction_pd.shape)
        active_p = sae.encode(residual_pd).dense(sae.n_features).gather(-1, of_position)
        steered_pd = {
            "add": residual_pd + alpha * direction_pd,
            "replace": alpha * direction_pd,
            "clamp": residual_pd + (alpha - active_p) * direction_pd,
        }[mode]
        return steered_pd.where(at_p, residual_pd).reshape(output.shape)

    inputs = vlm.plain_inputs(prompt, [[shown.picture for shown in row] for row in rows])
    # Before all other hooks: transformers' own, with which some families read a block, must see what was pushed.
    handle = vlm.encoder.blocks[layer].register_forward_hook(push, prepend=True)
    try:
        found = vlm.model.generate(
            **inputs,
            max_new_tokens=SHORT.max_new_tokens,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    finally:
        handle.remove()
    token_ids = found.sequences[:, inputs["input_ids"].shape[1] :]
    each = torch.stack(found.logits, 1).float().log_softmax(-1).gather(-1, token_ids[..., None])[..., 0]
    ends = vlm.model.generation_config.eos_token_id
    means: list[float] = []
    for ids, log_probabilities in zip(token_ids.tolist(), each.tolist(), strict=True):
        n = next((n + 1 for n, token in enumerate(ids) if token in np.atleast_1d(ends)), len(ids))
        means.append(sum(log_probabilities[:n]) / n)
    return list(zip(vlm.decode(token_ids), means, strict=True))


def is_active(exemplar: Exemplar, picture: Image.Image, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points of a picture, an image or its thumbnail, lie on patches where the feature is active."""
    image, active = exemplar.image, exemplar.dense() > 0
    left, top, right, bottom = image.box
    rows = np.floor((y * image.size[1] / picture.height - top) / (bottom - top) * image.grid[0]).astype(int)
    columns = np.floor((x * image.size[0] / picture.width - left) / (right - left) * image.grid[1]).astype(int)
    inside = (rows >= 0) & (rows < image.grid[0]) & (columns >= 0) & (columns < image.grid[1])
    return inside & active[rows % image.grid[0], columns % image.grid[1]]


def masked(exemplar: Exemplar, picture: Image.Image, fill: tuple[int, int, int]) -> Image.Image:
    """The picture with all pixels painted over but those of active patches."""
    x, y = np.meshgrid(np.arange(picture.width) + 0.5, np.arange(picture.height) + 0.5)
    pixels = np.array(picture)
    pixels[~is_active(exemplar, picture, x, y)] = fill
    return Image.fromarray(pixels)


def corner(exemplar: Exemplar, overlay: Overlay, picture: Image.Image) -> tuple[int, int]:
    """Which pixel of the picture comes to stand in the upper left: a picture whose colours are x and y tells."""
    x, y = np.meshgrid(np.arange(picture.width), np.arange(picture.height))
    told = np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)
    left, top, _ = np.asarray(exemplar.drawn(overlay, Image.fromarray(told)))[0, 0].tolist()
    return (left, top) if overlay == "crop" else (0, 0)


def shown_of(vlm: VLM, exemplar: Exemplar, picture: Image.Image, overlay: Overlay = "mask") -> Shown:
    """An exemplar as it is shown, steered at the patches whose centres lie on active ones."""
    fill = vlm.prompts.mask_fill
    drawn = masked(exemplar, picture, fill) if overlay == "mask" else exemplar.drawn(overlay, picture, fill)
    geometry, (from_x, from_y) = vlm.encoder.geometry(drawn.size), corner(exemplar, overlay, picture)
    (left, top, right, bottom), (rows, columns) = geometry.box, geometry.grid
    at = torch.zeros(geometry.n_positions, dtype=torch.bool)
    for patch, position in enumerate(geometry.position_of_patch.tolist()):
        x = from_x + left + (patch % columns + 0.5) * (right - left) / columns
        y = from_y + top + (patch // columns + 0.5) * (bottom - top) / rows
        at[position] = bool(is_active(exemplar, picture, np.array(x), np.array(y)))
    return Shown(drawn, at, exemplar.feature_id)


def blank_of(vlm: VLM, feature_id: int, *, patches_alone: bool = False) -> Shown:
    """The empty image, steered everywhere or at its patches."""
    picture = blank_image("white", vlm.encoder.image_size)
    geometry = vlm.encoder.geometry(picture.size)
    return Shown(picture, geometry.is_patch if patches_alone else torch.ones_like(geometry.is_patch), feature_id)


def explained(vlm: VLM, sae: SAE, setting: Setting, gallery: Shelf, features: Sequence[int]) -> list[Explanation]:
    steers = setting.way.steers
    explainer = Explainer(vlm, setting, gallery, sae=sae if steers else None, layer=LAYER if steers else None)
    return [explanation for batch in explainer.explain(features) for explanation in batch]


def assert_same(found: Sequence[Explanation], expected: Sequence[tuple[str, float]], atol: float = 2e-5) -> None:
    assert [explanation.raw_text for explanation in found] == [text for text, _ in expected]
    assert [each.mean_log_probability for each in found] == pytest.approx([mean for _, mean in expected], abs=atol)


def setting_of(method: str, **more: object) -> Setting:
    strength = Strength(ALPHA) if method != "topk" else None
    return Setting(method=method, strength=strength, decoding=SHORT, **more)


@cache
def gallery_of(family: str, sizes: tuple[tuple[int, int], ...] = ((32, 32),)) -> Shelf:
    return shelf(vlm_of(family).encoder, N_IMAGES, sizes)


def rows_of(
    vlm: VLM,
    gallery: Shelf,
    overlay: Overlay = "mask",
    change: Callable[[Exemplar, Image.Image], Image.Image] | None = None,
) -> list[list[Shown]]:
    """The exemplars of all features, as they are shown."""

    def picture(exemplar: Exemplar) -> Image.Image:
        found = gallery.picture(exemplar.image)
        return found if change is None else change(exemplar, found)

    return [[shown_of(vlm, each, picture(each), overlay) for each in gallery.exemplars_of[row]] for row in FEATURES]


@pytest.mark.parametrize("family", FAMILIES)
def test_steering_says_what_the_plain_model_says_under_a_hook(family: str) -> None:
    vlm, sae = vlm_of(family), tiny_sae()
    rows = [[blank_of(vlm, feature_id)] for feature_id in FEATURES]
    expected = plainly(vlm, PROMPTS["steering"], rows, sae, LAYER, ALPHA)
    assert_same(explained(vlm, sae, setting_of("steering"), Shelf({}, {}), FEATURES), expected)
    assert len({mean for _, mean in expected}) == len(FEATURES), "each feature must make a difference"


@pytest.mark.parametrize("family", ["gemma3", "internvl", "llava", "llava_next", "qwen2_5_vl"])
def test_steering_at_patches_says_what_the_plain_model_says_under_a_hook_there(family: str) -> None:
    vlm, sae = vlm_of(family), tiny_sae()
    rows = [[blank_of(vlm, feature_id, patches_alone=True)] for feature_id in FEATURES]
    expected = plainly(vlm, PROMPTS["steering"], rows, sae, LAYER, ALPHA)
    assert_same(explained(vlm, sae, setting_of("steering", positions="patches"), Shelf({}, {}), FEATURES), expected)


@pytest.mark.parametrize("mode", ["replace", "clamp"])
@pytest.mark.parametrize("family", ["internvl", "qwen2_5_vl"])
def test_every_way_to_push_is_that_of_a_plain_hook(family: str, mode: Mode) -> None:
    vlm, sae, gallery = vlm_of(family), tiny_sae(), gallery_of(family)
    empty = [[blank_of(vlm, feature_id)] for feature_id in FEATURES]
    for method, rows in (("steering", empty), ("hybrid", rows_of(vlm, gallery))):
        expected = plainly(vlm, PROMPTS["steering" if method == "steering" else "topk"], rows, sae, LAYER, ALPHA, mode)
        assert_same(explained(vlm, sae, setting_of(method, mode=mode), gallery, FEATURES), expected)


@pytest.mark.parametrize("family", ["gemma3", "gemma4", "internvl", "llava", *ANY_SHAPE])
def test_topk_says_what_the_plain_model_says_of_the_masked_images(family: str) -> None:
    vlm, sae, gallery = vlm_of(family), tiny_sae(), gallery_of(family)
    found = explained(vlm, sae, setting_of("topk"), gallery, FEATURES)
    assert_same(found, plainly(vlm, PROMPTS["topk"], rows_of(vlm, gallery), sae, LAYER, 0.0))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_hybrid_says_what_the_plain_model_says_under_a_hook_at_active_patches(family: str) -> None:
    vlm, sae, gallery = vlm_of(family), tiny_sae(), gallery_of(family)
    rows = rows_of(vlm, gallery)
    expected = plainly(vlm, PROMPTS["topk"], rows, sae, LAYER, ALPHA)
    assert_same(explained(vlm, sae, setting_of("hybrid"), gallery, FEATURES), expected)
    # The test itself can tell: one position further, and it is something else.
    beside = [[replace(shown, at=shown.at.roll(1)) for shown in row] for row in rows]
    elsewhere = plainly(vlm, PROMPTS["topk"], beside, sae, LAYER, ALPHA)
    assert all(abs(mean - other) > 2e-4 for (_, mean), (_, other) in zip(expected, elsewhere, strict=True))


@pytest.mark.parametrize("family", ["internvl", "llava"])
def test_a_class_token_comes_before_the_patches_and_is_not_steered(family: str) -> None:
    vlm, gallery = vlm_of(family), gallery_of(family)
    for feature_id in FEATURES:
        for exemplar in gallery.exemplars_of[feature_id]:
            at = shown_of(vlm, exemplar, gallery.picture(exemplar.image)).at
            assert (at.nonzero().flatten() - 1).tolist() == exemplar.heatmap.patches.tolist()


@pytest.mark.parametrize("family", ["gemma4", "internvl", "llava", "llava_onevision", *ANY_SHAPE])
def test_the_hybrid_finds_active_patches_on_images_of_any_shape(family: str) -> None:
    vlm, sae = vlm_of(family), tiny_sae()
    gallery = gallery_of(family, ((48, 32), (32, 48), (64, 64)))
    expected = plainly(vlm, PROMPTS["topk"], rows_of(vlm, gallery), sae, LAYER, ALPHA)
    assert_same(explained(vlm, sae, setting_of("hybrid"), gallery, FEATURES), expected)


@pytest.mark.parametrize("family", ["gemma3", "internvl", "llava", "llava_onevision", "qwen2_5_vl", "mistral3"])
def test_the_hybrid_finds_active_patches_on_what_is_cut_out(family: str) -> None:
    vlm, sae = vlm_of(family), tiny_sae()
    gallery = Shelf({}, {})
    for feature_id, n in N_IMAGES.items():
        images = [kept(10 * feature_id + rank, (64, 64), vlm.encoder) for rank in range(n)]
        gallery.exemplars_of[feature_id] = []
        for rank, image in enumerate(images):
            active = np.zeros(image.grid, dtype=bool)  # an L in a corner, so that there is something to cut away
            active[: 1 + rank, : image.grid[1] // 2] = active[: image.grid[0] // 2, 0] = True
            active = active[::-1, ::-1] if rank % 2 else active
            gallery.pictures[image.image_id] = noise(image.size, image.image_id)
            gallery.exemplars_of[feature_id].append(active_on(feature_id, image, active, rank))
    rows = rows_of(vlm, gallery, "crop")
    assert all(shown.picture.size < (64, 64) and shown.at.any() for row in rows for shown in row)
    expected = plainly(vlm, PROMPTS["topk"], rows, sae, LAYER, ALPHA)
    assert_same(explained(vlm, sae, setting_of("hybrid", overlay="crop"), gallery, FEATURES), expected)


@pytest.mark.parametrize("overlay", ["mask", "crop", "heatmap"])
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "mistral3"])
def test_the_hybrid_finds_active_patches_on_thumbnails(family: str, overlay: Overlay) -> None:
    """They are brought back to the image's size where that decides how many patches there are."""
    vlm, sae = vlm_of(family), tiny_sae()
    whole = gallery_of(family, ((64, 64), (64, 32)))
    thumbnails = replace(
        whole,
        pictures={name: each.resize((each.width // 2, each.height // 2)) for name, each in whole.pictures.items()},
    )

    def enlarged(exemplar: Exemplar, picture: Image.Image) -> Image.Image:
        return picture.resize(exemplar.image.size, Image.Resampling.BICUBIC) if family in ANY_SHAPE else picture

    expected = plainly(vlm, PROMPTS["topk"], rows_of(vlm, thumbnails, overlay, enlarged), sae, LAYER, ALPHA)
    assert_same(explained(vlm, sae, setting_of("hybrid", overlay=overlay), thumbnails, FEATURES), expected)


@pytest.mark.parametrize("family", ["gemma3", "internvl", "qwen2_5_vl", "qwen3_vl", "gemma4"])
def test_no_image_at_all_is_zeros_that_enter_the_first_block(family: str) -> None:
    vlm, sae = vlm_of(family), tiny_sae()

    def zeros(_block: object, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> tuple[object, object]:
        return tuple(map(torch.zeros_like, inputs[:1])) + inputs[1:], {
            name: torch.zeros_like(value) if name == "hidden_states" else value for name, value in named.items()
        }

    rows = [[blank_of(vlm, feature_id)] for feature_id in FEATURES]
    handle = vlm.encoder.blocks[0].register_forward_pre_hook(zeros, with_kwargs=True)
    try:
        expected = plainly(vlm, PROMPTS["steering"], rows, sae, LAYER, ALPHA)
    finally:
        handle.remove()
    assert_same(explained(vlm, sae, setting_of("steering", empty="zeros"), Shelf({}, {}), FEATURES), expected)


# The world's models with the SAEs that were trained on them, and a strength that makes them speak of what is pushed.

PICTURES = [entry.read() for entry in Pictures(16).entries()]


@cache
def world_sae(block: str) -> SAE:
    return load_sae(seesay.world.sae(f"world:{block}"))


@cache
def world_vlm(size: str) -> VLM:
    return seesay.world.load_vlm(f"world:{size}", device="cpu")


@cache
def world_gallery(block: str) -> Shelf:
    """A few features that are active on two or three of the pictures, with the heatmaps that the SAE gives them."""
    encoder, sae = world_vlm("M").encoder, world_sae(block)
    encoded = encoder.encode_to(PICTURES, sae.provenance.layer)
    dense = sae.encode(encoded.residual).dense(sae.n_features)  # this encoder has nothing but patches, row by row
    filled = Shelf({}, dict(enumerate(PICTURES)))
    n_active = (dense > 0).any(1).sum(0)
    for feature_id in ((n_active == 2) | (n_active == 3)).nonzero().flatten().tolist()[::40][:6]:
        images = (dense[:, :, feature_id] > 0).any(1).nonzero().flatten().tolist()
        filled.exemplars_of[feature_id] = [
            active_on(feature_id, kept(image, PICTURES[image].size, encoder), (dense[image, :, feature_id] > 0).numpy())
            for image in images
        ]
    return filled


@pytest.mark.parametrize("block", ["early", "late"])
@pytest.mark.parametrize("size", ["M", "L"])
@pytest.mark.parametrize("method", ["steering", "topk", "hybrid"])
def test_the_worlds_models_say_what_they_say_under_a_plain_hook(method: str, size: str, block: str) -> None:
    vlm, sae, gallery = world_vlm(size), world_sae(block), world_gallery(block)
    layer, features = sae.provenance.layer, list(gallery.exemplars_of)
    assert len(features) == 6
    n_norms = 4.0 if method == "steering" else 1.0
    setting = Setting(
        method=method, strength=None if method == "topk" else Strength(n_norms, "residual_norm"), decoding=SHORT
    )
    explainer = Explainer(vlm, setting, gallery, sae=sae, layer=layer)
    found = [explanation for batch in explainer.explain(features, 4) for explanation in batch]
    blank = blank_of(vlm, 0).picture
    alpha = n_norms * vlm.encode_to([blank], layer).residual[0].norm(dim=-1).mean().item()
    rows = (
        [[blank_of(vlm, feature_id)] for feature_id in features]
        if method == "steering"
        else [
            [shown_of(vlm, each, gallery.picture(each.image)) for each in gallery.exemplars_of[feature_id]]
            for feature_id in features
        ]
    )
    expected = plainly(
        vlm,
        vlm.prompts["steering" if method == "steering" else "topk"],
        rows,
        sae,
        layer,
        0.0 if method == "topk" else alpha,
    )
    assert_same(found, expected, atol=1e-3)
    assert len({explanation.raw_text for explanation in found}) > 2
    assert {explanation.status for explanation in found} == {"ok"}
