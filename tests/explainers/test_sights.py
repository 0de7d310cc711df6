"""What is computed once for several features, and on a coarser grid; the contract of explaining stands elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from seesay.errors import InvalidSetting
from seesay.explainers.cases import Case
from seesay.explainers.config import SEVERAL, SWEPT, Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import NoImages
from seesay.explainers.sharing import Shared
from seesay.explainers.sights import ExemplarSight, _chosen
from seesay.explainers.steering import steer
from seesay.images.blank import blank_image
from seesay.records import Decoding, Method, Strength
from seesay.vlm import ImageTokens
from seesay.vlm.contrast import say_unlike
from seesay.vlm.likelihood import phrase_likelihoods
from tests.explainers.galleries import PROMPTS, Shelf, active_on, asked, shelf, vlm_of
from tests.families import BUILDERS, D_MODEL, N_BLOCKS, SIDE
from tests.tiny import tiny_sae

LAYER, ALPHA, SHORT = 1, 30.0, Decoding(max_new_tokens=5)
COARSENING = ("gemma3", "llava_onevision", "paligemma")


def same_pictures() -> Shelf:
    """Four features, of which each is active on the same three pictures, and elsewhere than the others."""
    filled = shelf(vlm_of().encoder, {3: 3})
    images = [exemplar.image for exemplar in filled.exemplars_of[3]]
    for feature_id in (4, 5, 6):
        patches = torch.rand(3, *images[0].grid, generator=torch.Generator().manual_seed(feature_id)) < 0.5
        patches[:, 0, 0] = True
        filled.exemplars_of[feature_id] = [
            active_on(feature_id, image, active.numpy(), rank)
            for rank, (image, active) in enumerate(zip(images, patches, strict=True))
        ]
    return filled


def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures went into the encoder, pass by pass."""
    vlm, counted = vlm_of(), []
    prepare = vlm.encoder.prepare

    def count(images: Sequence[Image.Image]) -> Any:
        counted.append(len(images))
        return prepare(images)

    monkeypatch.setattr(vlm.encoder, "prepare", count)
    return counted


def words(method: Method, overlay: str, **more: int) -> list[str]:
    setting = Setting(
        method, Strength(ALPHA) if method == "hybrid" else None, overlay=overlay, n_images=3, decoding=SHORT
    )
    explainer = Explainer(vlm_of(), setting, same_pictures(), sae=tiny_sae(), layer=LAYER, **more)
    return [said.raw_text for batch in explainer.explain([3, 4, 5, 6], 2) for said in batch]


@pytest.mark.parametrize("method", ["topk", "hybrid"])
def test_a_plain_picture_is_encoded_once_for_all_features(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = []
    for feature_id in (3, 4, 5, 6):
        setting = Setting(method, Strength(ALPHA) if method == "hybrid" else None, overlay="plain", n_images=3)
        setting = replace(setting, decoding=SHORT)
        fresh = Explainer(vlm_of(), setting, same_pictures(), sae=tiny_sae(), layer=LAYER)
        alone += [said.raw_text for batch in fresh.explain([feature_id]) for said in batch]
    counted = seen(monkeypatch)
    assert words(method, "plain") == alone
    assert sum(counted) == 3
    counted.clear()
    assert words(method, "plain", images_at_once=2) == alone
    assert sum(counted) == 3
    counted.clear()
    words(method, "mask")
    assert sum(counted) == 12, "what is painted over looks different to each feature"


@pytest.mark.parametrize("method", ["steering", "topk", "hybrid"])
def test_words_do_not_depend_on_how_much_is_done_at_a_time(method: Method) -> None:
    setting = Setting(method, None if method == "topk" else Strength(ALPHA), n_images=3, decoding=SHORT)
    expected: list[str] = []
    for images_at_once, questions_at_once in ((32, None), (1, 1), (3, 2), (2, 3)):
        explainer = Explainer(
            vlm_of(),
            setting,
            same_pictures(),
            sae=tiny_sae(),
            layer=LAYER,
            images_at_once=images_at_once,
            questions_at_once=questions_at_once,
        )
        found = [said.raw_text for batch in explainer.explain([3, 4, 5, 6], 3) for said in batch]
        expected = expected or found
        assert found == expected


def tokens(n: int) -> ImageTokens:
    return ImageTokens(torch.zeros(n, 1), (1, n))


def test_what_was_not_asked_for_longest_makes_room() -> None:
    made: list[str] = []
    shared = Shared[ImageTokens](3 * 4)

    def ask(*keys: str) -> None:
        def make(places: Sequence[int]) -> list[ImageTokens]:
            made.extend(keys[place] for place in places)
            return [tokens(1) for _ in places]

        assert len(shared.of(keys, make)) == len(keys)

    ask("a", "b", "a")
    ask("c", "a")
    ask("d")  # b goes
    ask("a", "c", "d")
    assert made == ["a", "b", "c", "d"]
    ask("b")
    assert made[4:] == ["b"]
    ask("e", "f", "g", "h", "i")  # more than there is room for
    assert made[5:] == ["e", "f", "g", "h", "i"]


def test_what_is_kept_of_a_picture_holds_nothing_of_its_batch() -> None:
    vlm = vlm_of()
    encoded = vlm.encode_to([blank_image("noise", SIDE, seed) for seed in range(4)], LAYER)
    for each in (*encoded.apart(), *(seen.apart() for seen in vlm.encode_from(encoded))):
        tensors = (each.tokens, *each.deeper) if isinstance(each, ImageTokens) else (each.residual,)
        assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in tensors)


