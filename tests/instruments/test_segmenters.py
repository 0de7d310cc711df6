"""Segmenters of the real classes, small and random: what goes in and out of them; their masks' places by hand."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import GroundingDinoProcessor, Sam2Processor

from seesay.errors import NotEnoughMemory, NotFinite, UnavailableDevice, UnreadableModel
from seesay.instruments.instrument import Picture, Segmenter
from seesay.instruments.segmenters import load_segmenter
from seesay.instruments.segmenters.clipseg import marked
from seesay.instruments.segmenters.grounded_sam2 import boxes_of, prompt
from seesay.instruments.segmenters.masks import Masks, enlarged, most_certain
from seesay.instruments.segmenters.sam3 import instances
from tests.instruments.segmenters import SAVERS

PAIR = "grounding-dino+sam2"
KINDS = ["sam3", "clipseg", PAIR]
SIZES = [(50, 37), (31, 64), (50, 37), (90, 20), (7, 5)]
PHRASES = ["a frog", "Red star.", "blue", "a red star . a blue frog", "blue frog"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Where a small model is, or a pair of them with a plus between; copy it before changing it."""
    root, saved = tmp_path_factory.mktemp("segmenters"), {}

    def folder(kind: str) -> str:
        for each in kind.split("+"):
            if each not in saved:
                saved[each] = str(SAVERS[each](root / each))
        return "+".join(saved[each] for each in kind.split("+"))

    return folder


@pytest.fixture(scope="module")
def loaded(folders: Callable[[str], str]) -> Callable[[str], Any]:
    """A small segmenter, the same one each time."""
    at_hand: dict[str, Any] = {}

    def load(kind: str) -> Any:
        if kind not in at_hand:
            at_hand[kind] = load_segmenter(folders(kind), device="cpu")
        return at_hand[kind]

    return load


def picture(size: tuple[int, int], seed: int = 0) -> Picture:
    noise = np.random.default_rng([seed, *size]).integers(0, 256, (size[1], size[0], 3))
    return Picture(Image.fromarray(noise.astype(np.uint8)))


PICTURES = [picture(size, seed) for seed, size in enumerate(SIZES)]


def assert_alike(found: Sequence[Masks], wanted: Sequence[Masks]) -> None:
    """But for pixels that float noise carries over a threshold."""
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert (one != other).mean() < 0.01 if one.size else True


def models_of(segmenter: Any) -> list[torch.nn.Module]:
    names = ("model", "detector", "masker")
    return [getattr(segmenter, name) for name in names if hasattr(segmenter, name)]


@pytest.mark.parametrize("kind", KINDS)
def test_masks_have_the_pictures_own_sizes(kind: str, loaded: Callable[[str], Any]) -> None:
    segmenter = loaded(kind)
    assert isinstance(segmenter, Segmenter)
    found = segmenter.segment(PICTURES, PHRASES)
    assert [masks.shape[1:] for masks in found] == [(height, width) for width, height in SIZES]
    assert {masks.dtype for masks in found} == {np.dtype(bool)}
    assert any(len(masks) for masks in found)
    assert all(masks.any((1, 2)).all() for masks in found), "an instance has at least one pixel"


