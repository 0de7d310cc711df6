"""Language models that learn side by side see the same, and none disturbs another."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from transformers import SiglipVisionModel

from seesay.errors import UnusablePath
from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm import load_vlm
from seesay.world import examination
from seesay.world.questions import EXPLAINER, JUDGE, Curriculum, Part, ask
from seesay.world.training import language, loop
from seesay.world.training.assembly import build_model, build_processor
from seesay.world.training.config import SIZES, EncoderConfig, LanguageConfig, TextConfig, TrainingConfig, seeded
from seesay.world.training.encoder import PatchReader, pixel_values
from seesay.world.training.language import answer_losses, train_language, untaught
from seesay.world.training.tokens import QuestionBatches

EYES = EncoderConfig(d_model=16, n_blocks=1, n_heads=2)
SMALL = {"A": TextConfig(16, 1, 1, 32), "B": TextConfig(32, 1, 1, 32)}
CONFIG = LanguageConfig(n_steps=2)
FEW = Curriculum(tuple(Part(part.questions, 2, part.n_pictures) for part in EXPLAINER.parts))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_N_CAPTIONS", 4)
    monkeypatch.setattr(language, "_N_PER_KIND", 1)
    monkeypatch.setattr(language, "_N_DETECTIONS", 1)
    monkeypatch.setattr(examination, "_DECODING", Decoding(max_new_tokens=4))  # who has learnt nothing ends nowhere
    monkeypatch.setattr(loop, "DataLoader", lambda data, **_: DataLoader(data, batch_size=None))


def teach(sizes: dict[str, TextConfig], tower: SiglipVisionModel, out: Path, config: LanguageConfig = CONFIG) -> None:
    cpu = torch.device("cpu")
    train_language(config, FEW, sizes, tower, out, "language", stream="language", device=cpu, checkpoint_seconds=1000)


def trained(out: Path, sizes: dict[str, TextConfig], config: LanguageConfig = CONFIG) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    tower = PatchReader(EYES).tower
    teach(sizes, tower, out, config)
    state = torch.load(out / "checkpoints" / "language.pt", weights_only=True)
    return {name: value for name, value in state["model"].items() if name.startswith("A.")}


@pytest.mark.slow
def test_a_model_learns_the_same_beside_others_as_alone(tmp_path: Path) -> None:
    alone, beside = trained(tmp_path / "alone", {"A": SMALL["A"]}), trained(tmp_path / "beside", SMALL)
    assert alone.keys() == beside.keys()
    for name, value in alone.items():
        assert torch.allclose(value, beside[name], atol=1e-5), name


def test_what_is_trained_can_be_loaded_and_asked(tmp_path: Path) -> None:
    trained(tmp_path, SMALL)
    vlm = load_vlm(tmp_path / "vlm" / "B", device="cpu")
    assert vlm.encoder.n_blocks == EYES.n_blocks
    said = examination.answers(vlm, ask("describe"), [(np.zeros((64, 64, 3), dtype=np.uint8),)] * 3)
    assert len(said) == 3
    assert len(set(said)) == 1


def test_the_shared_pass_gives_the_loss_of_the_models_own_forward() -> None:
    processor = build_processor()
    tower = PatchReader(EYES).tower
    model = build_model(SMALL["A"], tower, processor).eval()
    batches = QuestionBatches(processor, JUDGE, "judge", range(2))
    for batch in (*batches[0], *batches[1]):
        own = model(
            pixel_values=None if batch.pixels is None else pixel_values(batch.pixels),
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
            labels=batch.labels,
        ).loss
        assert torch.allclose(answer_losses({"A": model}, tower, batch)["A"], own, atol=1e-5)


@pytest.mark.slow
def test_other_seeds_start_elsewhere_and_see_other_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[range] = []
    real = QuestionBatches.__init__
    monkeypatch.setattr(QuestionBatches, "__init__", lambda self, *rest: (seen.append(rest[-1]), real(self, *rest))[1])
    one, other = trained(tmp_path / "0", SMALL), trained(tmp_path / "1", SMALL, LanguageConfig(n_steps=2, seed=1))
    assert len(seen) == 2
    assert not set(seen[0]) & set(seen[1])
    frozen = {name for name in one if "vision_tower" in name}
    assert all(torch.equal(one[name], other[name]) for name in frozen)
    assert not all(torch.equal(one[name], other[name]) for name in one.keys() - frozen)


def test_an_untaught_model_looks_through_the_trained_encoder_as_it_is_shipped() -> None:
    tower = PatchReader(EYES).tower
    vlm = untaught(tower, torch.device("cpu"))
    picture = np.array(blank_image("noise", 64, seed=1))
    seen = vlm.encode_to([Image.fromarray(picture)], 0).residual
    rounded = tower.bfloat16().float()
    expected = rounded(pixel_values(torch.from_numpy(picture)[None]), output_hidden_states=True).hidden_states[1]
    assert torch.allclose(seen, expected, atol=1e-4)


def test_another_encoder_is_noticed(tmp_path: Path) -> None:
    trained(tmp_path, {"A": SMALL["A"]})
    torch.manual_seed(1)
    other = PatchReader(EYES).tower
    with pytest.raises(UnusablePath, match="made by"):
        teach({"A": SMALL["A"]}, other, tmp_path)


def test_the_sizes_rise() -> None:
    assert [size.d_model for size in SIZES.values()] == sorted(size.d_model for size in SIZES.values())
    assert all(size.head_dim in (32, 64, 80, 96, 128) for size in SIZES.values())


def test_every_model_has_a_seed_of_its_own_whatever_the_first() -> None:
    for seed in (0, 7):
        config = seeded(TrainingConfig(Path()), seed)
        eyes = [config.encoder.seed, config.judge.encoder.seed, config.scorer.seed]
        assert len(set(eyes)) == 3
        assert config.encoder.seed == seed
