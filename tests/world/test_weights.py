"""The shipped weights see and say what they did when they were shipped.

The expected words were said by the weights on the CPU in float32 (torch 2.13.0, transformers 5.23.0).
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor

from seesay import steer, world
from seesay.sae import load_sae
from seesay.vlm import VLM
from seesay.world.examination import answers, detection_accuracy, naming_accuracy, phrase_accuracy
from seesay.world.questions import EXPLAINER, JUDGE, ask, world_prompts
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.show import show
from seesay.world.streams import seeds
from seesay.world.training.config import SIZES, TrainingConfig

SAID = [
    "a grey striped crescent and a castle on a brown background",
    "a pink solid star and a brown dotted heart and a tower on a blue background",
    "a pine tree and a purple striped circle on a grey background",
    "a green striped square on a red background",
    "a pizza on a green background",
    "a princess on a yellow background",
]
STEERED = {
    6: "a star",
    45: "a square",
}
DOCS = Path(__file__).parents[2] / "docs" / "training"
MODELS = ("S", "M", "L", "judge")


@pytest.fixture(scope="module")
def subject() -> VLM:
    return world.load_vlm(device="cpu")


def test_the_model_describes_scenes_as_it_did(subject: VLM) -> None:
    pictures = [render(sample(seed)).pixels for seed in seeds("show", 500, len(SAID))]
    assert answers(subject, ask("describe"), [(picture,) for picture in pictures]) == SAID


def test_the_model_names_what_five_masked_pictures_share(subject: VLM) -> None:
    assert naming_accuracy(subject, "thing", 24) >= 0.9
    assert naming_accuracy(subject, "background", 24) >= 0.9


def test_the_model_says_nothing_of_a_blank_picture(subject: VLM) -> None:
    white = np.full((64, 64, 3), 255, dtype=np.uint8)
    assert answers(subject, ask("highlight"), [(white,)]) == ["nothing"]


def test_steered_features_get_the_words_they_got(subject: VLM) -> None:
    said = steer(subject, load_sae(world.sae("world:late")), list(STEERED), world.strength("world:late"))
    assert {explanation.feature_id: explanation.text for explanation in said} == STEERED


def test_the_prompt_for_steering_is_one_that_the_model_was_taught(subject: VLM) -> None:
    assert subject.prompts["steering"] in (world_prompts()["describe"], world_prompts()["highlight"])
    assert subject.prompts == world_prompts()


def test_the_judge_says_what_is_there_and_what_is_not() -> None:
    assert detection_accuracy(world.load_vlm("world:judge", device="cpu"), 20) >= 0.7


def test_the_scorer_prefers_the_right_phrase() -> None:
    clip = AutoModel.from_pretrained(world.scorer(), dtype="float32")
    assert phrase_accuracy(clip, AutoProcessor.from_pretrained(world.scorer()), 60) >= 0.8


def test_the_three_sizes_look_through_one_encoder_and_the_others_through_their_own() -> None:
    towers: dict[str, dict[str, torch.Tensor]] = {}
    for name in MODELS:
        weights = load_file(world.checkpoint(f"world:{name}") / "model.safetensors")
        towers[name] = {key: value for key, value in weights.items() if key.startswith("vision_tower.")}
    for name in ("S", "M"):
        assert towers[name].keys() == towers["L"].keys()
        assert all(torch.equal(value, towers["L"][key]) for key, value in towers[name].items())
    ours, judges = (next(iter(towers[name].values())) for name in ("L", "judge"))
    assert ours.shape != judges.shape or not torch.equal(ours, judges)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_anybodys_code_loads_the_checkpoint(name: str) -> None:
    model = AutoModelForImageTextToText.from_pretrained(world.checkpoint(f"world:{name}"))
    processor = AutoProcessor.from_pretrained(world.checkpoint(f"world:{name}"))
    assert model.config.model_type == "gemma3"
    assert type(processor).__name__ == "Gemma3Processor"


def test_weights_are_bfloat16_under_the_published_names_and_small() -> None:
    files = sorted(world.DATA.rglob("*.safetensors"))
    assert len(files) >= len(MODELS) + 4
    assert sum(file.stat().st_size for file in files) <= 32_000_000
    assert max(file.stat().st_size for file in files) < 16_000_000
    for file in files:
        with safe_open(file, "pt") as weights:
            names = list(weights.keys())
            assert file.parts[-3] != "vlm" or any(name.startswith("vision_tower.vision_model.") for name in names)
            assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}


def test_the_contact_sheet_shows_each_scene_with_its_caption_and_the_models_words(tmp_path: Path) -> None:
    result = show(tmp_path / "sheet.png", n=3, seed=1)
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert len(result["scenes"]) == 3
    assert all(scene["caption"] and scene["says"] for scene in result["scenes"])


def test_the_shipped_weights_come_from_the_committed_configuration() -> None:
    made_by = json.loads((DOCS / "made_by.json").read_text("utf-8"))
    config = TrainingConfig(Path())
    for name, part in (("encoder", config.encoder), ("scorer", config.scorer), ("judge-encoder", config.judge.encoder)):
        assert made_by[name] == repr(part)
    of_language = (config.language, dict(SIZES), EXPLAINER, "language")
    of_judge = (config.judge.language, {"judge": config.judge.text}, JUDGE, "judge")
    for name, parts in (("language", of_language), ("judge", of_judge)):  # the encoder's fingerprint follows
        assert made_by[name].startswith(repr(parts)[:-1])
    for stage in made_by:
        assert (DOCS / f"{stage}.jsonl").exists()
