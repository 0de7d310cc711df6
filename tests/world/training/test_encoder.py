"""What the encoder is taught at every patch."""

from pathlib import Path

import pytest
import torch

from seesay.errors import MissingExtra, UnusablePath
from seesay.world import training
from seesay.world.concepts import INDEX, KINDS, Concept, names
from seesay.world.masks import coverage
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import RANGES, Stream
from seesay.world.training import encoder
from seesay.world.training.config import EncoderConfig, TrainingConfig
from seesay.world.training.encoder import PatchBatches, finished_tower, patch_labels, train_encoder

TINY = EncoderConfig(d_model=16, n_blocks=2, n_heads=2, n_images=24, batch_size=4)


def test_a_label_is_the_concept_that_covers_most_of_a_patch_and_at_least_a_quarter() -> None:
    for seed in range(30):
        covered = coverage(render(sample(seed)))
        labels = patch_labels(covered)
        for column, kind in enumerate(KINDS):
            first = INDEX[Concept(kind, names(kind)[0])]
            for patch in range(covered.shape[1]):
                shares = covered[first : first + len(names(kind)), patch]
                label = labels[patch, column]
                assert (label == 0) == (shares.max() < 0.25)
                assert label == 0 or shares[label - 1] == shares.max()


def test_batches_start_where_a_stopped_training_stood() -> None:
    whole, rest = PatchBatches("encoder", 4, range(6)), PatchBatches("encoder", 4, range(2, 6))
    assert len(rest) == 4
    assert torch.equal(whole[3].pixels, rest[1].pixels)
    assert torch.equal(whole[3].labels, rest[1].labels)


@pytest.mark.parametrize("stream", ["encoder", "judge", "evaluation"])
def test_batches_look_at_the_scenes_of_their_stream_alone(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(encoder, "sample", lambda seed: (seen.append(seed), sample(seed))[1])
    PatchBatches(stream, 4, range(6))[5]
    assert len(seen) == 4
    assert all(seed in RANGES[stream] for seed in seen)


@pytest.fixture
def small_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_N_HELD_OUT", 8)


@pytest.mark.usefixtures("small_evaluation")
def test_a_trained_encoder_is_found_again(tmp_path: Path) -> None:
    train_encoder(TINY, tmp_path, "eyes", stream="judge", device=torch.device("cpu"), checkpoint_seconds=0)
    tower = finished_tower(TINY, tmp_path, "eyes")
    assert tower.config.num_hidden_layers == 2
    log = (tmp_path / "eyes.jsonl").read_text("utf-8").splitlines()
    assert any('"thing"' in line for line in log)


def test_an_unfinished_encoder_is_no_base_for_a_language_model(tmp_path: Path) -> None:
    with pytest.raises(UnusablePath, match="no finished encoder"):
        training.train(TrainingConfig(tmp_path, stages=("language",)))


def test_an_sae_cannot_be_trained_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install"):
        training.train(TrainingConfig(tmp_path, stages=("sae",)))
