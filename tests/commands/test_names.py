from pathlib import Path

import pytest
from PIL import Image

from seesay.commands.names import is_world, listed, resolve_images, resolve_sae, resolve_strength, resolve_subject
from seesay.errors import InvalidSetting, InvalidStrength, UnreadableImages
from seesay.records import Strength


@pytest.mark.parametrize("name", ["world", "world:S", "world:middle"])
def test_the_names_of_the_world_are_known(name: str) -> None:
    assert is_world(name)


@pytest.mark.parametrize("name", ["worldly/model", "./world", "World", "google/gemma-3-4b-it", "/models/world:M"])
def test_other_names_pass_through_untouched(name: str) -> None:
    assert not is_world(name)
    assert resolve_subject(name) == name
    assert resolve_sae(name) == name


def test_a_strength_without_a_unit_is_a_coefficient() -> None:
    assert resolve_strength(200.0, None, "world:middle", "world") == Strength(200.0, "coefficient")


def test_a_strength_keeps_its_unit() -> None:
    assert resolve_strength(2.0, "residual_norm", "elsewhere", "world") == Strength(2.0, "residual_norm")


def test_a_unit_without_a_strength_is_refused() -> None:
    with pytest.raises(InvalidStrength, match="--strength NUMBER"):
        resolve_strength(None, "residual_norm", "world:middle", "world")


def test_a_strange_sae_has_no_calibrated_strength() -> None:
    with pytest.raises(InvalidStrength, match="none is calibrated for world on elsewhere"):
        resolve_strength(None, None, "elsewhere", "world")


def test_pictures_of_the_world_are_images() -> None:
    source = resolve_images("world:4000@10")
    assert source.name == "world:4000@10"
    assert source.n_images == 4000


def test_other_images_are_opened_with_what_is_asked_of_them(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    assert resolve_images(str(tmp_path)).n_images == 1
    with pytest.raises(UnreadableImages, match="no dataset, and split is for datasets"):
        resolve_images(str(tmp_path), split="train")


@pytest.mark.parametrize(
    "option", [{"split": "train"}, {"column": "image"}, {"revision": "x"}, {"streaming": True}, {"id_column": "id"}]
)
def test_the_world_s_pictures_have_no_splits_or_columns(option: dict[str, object]) -> None:
    with pytest.raises(UnreadableImages, match="world:3 is no dataset"):
        resolve_images("world:3", **option)


@pytest.mark.parametrize("name", ["world", "world:S", "world:0"])
def test_a_part_of_the_world_that_is_no_pictures_is_refused(name: str) -> None:
    with pytest.raises(UnreadableImages, match="expected world:4000"):
        resolve_images(name)


def test_empty_words_between_commas_are_passed_over() -> None:
    assert listed("iou,") == ["iou"]
    assert listed(" ,clip , ,iou,,clip") == ["clip", "iou"], "each once, in the order given"


@pytest.mark.parametrize("text", ["", "  ", ",", " , ,"])
def test_a_list_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="which names nothing; expected names with commas between"):
        listed(text)
