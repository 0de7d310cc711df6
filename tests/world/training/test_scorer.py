"""What the CLIP-like scorer is taught, and that anybody's code can load it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import AutoModel, AutoProcessor

from seesay.world.concepts import CONCEPTS, INDEX, Concept
from seesay.world.examination import phrase_accuracy
from seesay.world.grammar import phrase
from seesay.world.masks import coverage
from seesay.world.rendering import render
from seesay.world.scenes import Item, Scene
from seesay.world.streams import RANGES
from seesay.world.training import loop
from seesay.world.training import scorer as module
from seesay.world.training.config import ScorerConfig
from seesay.world.training.scorer import FitBatches, build_clip_processor, fit_loss, fitting, train_scorer

TINY = ScorerConfig(d_model=16, n_blocks=1, n_heads=2, n_text_blocks=1, n_images=8, batch_size=4)


def test_every_text_of_a_batch_is_known_and_fits_its_own_picture() -> None:
    batch = FitBatches("scorer", 16, range(3, 5))[0]
    tokenizer = build_clip_processor().tokenizer
    assert batch.fits.shape == (16, len(CONCEPTS) + len(batch.texts))
    assert not any(tokenizer.unk_token_id in tokenizer(text)["input_ids"] for text in batch.texts)
    of_phrases = {phrase(concept): batch.fits[:, row] for row, concept in enumerate(CONCEPTS)}
    for row, text in enumerate(batch.texts):
        of_text = batch.fits[:, len(CONCEPTS) + row]
        assert torch.equal(of_text, of_phrases[text]) if text in of_phrases else of_text[row] == 1
    n_captions = sum(text.endswith(" background") and " on " in text for text in batch.texts)
    assert 0 < n_captions < 16


def test_pictures_come_from_the_asked_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = module.sample
    monkeypatch.setattr(module, "sample", lambda seed, *rest: (seen.append(seed), real(seed, *rest))[1])
    FitBatches("scorer", 4, range(7, 9))[1]
    assert len(seen) == 4
    assert all(seed in RANGES["scorer"] for seed in seen)


def test_only_what_is_shown_fits() -> None:
    frog = Item("frog", None, None, centre=(16, 32), size=30, angle=0.0)
    car = Item("car", None, None, centre=(48, 32), size=30, angle=0.0)
    covered = coverage(render(Scene(0, "objects", "white", (frog, car))))
    left = np.zeros((8, 8), dtype=bool)
    left[:, :4] = True
    values = fitting(covered, left)
    assert values[INDEX[Concept("thing", "frog")]] == 1
    assert values[INDEX[Concept("thing", "car")]] == 0
    assert values[INDEX[Concept("category", "vehicle")]] == 0
    assert fitting(covered, ~left)[INDEX[Concept("thing", "car")]] == 1


def fits_of(*concepts: tuple[Concept, int]) -> torch.Tensor:
    """One picture and one text of its own, of which nobody can say anything."""
    fits = torch.full((1, len(CONCEPTS) + 1), -1)
    for concept, value in concepts:
        fits[0, INDEX[concept]] = value
    return fits


def preferring(*concepts: Concept) -> torch.Tensor:
    logits = torch.zeros(1, len(CONCEPTS) + 1)
    for concept in concepts:
        logits[0, INDEX[concept]] = 4.0
    return logits


FROG, CAR, RED, TOP, LEFT = (
    Concept("thing", "frog"), Concept("thing", "car"), Concept("colour", "red"), Concept("position", "top"),
    Concept("position", "left"),
)  # fmt: skip


def test_the_loss_falls_as_right_texts_are_preferred_and_skips_what_nobody_can_say() -> None:
    fits = fits_of((FROG, 1), (CAR, 0))
    assert fit_loss(preferring(FROG), fits) < fit_loss(preferring(), fits) < fit_loss(preferring(CAR), fits)
    assert fit_loss(preferring(FROG), fits) == fit_loss(preferring(FROG, RED), fits)


def test_many_concepts_of_one_kind_weigh_no_more_than_one_of_another() -> None:
    fits = fits_of((FROG, 1), (TOP, 1), (LEFT, 1), (CAR, 0))
    assert torch.allclose(fit_loss(preferring(FROG), fits), fit_loss(preferring(TOP, LEFT), fits))


@pytest.mark.filterwarnings("ignore")
def test_a_trained_scorer_is_a_clip_model_that_anybodys_code_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_N_EXAMINED", 4)
    monkeypatch.setattr(loop, "DataLoader", lambda data, **_: DataLoader(data, batch_size=None))
    train_scorer(TINY, tmp_path, device=torch.device("cpu"), checkpoint_seconds=1000)
    clip = AutoModel.from_pretrained(tmp_path / "scorer", dtype="float32")
    processor = AutoProcessor.from_pretrained(tmp_path / "scorer")
    assert clip.config.model_type == "clip"
    assert phrase_accuracy(clip, processor, 30) < 0.5  # eight pictures have taught it nothing
    padded, alone = processor.tokenizer(["a frog", "a red striped star"], padding=True), processor.tokenizer("a frog")
    with torch.no_grad():
        words = [
            clip.get_text_features(torch.tensor([ids]), torch.tensor([mask])).pooler_output
            for ids, mask in (
                (padded["input_ids"][0], padded["attention_mask"][0]), (alone["input_ids"], alone["attention_mask"])
            )
        ]  # fmt: skip
    assert torch.allclose(words[0], words[1], atol=1e-5)