@pytest.mark.parametrize("kind", KINDS)
def test_masks_do_not_depend_on_what_else_is_asked(kind: str, loaded: Callable[[str], Any]) -> None:
    segmenter = loaded(kind)
    pictures, phrases = PICTURES * 2, PHRASES + PHRASES[::-1]
    together = segmenter.segment(pictures, phrases)
    alone = [segmenter.segment([one], [phrase])[0] for one, phrase in zip(pictures, phrases, strict=True)]
    assert_alike(together, alone)
    assert_alike(segmenter.segment(pictures[::-1], phrases[::-1])[::-1], together)
    assert segmenter.segment([], []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_other_words_and_other_pictures_give_other_masks(kind: str, loaded: Callable[[str], Any]) -> None:
    def together(pictures: list[Picture], phrases: list[str]) -> list[bytes]:
        return [masks.any(0).tobytes() for masks in loaded(kind).segment(pictures, phrases)]

    assert len(set(together([picture((50, 37))] * 4, ["frog", "red", "blue", "star star"]))) > 1
    assert len(set(together([picture((50, 37), seed) for seed in range(4)], ["blue"] * 4))) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_phrase_that_says_nothing_has_no_masks_and_asks_no_model(
    kind: str, loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = loaded(kind)
    wanted = segmenter.segment([PICTURES[0], PICTURES[3]], ["blue", "a frog"])
    mixed = segmenter.segment([PICTURES[0], PICTURES[1], PICTURES[3]], ["blue", " \n", "a frog"])
    assert_alike([mixed[0], mixed[2]], wanted)
    assert mixed[1].shape == (0, 64, 31)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was asked")

    for model in models_of(segmenter):
        monkeypatch.setattr(model, "forward", never)
    assert [masks.shape for masks in segmenter.segment(PICTURES[:3], ["", "\t ", "..."])] == [
        (0, 37, 50),
        (0, 64, 31),
        (0, 37, 50),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_too_large_for_memory_is_halved(
    kind: str, loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = loaded(kind)
    same_size = [picture((50, 37), seed) for seed in range(3)]
    wanted = segmenter.segment(same_size, PHRASES[:3])
    room, run, sizes = 1, segmenter._run, []

    def short_of_memory(batch: Any) -> Any:
        sizes.append(len(batch.phrases))
        if len(batch.phrases) > room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(batch)

    monkeypatch.setattr(segmenter, "_run", short_of_memory)
    assert_alike(segmenter.segment(same_size, PHRASES[:3]), wanted)
    assert sizes == [3, 1, 1, 1]
    room = 0
    with pytest.raises(NotEnoughMemory, match="50 x 37 pixels"):
        segmenter.segment(same_size, PHRASES[:3])


def test_an_image_with_several_phrases_is_encoded_once(loaded: Callable[[str], Any]) -> None:
    segmenter, seen = loaded("sam3"), []
    handle = segmenter.model.vision_encoder.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    segmenter.segment([PICTURES[0], PICTURES[1], PICTURES[0]], PHRASES[:3])
    handle.remove()
    assert seen == [2]


@pytest.mark.parametrize("kind", KINDS)
def test_long_phrases_and_grey_pictures_are_taken(kind: str, loaded: Callable[[str], Any]) -> None:
    grey = Picture(PICTURES[0].image.convert("L"))
    coloured = Picture(grey.image.convert("RGB"))
    phrase = "a red star and a blue frog " * 30
    found = loaded(kind).segment([grey, coloured], [phrase, phrase])
    assert_alike(found[:1], found[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_gives_masks_of_the_same_kind(kind: str, folders: Callable[[str], str]) -> None:
    segmenter = load_segmenter(folders(kind), device="cpu", dtype="bfloat16")
    assert {model.dtype for model in models_of(segmenter)} == {torch.bfloat16}
    found = segmenter.segment(PICTURES, PHRASES)
    assert [masks.shape[1:] for masks in found] == [(height, width) for width, height in SIZES]


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_overflow_are_an_error_rather_than_nothing_found(kind: str, folders: Callable[[str], str]) -> None:
    segmenter = load_segmenter(folders(kind), device="cpu")
    with torch.no_grad():
        for parameter in models_of(segmenter)[0].parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(NotFinite, match="segmenter"):
        segmenter.segment(PICTURES[:1], ["blue"])


@pytest.mark.parametrize("kind", KINDS)
def test_facts_are_plain_and_name_no_path(
    kind: str, folders: Callable[[str], str], loaded: Callable[[str], Any]
) -> None:
    facts = loaded(kind).facts
    assert json.loads(json.dumps(facts)) == facts
    assert not any(folder in json.dumps(facts) for folder in folders(kind).split("+"))
    assert facts["algorithm"] == 1
    assert facts == load_segmenter(folders(kind), device="cpu").facts


def test_facts_tell_models_settings_and_thresholds_apart(loaded: Callable[[str], Any]) -> None:
    whole = loaded("clipseg")
    kind = type(whole)
    other_eye = whole._eye.__class__.from_dict(whole._eye.to_dict() | {"image_mean": [0.1, 0.2, 0.3]})
    others = [
        kind(whole.model, whole._eye, whole._tokenizer, threshold=0.4),
        kind(whole.model, other_eye, whole._tokenizer),
        loaded("sam3"),
        loaded(PAIR),
        loaded("grounding-dino+sam2_video"),
    ]
    assert len({json.dumps(each.facts, sort_keys=True) for each in [whole, *others]}) == 6
    assert kind(whole.model, whole._eye, whole._tokenizer, batch_size=3).facts == whole.facts


def test_sam3_is_found_inside_the_model_for_videos_as_which_the_hub_keeps_it(loaded: Callable[[str], Any]) -> None:
    alone, within = loaded("sam3"), loaded("sam3_video")
    assert within.facts == alone.facts
    assert_alike(within.segment(PICTURES, PHRASES), alone.segment(PICTURES, PHRASES))


# --- where masks lie --------------------------------------------------------------------------------------------------


@given(st.integers(2, 90), st.integers(2, 90), st.integers(1, 9), st.booleans())
def test_half_of_the_models_answer_is_half_of_the_picture(width: int, height: int, n_cells: int, upright: bool) -> None:
    """But for pixels whose centres lie on the border: these may fall to either side."""
    side = width if upright else height
    logits = torch.full((1, 2 * n_cells, 2 * n_cells), -3.0)
    logits[:, : 2 * n_cells if upright else n_cells, : n_cells if upright else 2 * n_cells] = 3
    (mask,) = enlarged(logits, (width, height), 0.0)
    lines = mask.T if upright else mask
    assert lines[: side // 2].all()
    assert not lines[(side + 1) // 2 :].any()


def test_a_mask_lies_where_the_models_pixels_do() -> None:
    logits = torch.full((1, 4, 4), -1.0)
    logits[0, 1, 2] = 1.0
    (mask,) = enlarged(logits, (40, 20), 0.0)
    rows, columns = mask.nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 9, 20, 29)
    assert (rows.mean(), columns.mean()) == (7.0, 24.5)


def test_masks_without_a_pixel_are_left_out() -> None:
    assert enlarged(torch.tensor([[[-1.0]], [[1.0]]]), (3, 2), 0.0).tolist() == [[[True] * 3] * 2]
    assert enlarged(torch.zeros(0, 4, 4), (3, 2), 0.0).shape == (0, 2, 3)


def test_the_most_certain_come_first_and_the_uncertain_not_at_all() -> None:
    scores = torch.tensor([0.4, 0.9, 0.25, 0.9, 0.3])
    assert most_certain(scores, 0.25).tolist() == [1, 3, 0, 4]
    with pytest.raises(NotFinite):
        most_certain(torch.tensor([0.4, torch.nan]), 0.25)


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def test_sam3s_instances_are_as_certain_as_they_and_the_phrase_are() -> None:
    logits = torch.tensor([logit(0.5), logit(0.9), logit(0.7)])
    masks = torch.full((3, 2, 2), -2.0)
    for query, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):
        masks[query, row, column] = 2.0
    found = instances(logits, torch.tensor(logit(0.5)), masks, (8, 8))
    assert len(found) == 2, "0.45 and 0.35 are above 0.3, 0.25 is not"
    assert found[0, 1, 6], "the second query is the most certain; it is in the upper right"
    assert found[1, 6, 1], "then the third, in the lower left"
    assert not found[:, 6, 6].any()
    assert len(instances(logits, torch.tensor(logit(0.2)), masks, (8, 8))) == 0


def test_clipseg_marks_what_is_more_probable_than_not() -> None:
    logits = torch.tensor([[3.0, -3.0], [3.0, -3.0]])
    assert marked(logits, (4, 2)).tolist() == [[[True, True, False, False]] * 2]
    assert len(marked(torch.full((2, 2), -0.1), (4, 2))) == 0
    assert len(marked(torch.full((2, 2), 0.1), (4, 2), threshold=0.6)) == 0


class Redness(torch.nn.Module):
    """Stands in for CLIPSeg: says of every pixel that it is given how red it is."""

    def __init__(self, real: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.config, self.dtype = real.config, torch.float32

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> Any:
        red, green, _blue = pixel_values.unbind(1)
        return type("Found", (), {"logits": red - green})


@pytest.mark.parametrize("size", [(50, 37), (31, 64), (90, 20)])
def test_what_is_seen_in_a_picture_is_marked_in_the_same_place(
    size: tuple[int, int], loaded: Callable[[str], Any]
) -> None:
    """Stretched to the model's size and back."""
    real = loaded("clipseg")
    wanted = np.zeros((size[1], size[0]), dtype=bool)
    wanted[size[1] // 4 : size[1] * 3 // 4, size[0] // 2 :] = True
    pixels = np.where(wanted[..., None], [255, 0, 0], [0, 255, 0]).astype(np.uint8)
    segmenter = type(real)(Redness(real.model), real._eye, real._tokenizer)
    (masks,) = segmenter.segment([Picture(Image.fromarray(pixels))], ["red"])
    assert (masks[0] & wanted).sum() / (masks[0] | wanted).sum() > 0.85


def stretched(image: Image.Image, side: int, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    small = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)) / 255
    return torch.tensor((small - np.array(mean)) / np.array(std), dtype=torch.float32).permute(2, 0, 1)[None]


IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@torch.no_grad()
def test_sam3_is_asked_as_its_own_processor_asks_it(loaded: Callable[[str], Any]) -> None:
    segmenter = loaded("sam3")
    for one, phrase in zip(PICTURES, PHRASES, strict=True):
        words = segmenter._tokenizer(phrase, padding="max_length", max_length=32, return_tensors="pt")
        found = segmenter.model(
            pixel_values=stretched(one.image, 112, [0.4] * 3, [0.6] * 3),
            input_ids=words["input_ids"],
            attention_mask=words["attention_mask"],
        )
        scores = (found.pred_logits.sigmoid() * found.presence_logits.sigmoid())[0].tolist()
        order = sorted((query for query in range(6) if scores[query] > 0.3), key=lambda query: -scores[query])
        width, height = one.image.size
        wanted = [
            torch.nn.functional.interpolate(
                found.pred_masks[:, query : query + 1].sigmoid(), size=(height, width), mode="bilinear"
            )[0, 0].numpy()
            > 0.5
            for query in order
        ]
        (masks,) = segmenter.segment([one], [phrase])
        assert_alike(masks, [mask for mask in wanted if mask.any()])


@torch.no_grad()
def test_boxes_and_masks_are_those_of_transformers_own_processors(loaded: Callable[[str], Any]) -> None:
    segmenter = loaded(PAIR)
    n_boxes = 0
    for one, phrase in zip(PICTURES, PHRASES, strict=True):
        width, height = one.image.size
        asked = segmenter._tokenizer(prompt(phrase), return_tensors="pt")
        seen = segmenter._detector_eye(one.image, return_tensors="pt")
        found = segmenter.detector(**seen, input_ids=asked["input_ids"])
        processor = GroundingDinoProcessor.__new__(GroundingDinoProcessor)
        processor.tokenizer = segmenter._tokenizer
        (told,) = processor.post_process_grounded_object_detection(
            found, asked["input_ids"], target_sizes=[(height, width)]
        )
        shares = boxes_of(found.logits[0], found.pred_boxes[0]) * torch.tensor([width, height, width, height])
        order = told["scores"].argsort(descending=True, stable=True)
        torch.testing.assert_close(shares, told["boxes"][order])
        n_boxes += len(order)

        scaled = Sam2Processor._normalize_coordinates(None, 64, shares, (height, width), is_bounding_box=True)
        wanted = []
        for box in scaled:
            of_box = segmenter.masker(
                pixel_values=stretched(one.image, 64, *IMAGENET), input_boxes=box[None, None], multimask_output=False
            )
            whole = torch.nn.functional.interpolate(of_box.pred_masks[0], (height, width), mode="bilinear")[0, 0]
            wanted.append(whole.numpy() > 0)
        (masks,) = segmenter.segment([one], [phrase])
        assert_alike(masks, [mask for mask in wanted if mask.any()])
    assert n_boxes


def test_a_box_is_told_by_its_corners() -> None:
    logits = torch.full((2, 5), -torch.inf)
    logits[0, 1], logits[1, 2] = logit(0.3), logit(0.6)
    boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.25, 0.5, 0.5, 0.2]])
    torch.testing.assert_close(boxes_of(logits, boxes), torch.tensor([[0, 0.4, 0.5, 0.6], [0, 0, 1.0, 1.0]]))
    assert boxes_of(logits, boxes, threshold=0.7).shape == (0, 4)


@pytest.mark.parametrize(
    ("phrase", "asked"), [("A frog", "a frog."), (" red. ", "red."), ("A frog. It sits", "a frog. it sits.")]
)
def test_grounding_dino_reads_lower_case_and_a_full_stop(phrase: str, asked: str) -> None:
    assert prompt(phrase) == asked


# --- what cannot be loaded --------------------------------------------------------------------------------------------


def test_a_model_that_does_not_segment_is_refused_with_those_that_do(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        UnreadableModel, match=r"type 'bert'; expected SAM 3 .*CLIPSeg .*Grounding DINO and SAM 2"
    ) as told:
        load_segmenter(str(tmp_path))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("grounding-dino", r"finds boxes, but no masks.*\+facebook/sam2"),
        ("sam2", r"knows no words.*grounding-dino-base\+"),
        ("sam2+grounding-dino", "type 'sam2' \\+ 'grounding-dino'"),
        ("grounding-dino+clipseg", "type 'grounding-dino' \\+ 'clipseg'"),
        ("grounding-dino+sam2+sam2", "type 'grounding-dino' \\+ 'sam2' \\+ 'sam2'"),
    ],
)
def test_half_a_pair_and_a_wrong_pair_are_refused(kind: str, why: str, folders: Callable[[str], str]) -> None:
    with pytest.raises(UnreadableModel, match=why):
        load_segmenter(folders(kind))


@pytest.mark.parametrize("name", ["", "./nowhere", "./nowhere+./nothing", "+"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UnreadableModel):
        load_segmenter(name)


def test_folders_of_a_pair_may_have_a_plus_in_their_names(
    folders: Callable[[str], str], loaded: Callable[[str], Any], tmp_path: Path
) -> None:
    for kind in ("grounding-dino", "sam2"):
        shutil.copytree(folders(kind), tmp_path / "a+b" / kind)
    name = "+".join(str(tmp_path / "a+b" / kind) for kind in ("grounding-dino", "sam2"))
    assert load_segmenter(name, device="cpu").facts == loaded(PAIR).facts


def lose_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def spoil_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(weights) if weights[name].is_floating_point() and name.endswith("weight"))
    weights[name] = torch.full_like(weights[name], torch.nan)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "a broken config": lambda folder: (folder / "config.json").write_text("{"),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "broken weights": lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 99),
    "a missing tensor": lose_a_tensor,
    "NaN": spoil_a_tensor,
    "no image processor": lambda folder: (folder / "preprocessor_config.json").unlink(),
    "no tokenizer": lambda folder: [each.unlink() for each in folder.glob("tokenizer*")],
}