def test_memory_that_runs_out_takes_what_is_kept_and_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = asked(PROMPTS)
    sizes: list[int] = []
    encode = vlm.encode

    def short(pictures: Sequence[Image.Image], **more: Any) -> list[ImageTokens]:
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encode(pictures, **more)

    monkeypatch.setattr(vlm, "encode", short)
    sight = ExemplarSight(vlm, None, None, Setting("topk", overlay="mask", n_images=3), same_pictures(), 8)
    cases = [Case(each, each, each, exemplars=tuple(same_pictures().exemplars_of[each])) for each in (3, 4, 5, 6)]
    sight.see(cases[:2])
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1]
    sizes.clear()
    sight.see(cases[2:])
    assert sizes == [1] * 6, "it does not begin anew"


@pytest.mark.parametrize("family", COARSENING)
def test_equal_patches_can_go_through_the_encoder_as_one(family: str) -> None:
    vlm = vlm_of(family)
    encoded = vlm.encode_to([Image.new("RGB", (vlm.encoder.image_size,) * 2, "white")], LAYER)
    rows, columns = encoded.geometries[0].grid
    assert rows % 2 == columns % 2 == 0
    by_square = torch.randn(3, rows // 2, columns // 2, D_MODEL, generator=torch.Generator().manual_seed(0))
    residual = by_square.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1, 2)
    exact = vlm.encode_from(encoded.with_residual(residual))
    coarse = vlm.encode_from(encoded.with_residual(residual), coarse=2)
    for one, other in zip(exact, coarse, strict=True):
        torch.testing.assert_close(other.tokens, one.tokens, rtol=1e-4, atol=1e-4)
    rough = residual + torch.randn(residual.shape, generator=torch.Generator().manual_seed(1))
    changed = vlm.encode_from(encoded.with_residual(rough), coarse=2)
    plainly = vlm.encode_from(encoded.with_residual(rough))
    assert (changed[0].tokens - plainly[0].tokens).abs().max() > 1e-2, "an approximation where patches differ"


def test_what_is_said_on_a_coarser_grid_says_so() -> None:
    found = steer(vlm_of(), tiny_sae(), [3, 4], ALPHA, layer=LAYER, coarse=2, decoding=SHORT)
    assert [each.coarse for each in found] == [2, 2]
    assert Setting("steering", Strength(1.0), coarse=2).facts["coarse"] == 2
    assert "coarse" not in Setting("steering", Strength(1.0)).facts, "runs of before stay as they are"


@pytest.mark.parametrize("family", sorted(set(BUILDERS) - set(COARSENING)))
def test_encoders_that_cannot_be_coarsened_are_refused_before_anything_is_said(family: str) -> None:
    with pytest.raises(InvalidSetting, match="coarse 2 for a vision encoder"):
        steer(asked(PROMPTS, family), tiny_sae(), [3], ALPHA, layer=LAYER, coarse=2)


def test_grids_and_blocks_that_cannot_be_coarsened_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="coarse 3, and 4 x 4 patches; expected one of 1, 2, 4"):
        steer(vlm_of(), tiny_sae(), [3], ALPHA, layer=LAYER, coarse=3)
    with pytest.raises(InvalidSetting, match="nothing is left to be faster"):
        steer(vlm_of(), tiny_sae(), [3], ALPHA, layer=N_BLOCKS - 1, coarse=2)
    with pytest.raises(InvalidSetting, match="coarse 2 for topk; expected 1"):
        Setting("topk", coarse=2)
    with pytest.raises(InvalidSetting, match="coarse 0"):
        Setting("steering", Strength(1.0), coarse=0)


