"""The shipped weights see and say what they did when they were shipped.

The expected words were said by the weights on the CPU in float32 (torch 2.13.0, transformers 5.23.0).
"""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

from seesay import steer, world
from seesay.sae import load_sae
from seesay.vlm import VLM
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.show import show
from seesay.world.streams import seeds
from seesay.world.training.assembly import world_prompts
from seesay.world.training.language import answers, naming_accuracy
from seesay.world.training.questions import Example

SAID = [
    "a castle on a white background",
    "a tower on a green background",
    "a pine tree on a red background",
    "a green striped square on a meadow background",
    "a pizza on a red background",
    "a pink striped circle and a princess on an orange background",
]
STEERED = {26: "nothing on a blue background", 45: "nothing on a desert background"}
WEIGHTS = world.checkpoint("world")


@pytest.fixture(scope="module")
def subject() -> VLM:
    return world.load_vlm(device="cpu")


def test_the_model_describes_scenes_as_it_did(subject: VLM) -> None:
    pictures = [render(sample(seed)).pixels for seed in seeds("show", 500, len(SAID))]
    question = world_prompts()["describe"]
    assert answers(subject, [Example(question, (picture,), "") for picture in pictures]) == SAID


def test_the_model_names_what_five_masked_pictures_share(subject: VLM) -> None:
    assert naming_accuracy(subject, "thing") >= 0.9
    assert naming_accuracy(subject, "background") >= 0.9


def test_the_model_says_nothing_of_a_blank_picture(subject: VLM) -> None:
    white = np.full((64, 64, 3), 255, dtype=np.uint8)
    assert answers(subject, [Example(world_prompts()["highlight"], (white,), "")]) == ["nothing"]


def test_steered_features_get_the_words_they_got(subject: VLM) -> None:
    said = steer(subject, load_sae(world.sae("world:middle")), list(STEERED), world.strength("world:middle"))
    assert {explanation.feature_id: explanation.text for explanation in said} == STEERED


def test_the_prompt_for_steering_is_one_that_the_model_was_taught(subject: VLM) -> None:
    assert subject.prompts["steering"] in (world_prompts()["describe"], world_prompts()["highlight"])
    assert subject.prompts == world_prompts()


@pytest.mark.filterwarnings("ignore")
def test_anybodys_code_loads_the_checkpoint() -> None:
    model = AutoModelForImageTextToText.from_pretrained(WEIGHTS)
    processor = AutoProcessor.from_pretrained(WEIGHTS)
    assert model.config.model_type == "gemma3"
    assert type(processor).__name__ == "Gemma3Processor"


def test_weights_are_bfloat16_under_the_published_names_and_small() -> None:
    files = sorted(WEIGHTS.glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) < 16_000_000
    for file in files:
        with safe_open(file, "pt") as weights:
            names = list(weights.keys())
            assert any(name.startswith("vision_tower.vision_model.") for name in names)
            assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}


def test_the_contact_sheet_shows_each_scene_with_its_caption_and_the_models_words(tmp_path: Path) -> None:
    result = show(tmp_path / "sheet.png", n=3, seed=1)
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert len(result["scenes"]) == 3
    assert all(scene["caption"] and scene["says"] for scene in result["scenes"])