CASES = [
    *(("sam3", damage) for damage in DAMAGE),
    *(("clipseg", damage) for damage in ("a missing tensor", "no image processor", "no tokenizer")),
    *(("grounding-dino", damage) for damage in ("no weights", "no image processor", "no tokenizer")),
    *(("sam2", damage) for damage in ("a broken config", "NaN", "no image processor")),
]


@pytest.mark.parametrize(("kind", "damage"), CASES)
def test_a_damaged_folder_is_refused_in_one_line(
    kind: str, damage: str, folders: Callable[[str], str], tmp_path: Path
) -> None:
    shutil.copytree(folders(kind), tmp_path / kind)
    DAMAGE[damage](tmp_path / kind)
    names = {
        "grounding-dino": f"{tmp_path / kind}+{folders('sam2')}",
        "sam2": f"{folders('grounding-dino')}+{tmp_path / kind}",
    }
    with pytest.raises(UnreadableModel, match=str(tmp_path / kind)) as told:
        load_segmenter(names.get(kind, str(tmp_path / kind)), device="cpu")
    assert "\n" not in str(told.value)


def test_a_device_or_number_format_that_is_not_there_is_refused(folders: Callable[[str], str]) -> None:
    with pytest.raises(UnavailableDevice, match="cuda:77"):
        load_segmenter(folders("clipseg"), device="cuda:77")
    with pytest.raises(UnavailableDevice, match="int8"):
        load_segmenter(folders("clipseg"), device="cpu", dtype="int8")