@pytest.mark.parametrize("family", ["gemma3", "internvl", "qwen2_5_vl"])
@pytest.mark.parametrize("positions", ["disc", "half"])
def test_a_part_of_the_patches_is_steered(family: str, positions: Any) -> None:
    vlm = asked(PROMPTS, family)
    setting = Setting("steering", Strength(ALPHA), positions=positions, decoding=SHORT, seed=3)
    blank = vlm.encode_to([blank_image("white", vlm.encoder.image_size)], LAYER)
    (geometry,) = blank.geometries
    rows, columns = geometry.grid
    chosen = _chosen(blank, setting)
    assert chosen is not None
    by_patch = chosen[0][torch.as_tensor(geometry.position_of_patch)].reshape(rows, columns)
    assert int(chosen.sum()) == int(by_patch.sum()), "nothing but patches"
    if positions == "half":
        assert int(by_patch.sum()) == (rows * columns + 1) // 2
        assert not torch.equal(chosen, _chosen(blank, replace(setting, seed=4)))
    else:
        for row in range(rows):
            for column in range(columns):
                y, x = (row + 0.5) / rows - 0.5, (column + 0.5) / columns - 0.5
                assert bool(by_patch[row, column]) == (y * y + x * x <= 0.25**2)
    sae = tiny_sae()
    residual = blank.residual + ALPHA * chosen[..., None] * sae.direction(3)
    expected = vlm.say(PROMPTS["steering"], [[each] for each in vlm.encode_from(blank.with_residual(residual))], SHORT)
    (said,) = steer(vlm, sae, 3, ALPHA, layer=LAYER, positions=positions, decoding=SHORT, seed=3)
    assert said.raw_text == expected[0].text
    assert said.mean_log_probability == pytest.approx(expected[0].mean_log_probability, abs=1e-5)


def test_words_are_unlike_those_of_the_white_image_where_that_is_asked_for() -> None:
    vlm, sae = vlm_of(), tiny_sae()
    setting = Setting("steering", Strength(ALPHA), decoding=SHORT, contrast=1.0)
    explainer = Explainer(vlm, setting, same_pictures(), sae=sae, layer=LAYER)
    said = [each.raw_text for batch in explainer.explain(range(8)) for each in batch]
    rows = explainer.see(range(8))
    white = vlm.encode([blank_image("white", SIDE)])
    expected = say_unlike(vlm, PROMPTS["steering"], rows, white, 1.0, max_new_tokens=5)
    assert said == [each.text for each in expected]
    assert said != [each.text for each in vlm.say(PROMPTS["steering"], rows, SHORT)]


def test_several_empty_images_are_steered_in_one_turn() -> None:
    vlm, sae = vlm_of(), tiny_sae()
    setting = Setting("steering", Strength(ALPHA), empty="several", decoding=SHORT)
    explainer = Explainer(vlm, setting, NoImages([3, 5]), sae=sae, layer=LAYER)
    for feature_id, row in zip((3, 5), explainer.see([3, 5]), strict=True):
        assert len(row) == len(SEVERAL) == 3
        for empty, image in zip(SEVERAL, row, strict=True):
            alone = Explainer(vlm, replace(setting, empty=empty), NoImages([3, 5]), sae=sae, layer=LAYER)
            ((expected,),) = alone.see([feature_id])
            assert torch.allclose(image.tokens, expected.tokens, atol=1e-5)
    expected = vlm.say(PROMPTS["steering"], explainer.see([3]), SHORT)
    (said,) = steer(vlm, sae, 3, ALPHA, layer=LAYER, empty="several", decoding=SHORT)
    assert said.raw_text == expected[0].text


@pytest.mark.parametrize("method", ["steering", "hybrid"])
def test_one_answer_of_several_strengths_is_the_one_that_gains_most_by_all_of_them(method: Method) -> None:
    vlm, sae = vlm_of(), tiny_sae()
    gallery = same_pictures()
    setting = Setting(method, Strength(ALPHA), n_images=2, decoding=SHORT)

    def at(strength: float, **more: Any) -> Explainer:
        changed = replace(setting, strength=Strength(strength), **more)
        return Explainer(vlm, changed, gallery, sae=sae, layer=LAYER)

    name = setting.way.prompt
    assert name is not None
    ids = [3, 4, 5, 6]
    said = [[each.raw_text for batch in at(ALPHA * times).explain(ids) for each in batch] for times in SWEPT]
    found = [each.raw_text for batch in at(ALPHA, swept=True).explain(ids, 3) for each in batch]
    unpushed = Explainer(vlm, replace(setting, strength=None, control="none"), gallery, sae=sae, layer=LAYER)
    for place, feature_id in enumerate(ids):
        candidates = list(dict.fromkeys(each[place] for each in said))
        gained: list[float] = []
        seen = [*(at(ALPHA * times).see([feature_id]) for times in SWEPT), unpushed.see([feature_id])]
        for candidate in candidates:
            *own, without = (phrase_likelihoods(vlm, PROMPTS[name], rows, [[candidate]])[0, 0].item() for rows in seen)
            gained.append(sum(own) / len(own) - without)
        assert found[place] == candidates[gained.index(max(gained))]


@pytest.mark.parametrize(
    "setting",
    [
        {"method": "topk"},
        {"method": "vocabulary"},
        {"control": "none"},
        {"contrast": 0.5},
        {"decoding": Decoding(temperature=1.0)},
    ],
)
def test_several_strengths_are_for_what_is_pushed_and_said_greedily(setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="several strengths for"):
        Setting(**{"method": "steering", **setting}, swept=True)
