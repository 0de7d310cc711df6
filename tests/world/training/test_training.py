"""The whole training, in miniature: every stage stands on the one before and is found again."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from torch.utils.data import DataLoader

from seesay.errors import UnusablePath
from seesay.explainers.cases import Case, Cases
from seesay.records import StrengthUnit
from seesay.sae import load_sae
from seesay.split import split_of
from seesay.training_log import TrainingLog, seconds_logged
from seesay.vlm import load_vlm
from seesay.world import examination, pictures, questions, training, truth
from seesay.world.scenes import Scene, sample
from seesay.world.streams import RANGES
from seesay.world.targets import load_scorer
from seesay.world.training import encoder, language, loop, strength, train
from seesay.world.training import sae as sae_module
from seesay.world.training import scorer as scorer_module
from seesay.world.training.config import (
    BLOCKS,
    EncoderConfig,
    JudgeConfig,
    LanguageConfig,
    SAEConfig,
    ScorerConfig,
    Stage,
    TextConfig,
    TrainingConfig,
)

EYES = EncoderConfig(d_model=16, n_blocks=6, n_heads=2, n_images=8, batch_size=4)
WORDS = LanguageConfig(n_steps=2)
TINY = TextConfig(16, 1, 1, 32)


def config(out: Path, *stages: Stage, n_seeds: int = 1) -> TrainingConfig:
    return TrainingConfig(
        out,
        stages=stages,
        encoder=EYES,
        language=WORDS,
        judge=JudgeConfig(EYES, TINY, WORDS),
        scorer=ScorerConfig(d_model=16, n_blocks=1, n_heads=2, n_text_blocks=1, n_images=8, batch_size=4),
        sae=SAEConfig(n_features=32, k=4, n_images=64, batch_size=64, n_steps=20, buffer_batches=4),
        n_seeds=n_seeds,
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SIZES", {"S": TINY, "M": TINY})
    monkeypatch.setattr(encoder, "_N_HELD_OUT", 4)
    for name in ("_N_CAPTIONS", "_N_PER_KIND", "_N_DETECTIONS"):
        monkeypatch.setattr(language, name, 1)
    monkeypatch.setattr(scorer_module, "_N_EXAMINED", 2)
    monkeypatch.setattr(sae_module, "_N_HELD_OUT", 8)


STREAMS: dict[Stage, set[str]] = {
    "encoder": {"encoder", "monitoring"},
    "language": {"language", "monitoring"},
    "scorer": {"scorer", "monitoring"},
    "judge": {"judge", "monitoring"},
    "sae": {"sae", "monitoring"},
    "strength": {"explaining"},
}


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The streams whose scenes have been drawn so far."""
    streams: set[str] = set()

    def noting(seed: int, *wishes: Any) -> Scene:
        streams.update(name for name, seeds in RANGES.items() if seed in seeds)
        return sample(seed, *wishes)

    for module in (encoder, scorer_module, questions, examination, pictures, truth):
        monkeypatch.setattr(module, "sample", noting)
    monkeypatch.setattr(loop, "DataLoader", lambda data, **_: DataLoader(data, batch_size=None))
    return streams


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The features that strengths were tried on."""
    features: set[int] = set()
    look_at = Cases.of

    def noting(cases: Cases, feature_id: int) -> Case:
        features.add(feature_id)
        return look_at(cases, feature_id)

    monkeypatch.setattr(Cases, "of", noting)
    monkeypatch.setattr(strength, "N_IMAGES", 60)
    monkeypatch.setattr(strength, "N_FEATURES", 3)
    monkeypatch.setattr(strength, "DEFAULT_GRIDS", dict.fromkeys(get_args(StrengthUnit), (0.5, 1.0)))
    return features


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("small")
def test_every_stage_looks_at_its_own_scenes_and_strengths_are_chosen_on_validation_features(
    tmp_path: Path, looked_at: set[str], explained: set[int]
) -> None:
    for stage, streams in STREAMS.items():
        looked_at.clear()
        train(config(tmp_path, stage))
        assert looked_at == streams, stage
    assert explained
    assert all(split_of(feature_id) == "validation" for feature_id in explained)
    record = json.loads((tmp_path / "sae" / "late" / "strength.json").read_text("utf-8"))
    assert record["chosen"].keys() == {"S", "M"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("small")
def test_every_stage_leaves_what_the_next_one_needs(tmp_path: Path) -> None:
    seconds = train(config(tmp_path, "encoder", "language", "scorer", "judge", "sae", n_seeds=2))
    assert json.loads((tmp_path / "training.json").read_text("utf-8")) == seconds
    for name in ("S", "M", "S-1", "M-1", "judge"):
        assert load_vlm(tmp_path / "vlm" / name, device="cpu").encoder.n_blocks == 6
    for name, layer in BLOCKS.items():
        sae = load_sae(tmp_path / "sae" / name)
        assert (sae.provenance.layer, sae.n_features, sae.d_model) == (layer, 32, 16)
    load_scorer(tmp_path / "scorer", device="cpu")
    again = train(config(tmp_path, "encoder", "language"))
    assert again.keys() == {"encoder", "language"}
    assert json.loads((tmp_path / "training.json").read_text("utf-8")).keys() == seconds.keys()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_notes_are_named_before_anything_is_trained(tmp_path: Path, content: str) -> None:
    (tmp_path / "training.json").write_text(content)
    with pytest.raises(UnusablePath, match="training.json"):
        train(config(tmp_path, "encoder"))


def test_the_seconds_of_all_starts_since_the_last_beginning_add_up(tmp_path: Path) -> None:
    entries = [
        {"seconds": 0.0, "resumed_at": 0}, {"seconds": 999.0, "step": 100},  # and then the checkpoint was removed
        {"seconds": 0.0, "resumed_at": 0}, {"seconds": 70.5, "step": 100}, {"seconds": 0.0, "resumed_at": 50},
        {"seconds": 30.0, "step": 100}, {"seconds": 0.1, "resumed_at": 100},
    ]  # fmt: skip
    (tmp_path / "stage.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert seconds_logged(tmp_path, "stage") == 100.6


@pytest.mark.parametrize("content", [None, "{", '{"step": 1}', "3"])
def test_a_log_that_is_no_log_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "stage.jsonl").write_text(content)
    with pytest.raises(UnusablePath, match="stage.jsonl"):
        seconds_logged(tmp_path, "stage")


def test_two_trainings_of_one_stage_do_not_share_a_folder(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, "stage"):
        with pytest.raises(UnusablePath, match="another process"):
            TrainingLog(tmp_path, "stage")
        with TrainingLog(tmp_path, "other"):
            pass
    with TrainingLog(tmp_path, "stage"):
        pass


def test_a_log_that_counts_no_step_shows_no_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingLog(tmp_path, "quiet") as log:
        log.resumed(0)
    assert capsys.readouterr().err == ""
