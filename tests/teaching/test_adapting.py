"""What an adapter learns, and that the model it is taught for stays as it is."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
import torch

from seesay.errors import InvalidSetting
from seesay.explainers.config import Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import NoImages
from seesay.records import Strength
from seesay.teaching.adapting import adapt
from seesay.teaching.config import Adapting
from seesay.vlm.answers import Forced
from seesay.vlm.generation import generate
from seesay.vlm.likelihood import answer_losses
from tests.explainers.galleries import PROMPTS, noise, vlm_of
from tests.families import SIDE
from tests.tiny import tiny_sae

STRENGTH = Strength(2.0, "residual_norm")
SAID = dict.fromkeys(range(12), "w5 w9") | {3: "w1"}
QUICK = Adapting(n_epochs=8, batch_size=5, bias_rate=0.1)


@contextmanager
def silent(name: str, total: int) -> Generator[Callable[[int], None]]:
    yield lambda _n: None


def loss_of(family: str, setting: Setting, said: dict[int, str], **more: object) -> float:
    vlm = vlm_of(family)
    explainer = Explainer(vlm, setting, NoImages(list(said)), sae=tiny_sae(), layer=1, **more)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        losses = answer_losses(vlm, PROMPTS["steering"], explainer.see(list(said)), list(said.values()))
    return losses.mean().item()


@pytest.mark.parametrize("family", ["gemma3", "llava", "qwen2_5_vl"])
def test_words_become_more_probable_and_the_model_stays_as_it_is(family: str) -> None:
    vlm = vlm_of(family)
    before = {name: value.clone() for name, value in vlm.model.state_dict().items()}
    adapter = adapt(vlm, tiny_sae(), 1, SAID, STRENGTH, adapting=QUICK, progress=silent)
    assert all(torch.equal(value, before[name]) for name, value in vlm.model.state_dict().items())
    assert all(each.grad is None for each in vlm.model.parameters())
    plain = Setting("steering", STRENGTH)
    adapted = Setting("steering", STRENGTH, adapter=adapter.identity)
    assert loss_of(family, adapted, SAID, adapter=adapter) < loss_of(family, plain, SAID) - 0.05
    assert adapter.facts["features"] == list(SAID)
    assert 1 <= adapter.facts["epoch"] <= 8


def test_the_same_is_learnt_from_the_same() -> None:
    one, two = (adapt(vlm_of(), tiny_sae(), 1, SAID, STRENGTH, adapting=QUICK, progress=silent) for _ in range(2))
    assert one.identity == two.identity


@pytest.mark.parametrize("said", [{}, {1: "w1"}, {1: "w1", 2: " "}])
def test_too_little_is_refused(said: dict[int, str]) -> None:
    with pytest.raises(InvalidSetting, match="an adapter from"):
        adapt(vlm_of(), tiny_sae(), 1, said, STRENGTH, progress=silent)


@pytest.mark.parametrize(("name", "value"), [("n_epochs", 0), ("held_back", 1.0), ("scale_rate", 0.0), ("seed", -1)])
def test_numbers_that_nothing_can_be_taught_by_are_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} {value}"):
        Adapting(**{name: value})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("family", ["gemma3", "llava", "qwen2_5_vl", "paligemma"])
def test_losses_are_those_of_the_path_by_which_it_speaks(family: str) -> None:
    vlm = vlm_of(family)
    rows = [[image] for image in vlm.encode([noise((SIDE, SIDE), seed) for seed in range(3)])]
    answers = ["w1", "w5 w9 w2", "a w7"]
    losses = answer_losses(vlm, PROMPTS["steering"], rows, answers)
    token_ids = [[*vlm.tokenize(each), vlm.end_ids[-1]] for each in answers]
    spoken = generate(vlm.model, vlm.asking_all(PROMPTS["steering"], rows, Forced(token_ids)))
    assert losses.tolist() == pytest.approx([-each.mean_log_probability for each in spoken], abs=1e-4)
